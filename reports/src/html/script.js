// Reading off, zoom and sorting. Nothing here is needed to read the page: without it everything is there.
(() => {
  const one = (css, from = document) => from.querySelector(css);
  const all = (css, from = document) => [...from.querySelectorAll(css)];
  const clock = us => {
    const s = Math.max(0, Math.round(us / 1e6)), h = Math.floor(s / 3600), m = Math.floor(s / 60) % 60;
    const two = n => String(n).padStart(2, '0');
    return h ? `${h}:${two(m)}:${two(s % 60)}` : `${m}:${two(s % 60)}`;
  };
  const figure = v => v == null ? '\u2013' : String(v).replace(/\B(?=(\d{3})+(?!\d))(?<!\.\d*)/g, '\u202f');

  const timeline = one('.tl'), data = one('#series');
  if (timeline && data) zoomable(timeline, one('.ctl'), JSON.parse(data.textContent));

  function zoomable(tl, ctl, { width, load, series }) {
    const last = series.offered.length - 1, least = Math.min(1, 4 * width / load);
    const plots = all('.row svg', tl), range = one('input', ctl), now = one('.now', ctl);
    const outs = all('output[data-k]', tl), bands = one('.bands', tl), axis = one('.xs', tl), whole = [...axis.children];
    const cursor = document.createElement('div');
    cursor.className = 'cursor';
    cursor.hidden = true;
    tl.append(cursor);
    let from = 0, span = 1;

    const clear = () => {
      cursor.hidden = true;
      outs.forEach(o => o.textContent = '');
      now.textContent = '\u2013';
    };
    const read = share => {
      share = Math.max(from, Math.min(from + span, share));
      const index = Math.max(0, Math.min(last, Math.floor(share * load / width)));
      const at = tl.getBoundingClientRect(), plot = bands.getBoundingClientRect();
      cursor.hidden = false;
      cursor.style.left = plot.left - at.left + (share - from) / span * plot.width + 'px';
      outs.forEach(o => o.textContent = figure(series[o.dataset.k]?.[index]));
      range.value = index;
      now.textContent = clock(index * width);
      range.setAttribute('aria-valuetext', `${clock(index * width)}: ${figure(series.offered[index])} offered a second, p95 ${figure(series.p95[index])} ms`);
    };
    const ticks = () => {
      axis.replaceChildren(...whole);
      if (span === 1) return;
      const step = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600].find(s => span * load / 1e6 / s <= 6) ?? 7200;
      const labels = [];
      for (let t = Math.ceil(from * load / 1e6 / step) * step; t <= (from + span) * load / 1e6 + 1e-6; t += step) {
        const label = document.createElement('span');
        label.className = 'x at';
        label.style.setProperty('--t', t * 1e6 / load);
        label.textContent = clock(t * 1e6);
        labels.push(label);
      }
      axis.replaceChildren(...labels);
    };
    const zoom = (a, b) => {
      const wide = Math.max(least, Math.min(1, b - a));
      from = Math.max(0, Math.min(1 - wide, a));
      span = wide;
      tl.style.setProperty('--t0', from);
      tl.style.setProperty('--span', span);
      plots.forEach(svg => svg.setAttribute('viewBox', `${from * 2000} 0 ${span * 2000} 1000`));
      all('[data-t]', tl).forEach(e => {
        const t = +e.dataset.t;
        e.style.visibility = t < from - 1e-6 || t > from + span + 1e-6 ? 'hidden' : '';
      });
      ticks();
      all('button', ctl).forEach(b => b.setAttribute('aria-pressed', String(Math.abs(b.dataset.a - from) < 1e-4 && Math.abs(b.dataset.b - from - span) < 1e-4)));
      range.min = Math.floor(from * load / width);
      range.max = Math.min(last, Math.ceil((from + span) * load / width) - 1);
      range.value = range.min;
      clear();
    };
    const share = x => {
      const plot = bands.getBoundingClientRect();
      return from + (x - plot.left) / plot.width * span;
    };

    ctl.hidden = false;
    all('button', ctl).forEach(b => b.addEventListener('click', () => zoom(+b.dataset.a, +b.dataset.b)));
    range.addEventListener('input', () => read((+range.value + 0.5) * width / load));
    range.addEventListener('keydown', e => {
      const middle = (+range.value + 0.5) * width / load, by = { '+': 0.5, '=': 0.5, '-': 2 }[e.key];
      if (by) zoom(middle - span * by / 2, middle + span * by / 2), read(middle);
      if (e.key === 'Escape') zoom(0, 1);
    });
    tl.addEventListener('pointermove', e => {
      const at = share(e.clientX);
      if (at >= from && at <= from + span) read(at); else clear();
    });
    tl.addEventListener('pointerleave', clear);
    let pressed = null;
    tl.addEventListener('pointerdown', e => pressed = e.pointerType === 'mouse' && e.button === 0 ? e.clientX : null);
    tl.addEventListener('pointerup', e => {
      if (pressed !== null && Math.abs(e.clientX - pressed) > 8) {
        const [a, b] = [share(pressed), share(e.clientX)].sort((x, y) => x - y);
        zoom(Math.max(0, a), Math.min(1, b));
      }
      pressed = null;
    });
    tl.addEventListener('dblclick', () => zoom(0, 1));
  }

  all('table[data-sort]').forEach(table => {
    const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      if ('nosort' in head.dataset) return;
      const button = document.createElement('button');
      button.type = 'button';
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener('click', () => {
        const up = head.getAttribute('aria-sort') === 'descending';
        heads.forEach(other => other.removeAttribute('aria-sort'));
        head.setAttribute('aria-sort', up ? 'ascending' : 'descending');
        table.classList.add('sorted');
        const key = row => row.cells[column].dataset.v ?? row.cells[column].textContent;
        const order = (a, b) => {
          const [x, y] = [key(a), key(b)];
          const by = isNaN(x) || isNaN(y) ? x.localeCompare(y, 'en') : x - y;
          return up ? by : -by;
        };
        [...body.rows].sort(order).forEach(row => body.append(row));
      });
    });
  });
})();
