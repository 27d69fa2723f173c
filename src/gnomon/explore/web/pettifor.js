// Structure types of one formula over two elements in the order of the modified Pettifor scale.
import { ask, crystalAddress, formula, h, mev, page, table } from "./common.js";
import { css, dot, KINDS, REST } from "./colors.js";

const SQUARE = 15;
const EDGE = 34;
const color = (type) => KINDS[type] ?? css(REST);
const written = (text) => text.split(/(\d+)/).map((part, i) => (i % 2 ? h("sub", {}, part) : part.replaceAll("*", "★")));

function drawn(found) {
  const across = [...new Set(found.cells.map((one) => one.pair[0]))].sort((a, b) => a - b);
  const up = [...new Set(found.cells.map((one) => one.pair[1]))].sort((a, b) => a - b);
  const [x, y] = [new Map(across.map((one, i) => [one, EDGE + SQUARE * i])), new Map(up.map((one, i) => [one, SQUARE * (up.length - 1 - i) + EDGE / 2]))];
  const [width, height] = [EDGE + SQUARE * across.length + 4, EDGE / 2 + SQUARE * up.length + EDGE];
  const search = (symbol) => `index.html?include=${symbol}&formula=${encodeURIComponent(found.formula)}`;
  const name = (one, at, anchor) => h("a", { svg: true, href: search(found.scale[one]), "aria-label": `search for ${found.scale[one]}` }, h("text", { ...at, "text-anchor": anchor }, found.scale[one]));
  const plain = (one) => `${one.reduced_formula}: ${one.prototype ?? "no prototype"}${found.types[one.type]?.[2] ? `, ${found.types[one.type][2]}` : ""}${one.e_above_hull === null ? "" : `, ${mev(one.e_above_hull)} meV/atom above the hull`}${one.crystals > 1 ? `; the lowest of ${one.crystals}` : ""}`;
  const svg = h("svg", { viewBox: `0 0 ${width} ${height}`, class: "plot pettifor", role: "group", "aria-label": `Structure types of ${found.formula} by its two elements` },
    across.map((one) => h("line", { x1: x.get(one) + SQUARE / 2, x2: x.get(one) + SQUARE / 2, y1: EDGE / 2, y2: height - EDGE, class: "grid" })),
    up.map((one) => h("line", { x1: EDGE, x2: width - 4, y1: y.get(one) + SQUARE / 2, y2: y.get(one) + SQUARE / 2, class: "grid" })),
    across.map((one, i) => name(one, { x: x.get(one) + SQUARE / 2, y: height - EDGE + (i % 2 ? 26 : 13) }, "middle")),
    up.map((one) => name(one, { x: EDGE - 4, y: y.get(one) + SQUARE - 4 }, "end")),
    found.cells.map((one) => {
      const square = h("rect", { x: x.get(one.pair[0]) + 1, y: y.get(one.pair[1]) + 1, width: SQUARE - 2, height: SQUARE - 2 });
      square.style.fill = color(one.type);
      return h("a", { svg: true, href: crystalAddress(one.id), "aria-label": plain(one) }, h("title", {}, plain(one)), square);
    }));
  svg.style.minWidth = `${Math.min(width, 1180)}px`;
  svg.style.maxHeight = "none";
  return svg;
}

page("Pettifor map", async (main) => {
  const asked = new URLSearchParams(location.search).get("formula") ?? "";
  const found = await ask(`api/pettifor${asked ? `?formula=${encodeURIComponent(asked)}` : ""}`);
  const choose = h("select", { onchange: (event) => { location.search = `?formula=${encodeURIComponent(event.target.value)}`; } },
    found.formulas.map(([text, k]) => h("option", { value: text, selected: text === found.formula }, `${text.replaceAll("*", "★")} (${k.toLocaleString("en")})`)));
  if (!found.formulas.some(([text]) => text === found.formula)) choose.prepend(h("option", { value: found.formula, selected: true }, found.formula.replaceAll("*", "★")));
  const equal = /^\*\*/.test(found.formula) && !/\*\d/.test(found.formula);
  main.replaceChildren(h("h1", {}, "Pettifor map of ", written(found.formula)),
    h("div", { class: "row" }, h("label", { class: "field" }, h("span", {}, "Formula; ★ is any element"), choose)));
  if (!found.cells.length) { main.append(h("p", {}, "No crystal here has this formula.")); return; }
  main.append(
    h("p", { class: "row legend" }, found.types.map(([text, k, type], i) => h("span", { title: type || text }, dot(KINDS[i]), " ", h("a", { href: `index.html?where=${encodeURIComponent(`prototype:${text}`)}` }, type || text), ` ${k}`)), h("span", {}, dot(css(REST)), ` others ${found.others}`)),
    h("figure", {}, h("div", { class: "box plain", tabindex: "0", role: "region", "aria-label": "Pettifor map" }, drawn(found)), h("figcaption", {}, equal ? "Across the element that comes first on the scale, up the other." : "Across the element of the smaller amount, up that of the larger.", " Each square is the pair's lowest crystal above its hull, and leads to its page; a symbol leads to a search. Only elements that occur are shown, in the order of the modified Pettifor scale: ", found.source, ".")),
    table("The squares, one a row.", [{ text: "Crystal" }, { text: "Structure type" }, { text: "Prototype" }, { text: "Above the hull", unit: "meV/atom", number: true }, { text: "Crystals of the pair", number: true }],
      [...found.cells].sort((a, b) => a.pair[0] - b.pair[0] || a.pair[1] - b.pair[1]).slice(0, 300).map((one) => [h("a", { href: crystalAddress(one.id) }, formula(one.reduced_formula)), found.types[one.type]?.[2] || "–", one.prototype ?? "–", mev(one.e_above_hull), String(one.crystals)])));
});
