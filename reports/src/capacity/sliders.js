// Slides along the rows of the grid. Without it every row is there.
(() => {
  const box = document.querySelector('.sliders');
  if (!box) return;
  const rows = [...document.querySelectorAll('table.grid tbody tr')];
  const [load, growth] = box.querySelectorAll('input');
  const [atLoad, atGrowth] = box.querySelectorAll('output');
  const say = box.querySelector('p');
  const carries = Number(box.dataset.carries);
  const months = (rate, monthly) => {
    if (rate >= carries) return 'it is too much today';
    if (monthly === 0) return 'without growth it stays enough';
    const left = Math.log(carries / rate) / Math.log(1 + monthly / 100);
    return `at ${monthly} % a month it is enough for ${left.toFixed(1)} months`;
  };
  const show = () => {
    const row = rows[load.value], cell = [...row.children].map(c => c.textContent.trim());
    rows.forEach(r => r.classList.toggle('now', r === row));
    atLoad.textContent = cell[0];
    atGrowth.textContent = `${growth.value} %`;
    load.setAttribute('aria-valuetext', cell[0]);
    const cost = cell[6] === '\u2013' ? '' : `, ${cell[6]} an hour`;
    say.textContent = `${cell[0]}: ${cell[1]} users a day on ${cell[3]} cores, ${cell[4]} GiB${cost}; ${months(Number(row.dataset.rate), Number(growth.value))}.`;
  };
  box.hidden = false;
  load.addEventListener('input', show);
  growth.addEventListener('input', show);
  show();
})();
