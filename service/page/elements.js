// Builds elements. Texts are always texts: nothing here reads markup.

const SVG = "http://www.w3.org/2000/svg";

function build(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (typeof value === "function") node.addEventListener(name, value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** Creates an element. A function among the attributes listens to the event of that name. */
export function element(name, attributes = {}, ...children) {
  return build(document.createElement(name), attributes, children);
}

/** Creates an element of SVG. */
export function svg(name, attributes = {}, ...children) {
  return build(document.createElementNS(SVG, name), attributes, children);
}

export function byId(id) {
  return document.getElementById(id);
}

/** Sets the text of a node, if it is another: screen readers are told of a change alone. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Creates a table from a caption, columns and rows of cells. A column is a name, or a name and `true` for numbers. */
export function table(caption, columns, rows) {
  const columnOf = (column) => (Array.isArray(column) ? column : [column, false]);
  const heads = columns.map(columnOf).map(([name, isNumber]) => element("th", { scope: "col", class: isNumber ? "number" : null }, name));
  const cell = (value, at) => {
    const isNumber = columnOf(columns[at])[1];
    return at === 0
      ? element("th", { scope: "row", class: isNumber ? "number" : null }, value)
      : element("td", { class: isNumber ? "number" : null }, value);
  };
  return element(
    "table",
    {},
    element("caption", { class: "hidden" }, caption),
    element("thead", {}, element("tr", {}, heads)),
    element("tbody", {}, rows.map((row) => element("tr", {}, row.map(cell)))),
  );
}
