// The page of one crystal.
import { ask, chance, crystalAddress, download, facts, formula, h, label, mev, number, page, shown, table } from "./common.js";
import { draw, reaches } from "./structure.js";

const LATER = ["id", "content_id", "reduced_formula", "source_id"];

function viewer(found) {
  const place = h("div", { class: "viewer", role: "img", "aria-label": "Crystal structure in three dimensions; the tables below hold the same atoms" });
  const settings = { conventional: Boolean(found.conventional), repeat: 1, bonds: true };
  const longest = reaches(found.surroundings);
  let made;
  const redraw = () => draw(made, settings.conventional ? found.conventional.structure : found.structure, [settings.repeat, settings.repeat, settings.repeat], longest, settings.bonds);
  const toggle = (name, text) => h("button", { type: "button", "aria-pressed": String(settings[name]), onclick: (event) => { settings[name] = !settings[name]; event.target.setAttribute("aria-pressed", String(settings[name])); redraw(); } }, text);
  const cells = h("select", { onchange: (event) => { settings.repeat = Number(event.target.value); redraw(); } }, [1, 2, 3].map((n) => h("option", { value: n }, `${n} × ${n} × ${n}`)));
  const turn = (axis, angle, text) => h("button", { type: "button", "aria-label": text, onclick: () => made.rotate(angle, axis) }, { "y-30": "◀", "y30": "▶", "x-30": "▲", "x30": "▼" }[axis + angle]);
  const controls = h("div", { class: "row", role: "group", "aria-label": "View" },
    found.conventional ? toggle("conventional", "Conventional cell") : null, toggle("bonds", "Bonds"), h("label", { class: "field" }, h("span", {}, "Cells"), cells),
    turn("y", -30, "turn left"), turn("y", 30, "turn right"), turn("x", -30, "turn up"), turn("x", 30, "turn down"));
  requestAnimationFrame(() => {
    try {
      made = window.$3Dmol.createViewer(place, { backgroundAlpha: 0, antialias: true });
      redraw();
      place.dataset.drawn = "yes";
      place.viewer = made;
    } catch (error) { place.replaceChildren(h("p", { class: "muted" }, `No picture: ${error?.message ?? "this browser has no WebGL"}.`)); }
  });
  return h("div", {}, place, controls, h("p", { class: "muted" }, [...new Set(found.structure.symbols)].join(", "), ". Drag to turn, scroll to zoom."));
}

const angle = (value) => `${value.toFixed(2)}°`;
const length = (value) => `${value.toFixed(4)} Å`;

function cellTable(found) {
  const rows = [["as computed", found.cell], found.conventional ? ["conventional", found.conventional.cell] : null].filter(Boolean);
  return table("Cells", [{ text: "Cell" }, ...["a", "b", "c", "α", "β", "γ"].map((text) => ({ text, number: true })), { text: "Volume", unit: "Å³", number: true }],
    rows.map(([name, cell]) => [name, ...cell.lengths.map(length), ...cell.angles.map(angle), cell.volume.toFixed(3)]));
}

function step(one, last) {
  const name = one.change || (one.generator ? one.generator : `crystal ${one.id}`);
  return h("li", {}, one.here ? h("a", { href: crystalAddress(one.id) }, name) : name, " ",
    h("span", { class: "muted" }, one.generator ? `(${one.generator}${one.round === null ? "" : `, round ${one.round}`})` : last ? "(root)" : ""));
}

function symmetryText(found) {
  return found.symmetry ? `${found.symmetry.symbol} (${found.symmetry.number}), Hall ${found.symmetry.hall}, point group ${found.symmetry.point_group}, within ${found.symmetry.tolerance} Å` : "none found";
}

