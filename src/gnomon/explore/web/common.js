// What all pages share: elements without markup from data, answers of the server, numbers, formulas.
import { ask, save } from "./data.js";

export function h(tag, attributes = {}, ...children) {
  const svg = ["svg", "g", "line", "path", "circle", "rect", "text", "polyline", "polygon", "title", "tspan"];
  const plain = tag === "a" && attributes.svg;
  const made = svg.includes(tag) || plain ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "svg" || value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat(9).filter((one) => one !== null && one !== undefined && one !== false));
  return made;
}

export { ask };

// A link to a file; a static export writes it in the browser.
export function download(path, text) {
  return h("a", { href: path, onclick: save && ((event) => { event.preventDefault(); save(path).catch((error) => alert(error.message)); }) }, text);
}

let known;
let symbols = [];
export const about = () => (known ??= ask("api/about").then((found) => { symbols = found.space_groups; return found; }));

export function formula(text) {
  const parts = String(text ?? "").split(/(?<=[A-Za-z)])(\d+(?:\.\d+)?)/);
  return parts.map((part, i) => (i % 2 ? h("sub", {}, part) : part));
}

// Space groups: P6_3/mmc.
export function spaceGroup(text) {
  return String(text ?? "").split(/_(\d)/).map((part, i) => (i % 2 ? h("sub", {}, part) : part));
}

// A space group by its number: Pm-3m (221).
export const groupName = (number) => (number ? [spaceGroup(symbols[number - 1]), ` (${number})`] : "–");

// A sentence with `commands` in it.
export function sentence(text) {
  const said = /^[a-z]+\S*\d/.test(text) ? text : text.charAt(0).toUpperCase() + text.slice(1); // names of models stay
  return said.split("`").map((part, i) => (i % 2 ? h("code", {}, part) : part));
}

export function number(value, digits = 4, fixed = false) {
  if (value === null || value === undefined) return "–";
  if (fixed && Math.abs(value) < 1e5 && (value === 0 || Math.abs(value) >= 0.5 * 10 ** -digits)) return value.toFixed(digits).replace("-", "−");
  if (Number.isInteger(value)) return String(value).replace("-", "−");
  const size = Math.abs(value);
  const text = size >= 1e5 || size < 1e-4 ? value.toExponential(1) : value.toFixed(size >= 100 ? 1 : digits);
  return text.replace("-", "−");
}

export function shown(column, value) {
  if (value === null || value === undefined) return "–";
  if (column.name === "reduced_formula") return formula(value);
  if (column.name === "space_group") return groupName(value);
  return column.kind === "number" ? number(value, 4, column.unit.startsWith("eV")) : String(value);
}

const LABELS = { n_elements: "number of elements", n_atoms: "atoms in the cell", e_above_hull: "energy above hull", formation_energy_per_atom: "formation energy", reduced_formula: "formula", probability_stable: "probability of being stable" };
export const label = (name) => LABELS[name] ?? name.replaceAll("_", " ");
export const crystalAddress = (id) => `crystal.html?id=${encodeURIComponent(id)}`;
export const percent = (value) => (value === null || value === undefined ? "–" : `${Math.round(100 * value)} %`);
export const mev = (value) => (value === null || value === undefined ? "–" : (1000 * value).toFixed(1).replace("-", "−"));

export function chance(value) {
  if (value === null || value === undefined) return "–";
  if (value < 0.01) return "< 1 %";
  return value > 0.99 ? "> 99 %" : percent(value);
}

export function table(caption, heads, rows) {
  const cells = (row) => row.map((value, i) => h(i ? "td" : "th", { scope: i ? null : "row", class: heads[i].number ? "number" : null }, value ?? "–"));
  const id = `t${Math.random().toString(36).slice(2)}`;
  return h("div", { class: "box", role: "region", "aria-labelledby": id, tabindex: "0" },
    h("table", {}, h("caption", { id }, caption),
      h("thead", {}, h("tr", {}, heads.map((one) => h("th", { scope: "col", class: one.number ? "number" : null }, one.text, one.unit ? h("small", {}, one.unit) : null)))),
      h("tbody", {}, rows.map((row) => h("tr", {}, cells(row))))));
}

export function facts(pairs) {
  return h("dl", { class: "facts" }, pairs.filter(([, value]) => value !== null && value !== undefined && value !== "").map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

export async function page(title, fill) {
  const main = document.getElementById("main");
  try {
    const found = await about();
    const campaigns = found.collections.filter((one) => one.campaign);
    document.getElementById("top").replaceChildren(h("nav", { "aria-label": "Pages" },
      h("strong", {}, "gnomon explore"), h("a", { href: "index.html" }, "Search"), h("a", { href: "hull.html" }, "Hulls"), h("a", { href: "map.html" }, "Map"), h("a", { href: "pettifor.html" }, "Pettifor map"), h("a", { href: "substitutions.html" }, "Substitutions"),
      campaigns.map((one) => h("a", { href: `campaign.html?name=${encodeURIComponent(one.name)}` }, `Campaign ${one.name}`)),
      found.trouble ? h("span", { class: "error", role: "alert" }, found.trouble) : null));
    await fill(main, found);
  } catch (error) {
    main.replaceChildren(h("h1", {}, title), h("p", { class: "error", role: "alert" }, error.message));
  }
}
