// Sorting, search and filters of the page of quality control.

// Without this text/plain element being a module of its own its names could not be imported from one file.
const source = document.getElementById("tables-library").textContent;
const address = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
const { jQuery } = await import(address);
URL.revokeObjectURL(address);
document.documentElement.classList.remove("dark"); // the bundle follows the system's theme, this page is white

// Numbers as numbers, and what is missing last in either direction.
const missingLast = (direction) => (a, b) => {
  if (a === "" || b === "") return (a === "") - (b === "");
  return direction * (Number(a) - Number(b));
};
const order = jQuery.fn.dataTable.ext.type.order;
order["measure-asc"] = missingLast(1);
order["measure-desc"] = missingLast(-1);

const text = { type: "string" };
const picture = { type: "string", orderable: false, searchable: false };
const measure = { type: "measure", orderSequence: ["desc", "asc", ""] };
const drawing = { ...measure, searchable: false };
const table = jQuery("table.sortable").DataTable({
  columns: [text, picture, measure, drawing, drawing, drawing, measure, text, text],
  paging: false,
  info: false,
  order: [],
  autoWidth: false,
  layout: { topStart: null, topEnd: null, bottomStart: null, bottomEnd: null },
});

const element = (id) => document.getElementById(id);
const shown = element("shown");
const count = () => {
  const { recordsDisplay, recordsTotal } = table.page.info();
  shown.textContent = `${recordsDisplay} of ${recordsTotal} shown`;
};
table.on("draw", count);
count();

element("search").addEventListener("input", (event) => table.search(event.target.value).draw());
element("only-flagged").addEventListener("change", (event) => {
  const flagged = (_text, _data, row) => table.row(row).node().classList.contains("flagged");
  table.search.fixed("flagged", event.target.checked ? flagged : null).draw();
});
element("outlines").addEventListener("change", (event) => {
  document.body.classList.toggle("plain-slices", !event.target.checked);
});
element("toolbar").addEventListener("submit", (event) => event.preventDefault());
element("toolbar").hidden = false;
document.documentElement.dataset.tables = "ready";
