// Sorting of tables, enlarging of figures, printing. The viewer is in viewer.js.

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

for (const table of document.querySelectorAll("table.sortable")) {
  const columns = [...table.dataset.numeric].map((flag) =>
    flag === "1" ? { type: "measure", orderSequence: ["desc", "asc", ""] } : { type: "string" },
  );
  jQuery(table).DataTable({
    columns,
    paging: false,
    searching: false,
    info: false,
    order: [],
    autoWidth: false,
    layout: { topStart: null, topEnd: null, bottomStart: null, bottomEnd: null },
  });
}

const dialog = document.getElementById("enlarged");
if (dialog) {
  const large = dialog.querySelector("img");
  for (const button of document.querySelectorAll("button.enlarge")) {
    button.addEventListener("click", () => {
      const image = button.querySelector("img");
      large.src = image.src;
      large.alt = image.alt;
      dialog.showModal();
    });
  }
  dialog.addEventListener("click", (event) => event.target !== large && dialog.close());
}

window.addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
});

const links = new Map([...document.querySelectorAll("nav.contents a")].map((link) => [link.hash.slice(1), link]));
const seen = new Set();
const watcher = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) seen[entry.isIntersecting ? "add" : "delete"](entry.target.id);
    const first = [...links.keys()].find((name) => seen.has(name));
    for (const [name, link] of links) {
      if (name === first) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  },
  { rootMargin: "-10% 0px -55% 0px" },
);
for (const name of links.keys()) watcher.observe(document.getElementById(name));
document.documentElement.dataset.tables = "ready";
