// The page of one crystal.
import { ask, chance, download, facts, formula, h, label, mev, number, page, shown, spaceGroup, table } from "./common.js";
import { panelOf } from "./panel.js";
import { colour, draw, reaches } from "./structure.js";

const LATER = ["id", "content_id", "reduced_formula", "source_id"];

function viewer(found) {
  const place = h("div", { class: "viewer", role: "img", "aria-label": "Crystal structure in three dimensions; the tables below hold the same atoms" });
  const settings = { conventional: Boolean(found.conventional), repeat: 1, bonds: true, polyhedra: false };
  const centres = [...new Set(found.shells.filter((one) => one.polyhedron).map((one) => one.element))];
  const longest = reaches(found.shells);
  let made;
  const redraw = () => draw(made, settings.conventional ? found.conventional.structure : found.structure, [settings.repeat, settings.repeat, settings.repeat], longest, settings.bonds, settings.polyhedra ? centres : []);
  const toggle = (name, text) => h("button", { type: "button", "aria-pressed": String(settings[name]), onclick: (event) => { settings[name] = !settings[name]; event.target.setAttribute("aria-pressed", String(settings[name])); redraw(); } }, text);
  const cells = h("select", { onchange: (event) => { settings.repeat = Number(event.target.value); redraw(); } }, [1, 2, 3].map((n) => h("option", { value: n }, `${n} × ${n} × ${n}`)));
  const turn = (axis, angle, text) => h("button", { type: "button", "aria-label": text, onclick: () => made.rotate(angle, axis) }, { "y-30": "◀", "y30": "▶", "x-30": "▲", "x30": "▼" }[axis + angle]);
  const controls = h("div", { class: "row", role: "group", "aria-label": "View" },
    found.conventional ? toggle("conventional", "Conventional cell") : null, toggle("bonds", "Bonds"), centres.length ? toggle("polyhedra", "Polyhedra") : null, h("label", { class: "field" }, h("span", {}, "Cells"), cells),
    turn("y", -30, "turn left"), turn("y", 30, "turn right"), turn("x", -30, "turn up"), turn("x", 30, "turn down"));
  requestAnimationFrame(() => {
    try {
      made = window.$3Dmol.createViewer(place, { antialias: true });
      redraw();
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
      place.dataset.drawn = "yes";
      place.viewer = made;
    } catch (error) { controls.remove(); place.replaceChildren(h("p", { class: "muted" }, `No picture: ${error?.message ?? "this browser has no WebGL"}.`)); }
  });
  return h("div", {}, place, controls, h("p", { class: "row" }, legend(found.structure.symbols), h("span", { class: "muted" }, "Drag to turn, scroll to zoom.")));
}

// The colours are those of the picture (Jmol's).
function legend(symbols) {
  return [...new Set(symbols)].map((symbol) => {
    const dot = h("span", { class: "dot", "aria-hidden": "true" });
    dot.style.background = colour(symbol);
    return h("span", {}, dot, " ", symbol);
  });
}

const angle = (value) => `${value.toFixed(2)}°`;
const length = (value) => `${value.toFixed(4)} Å`;

function cellTable(found) {
  const rows = [["as computed", found.cell], found.conventional ? ["conventional", found.conventional.cell] : null].filter(Boolean);
  return table("Cells", [{ text: "Cell" }, ...["a", "b", "c", "α", "β", "γ"].map((text) => ({ text, number: true })), { text: "Volume", unit: "Å³", number: true }],
    rows.map(([name, cell]) => [name, ...cell.lengths.map(length), ...cell.angles.map(angle), cell.volume.toFixed(3)]));
}

function symmetryText(found, own) {
  return found.symmetry ? [spaceGroup(found.symmetry.symbol), ` (${found.symmetry.number}), Hall ${found.symmetry.hall}, point group ${found.symmetry.point_group}; ${own.crystal_system}; within ${found.symmetry.tolerance} Å`] : "none found";
}

function allColumns(own, columns) {
  return h("details", {}, h("summary", {}, "All columns"), facts(columns.filter((one) => !LATER.includes(one.name)).map((one) => [h("span", { title: one.description }, label(one.name)), own[one.name] === null ? null : [shown(one, own[one.name]), one.unit && one.unit !== "1" ? ` ${one.unit}` : ""]])));
}

page("Crystal", async (main, about) => {
  const id = new URLSearchParams(location.search).get("id") ?? "";
  const found = await ask(`api/crystals/${encodeURIComponent(id)}`);
  const own = found.facts;
  document.title = `${own.reduced_formula} · gnomon explore`;
  const system = own.chemical_system;
  const elements = system.split("-").length;
  const link = (query, text) => h("a", { href: `index.html?${query}` }, text);
  main.replaceChildren(
    h("h1", {}, formula(own.reduced_formula), " ", h("small", {}, spaceGroup(found.symmetry?.symbol))),
    h("div", { class: "two" }, viewer(found), h("div", {}, facts([
      ["status", own.status], ["structure type", found.structure_type], ["prototype", own.prototype ? link(`where=${encodeURIComponent(`prototype:${own.prototype}`)}`, own.prototype) : null],
      ["symmetry", symmetryText(found, own)], ["above the hull", own.e_above_hull === null ? null : `${mev(own.e_above_hull)} meV/atom`], ["formation energy", own.formation_energy_per_atom === null ? null : `${number(own.formation_energy_per_atom)} eV/atom`],
      ["distance to the rest", found.distance_to_rest === null || found.distance_to_rest === undefined ? null : `${mev(found.distance_to_rest)} meV/atom`], ["probability of being stable", own.probability_stable === null ? null : chance(own.probability_stable)],
      ["flags", found.flags?.length ? found.flags.join("; ") : null], ["reached", found.copies ? `by ${found.copies} other candidate${found.copies === 1 ? "" : "s"} too` : null],
      ["cell", `${own.n_atoms} atom${own.n_atoms === 1 ? "" : "s"}, ${found.cell.volume.toFixed(2)} Å³`], ["density", `${number(own.density, 3)} g/cm³`], ["source", [own.source, own.source_id ? `: ${own.source_id}` : ""]], ["read with a warning", found.warnings], ["id", h("code", {}, own.id)],
    ]), h("p", {}, download(`api/crystals/${encodeURIComponent(own.id)}.cif`, "CIF"), " · ", download(`api/export.poscar?id=${encodeURIComponent(own.id)}`, "POSCAR"), " · ", download(`api/export.extxyz?id=${encodeURIComponent(own.id)}`, "extended XYZ"), " · ", link(`system=${encodeURIComponent(system)}&sort=e_above_hull`, `all of ${system}`), " · ", link(`formula=${encodeURIComponent(own.reduced_formula)}`, "same formula"),
      elements > 1 && elements < 5 ? [" · ", h("a", { href: `hull.html?system=${encodeURIComponent(system)}&source=${encodeURIComponent(own.source)}` }, "hull")] : null))),
    cellTable(found), h("div", { class: "panels" }, ...found.panels.map(panelOf)), allColumns(own, about.columns));
});