function sections(found, columns) {
  const facts_ = found.facts;
  const out = [];
  if (found.places?.length) out.push(h("h2", {}, "Energies by level"), table(`On the hull of each level${facts_.probability_stable === null ? "" : `; probability of being stable ${chance(facts_.probability_stable)}`}.`,
    [{ text: "Level", number: true }, { text: "Energies" }, { text: "Formation energy", unit: "eV/atom", number: true }, { text: "Above the hull", unit: "meV/atom", number: true }],
    found.places.map((one) => [String(one.level), one.scheme, number(one.formation_energy_per_atom), mev(one.e_above_hull)])));
  if (found.competing?.length) out.push(h("h2", {}, "What it competes with"), found.reaction ? h("p", {}, found.reaction.split(/(\s)/).map((part) => (/^[A-Z]/.test(part) ? formula(part) : part))) : null,
    table("The lowest mixture of the other phases.", [{ text: "Phase" }, { text: "Fraction of the atoms", number: true }], found.competing.map((one) => [one.here ? h("a", { href: crystalAddress(one.id) }, formula(one.reduced_formula)) : formula(one.reduced_formula), one.fraction.toFixed(3)])));
  if (found.wyckoff.length) out.push(h("h2", {}, "Wyckoff positions"), table("In the conventional cell.", [{ text: "Element" }, { text: "Position" }, { text: "Site symmetry" }, { text: "x, y, z", number: true }],
    found.wyckoff.map((one) => [one.element, `${one.multiplicity}${one.letter}`, one.site_symmetry, one.position.map((x) => x.toFixed(4)).join(", ")])));
  out.push(h("h2", {}, "Surroundings"), table("Neighbours of each kind of atom as far as the largest gap in reciprocal distances (Brunner 1977); distortion of the bond lengths (Baur 1974).",
    [{ text: "Element" }, { text: "Coordination", number: true }, { text: "Bonds", unit: "Å" }, { text: "Distortion", number: true }],
    found.surroundings.map((one) => [one.element, String(one.coordination), Object.entries(one.bonds).map(([other, lengths]) => `${lengths.length} ${other} ${span(lengths)}`).join("; "), one.distortion === null ? "–" : one.distortion.toFixed(4)])));
  if (found.properties?.length) out.push(h("h2", {}, "Properties"), table("As the tables of the campaign have them.", [{ text: "Property" }, { text: "Value", number: true }, { text: "By" }],
    found.properties.map((one) => [one.about, one.value === null ? one.status : `${number(one.value)}${one.uncertainty === null ? "" : ` ± ${number(one.uncertainty)}`}${one.unit === "1" ? "" : ` ${one.unit}`}`, one.level])));
  if (found.lineage?.length) out.push(h("h2", {}, "Lineage"), h("ol", { class: "lineage" }, found.lineage.map((one, i) => step(one, i === found.lineage.length - 1))));
  const said = found.screening ?? {};
  if (said.failed?.length) out.push(h("h2", {}, "Failed evaluations"), table("Evaluations without an energy.", [{ text: "Level", number: true }, { text: "Status" }, { text: "Message" }], said.failed.map((one) => [String(one.level), one.status, one.message])));
  out.push(h("h2", {}, "All columns"), facts(columns.filter((one) => !LATER.includes(one.name)).map((one) => [h("span", { title: one.description }, label(one.name)), facts_[one.name] === null ? null : [shown(one, facts_[one.name]), one.unit && one.unit !== "1" ? ` ${one.unit}` : ""]])));
  return out;
}

const span = (lengths) => (Math.min(...lengths).toFixed(3) === Math.max(...lengths).toFixed(3) ? lengths[0].toFixed(3) : `${Math.min(...lengths).toFixed(3)} to ${Math.max(...lengths).toFixed(3)}`);

page("Crystal", async (main, about) => {
  const id = new URLSearchParams(location.search).get("id") ?? "";
  const found = await ask(`api/crystals/${encodeURIComponent(id)}`);
  const own = found.facts;
  document.title = `${own.reduced_formula} · gnomon explore`;
  const system = own.chemical_system;
  const elements = system.split("-").length;
  const link = (query, text) => h("a", { href: `index.html?${query}` }, text);
  main.replaceChildren(
    h("h1", {}, formula(own.reduced_formula), " ", h("small", {}, found.symmetry?.symbol ?? "")),
    h("div", { class: "two" }, viewer(found), h("div", {}, facts([
      ["status", own.status], ["structure type", found.structure_type], ["prototype", own.prototype ? link(`where=${encodeURIComponent(`prototype:${own.prototype}`)}`, own.prototype) : null],
      ["symmetry", symmetryText(found)], ["above the hull", own.e_above_hull === null ? null : `${mev(own.e_above_hull)} meV/atom`], ["formation energy", own.formation_energy_per_atom === null ? null : `${number(own.formation_energy_per_atom)} eV/atom`],
      ["distance to the rest", found.distance_to_rest === null || found.distance_to_rest === undefined ? null : `${mev(found.distance_to_rest)} meV/atom`], ["probability of being stable", own.probability_stable === null ? null : chance(own.probability_stable)],
      ["flags", found.flags?.length ? found.flags.join("; ") : null], ["reached", found.copies ? `by ${found.copies} other candidate${found.copies === 1 ? "" : "s"} too` : null],
      ["density", `${number(own.density, 3)} g/cm³`], ["source", [own.source, own.source_id ? `: ${own.source_id}` : ""]], ["read with a warning", found.warnings], ["id", h("code", {}, own.id)],
    ]), h("p", {}, download(`api/crystals/${encodeURIComponent(own.id)}.cif`, "CIF"), " · ", link(`system=${encodeURIComponent(system)}&sort=e_above_hull`, `all of ${system}`), " · ", link(`formula=${encodeURIComponent(own.reduced_formula)}`, "same formula"),
      elements > 1 && elements < 5 ? [" · ", h("a", { href: `hull.html?system=${encodeURIComponent(system)}&source=${encodeURIComponent(own.source)}` }, "hull")] : null))),
    cellTable(found), ...sections(found, about.columns).filter(Boolean));
});
