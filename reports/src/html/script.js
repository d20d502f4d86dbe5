// Sorting, and nothing that the page needs.
document.querySelectorAll('table[data-sort]').forEach(table => {
  const body = table.tBodies[0];
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement('button');
    button.type = 'button';
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener('click', () => {
      const up = head.getAttribute('aria-sort') === 'descending';
      [...table.tHead.rows[0].cells].forEach(other => other.removeAttribute('aria-sort'));
      head.setAttribute('aria-sort', up ? 'ascending' : 'descending');
      const key = row => row.cells[column].dataset.v ?? row.cells[column].textContent;
      const order = (a, b) => key(a).localeCompare(key(b), 'en', { numeric: true }) * (up ? 1 : -1);
      [...body.rows].sort(order).forEach(row => body.append(row));
    });
  });
});
