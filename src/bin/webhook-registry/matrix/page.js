
'use strict';
// Shows the rows and columns whose name contains the text, and those that have a mark with them.
const table = document.querySelector('table');
const columns = [...table.tHead.rows[0].cells].slice(1);
const rows = [...table.tBodies[0].rows];
const marks = rows.map(row => [...row.cells].slice(1).map(cell => cell.className !== ''));
const filter = document.getElementById('filter');

function show() {
  const text = filter.value.trim().toLowerCase();
  const has = cell => cell.textContent.toLowerCase().includes(text);
  const rowHit = rows.map(row => has(row.cells[0]));
  const columnHit = columns.map(has);
  const rowShown = rows.map((_, r) => rowHit[r] || marks[r].some((m, c) => m && columnHit[c]));
  const columnShown = columns.map(
    (_, c) => columnHit[c] || marks.some((m, r) => m[c] && rowHit[r]));
  rows.forEach((row, r) => { row.hidden = !rowShown[r]; });
  [table.tHead.rows[0], ...rows].forEach(row => {
    columnShown.forEach((shown, c) => { row.cells[c + 1].hidden = !shown; });
  });
  const shown = list => `${list.filter(Boolean).length} of ${list.length}`;
  document.getElementById('count').textContent =
    `${shown(rowShown)} event types, ${shown(columnShown)} subscriptions`;
}

filter.addEventListener('input', show);
show();
