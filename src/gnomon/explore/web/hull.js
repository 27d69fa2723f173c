// Hulls: formation energy over composition, a triangle, a tetrahedron to turn; marks lead to pages.
import { potentials } from "./potentials.js";
import { ask, crystalAddress, formula, groupName, h, mev, number, page, table } from "./common.js";
import { axis, H, labels, turnable, W } from "./plot.js";

const plain = (phase) => `${phase.reduced_formula}, ${phase.status ?? ""}: ${number(phase.formation_energy_per_atom, 4, true)} eV/atom, ${mev(phase.e_above_hull)} meV/atom above the hull`;
const FOUND = ["new stable phase", "new stable phase, again"];
const kind = (phase, found) => (phase.e_above_hull > found.on_hull ? "above" : FOUND.includes(phase.status) ? "new" : "known");

function mark(phase, found, x, y, size = 1) {
  const how = kind(phase, found);
  const shape = how === "known" ? h("rect", { x: x - 5 * size, y: y - 5 * size, width: 10 * size, height: 10 * size, class: how }) : h("circle", { cx: x, cy: y, r: size * (how === "new" ? 6 : 4.5), class: how });
  return !phase.id ? h("g", {}, h("title", {}, plain(phase)), shape) : h("a", { svg: true, href: crystalAddress(phase.id), "aria-label": plain(phase) }, h("title", {}, plain(phase)), shape);
}

function binary(found) {
  const stable = found.phases.filter((one) => one.e_above_hull <= found.on_hull);
  const low = Math.min(0, ...stable.map((one) => one.formation_energy_per_atom));
  const top = Math.max(0.02, Math.min(0.3, -3 * low));
  const drawn = found.phases.filter((one) => one.formation_energy_per_atom <= top);
  const highest = Math.max(0, ...drawn.map((one) => one.formation_energy_per_atom));
  const room = 0.12 * (highest - low) || 0.01;
  const [bottom, high] = [low - room, highest + room / 2];
  const x = (value) => 70 + (W - 100) * value;
  const y = (value) => 20 + (H - 90) * ((high - value) / (high - bottom));
  const corners = new Map();
  for (const one of stable) if (!corners.has(one.fractions[1]) || corners.get(one.fractions[1]).formation_energy_per_atom > one.formation_energy_per_atom) corners.set(one.fractions[1], one);
  for (const end of [0, 1]) if (!corners.has(end)) corners.set(end, { fractions: [1 - end, end], formation_energy_per_atom: 0 }); // as the hull has it
  const line = [...corners.values()].sort((a, b) => a.fractions[1] - b.fractions[1]);
  const [first, second] = found.elements;
  return h("svg", { viewBox: `0 0 ${W} ${H}`, class: "plot", role: "group", "aria-label": `Convex hull of ${found.system}` },
    axis(bottom, high).map((value) => [h("line", { x1: x(0), x2: x(1), y1: y(value), y2: y(value), class: "grid" }), h("text", { x: 62, y: y(value) + 4, "text-anchor": "end" }, number(Number(value.toFixed(6)), 2, true))]),
    [0, 0.25, 0.5, 0.75, 1].map((value) => h("text", { x: x(value), y: H - 40, "text-anchor": "middle" }, String(value))),
    h("text", { x: x(0.5), y: H - 12, "text-anchor": "middle" }, `fraction of ${second} in ${first}–${second}`),
    h("text", { x: 16, y: H / 2 - 20, "text-anchor": "middle", transform: `rotate(-90 16 ${H / 2 - 20})` }, "formation energy (eV/atom)"),
    h("polyline", { points: line.map((one) => `${x(one.fractions[1])},${y(one.formation_energy_per_atom)}`).join(" "), class: "hull" }),
    [...drawn].reverse().map((one) => mark(one, found, x(one.fractions[1]), y(one.formation_energy_per_atom))),
    labels(line.filter((one) => one.id).map((one) => ({ text: one.reduced_formula, x: x(one.fractions[1]), y: y(one.formation_energy_per_atom) })), drawn.map((one) => [x(one.fractions[1]), y(one.formation_energy_per_atom)]), [[0, 22, "middle"], [0, -11, "middle"]]));
}

const CORNERS = {
  3: [[0, 1, 0], [-0.8660254, -0.5, 0], [0.8660254, -0.5, 0]],
  4: [[0, 1, 0], [-0.8164966, -0.3333333, -0.4714045], [0.8164966, -0.3333333, -0.4714045], [0, -0.3333333, 0.942809]],
};
const NEAR = 0.1; // eV/atom above the hull that is still drawn in triangles and tetrahedra

function spatial(found) {
  const corners = CORNERS[found.elements.length];
  const turned = { x: 0.25, y: 0.5 };
  const shown = found.phases.filter((one) => one.e_above_hull <= NEAR);
  const at = (fractions) => [0, 1, 2].map((k) => fractions.reduce((sum, share, i) => sum + share * corners[i][k], 0));
  const flat = corners.length === 3;
  const size = Math.min((W - 60) / 1.74, (H - 70) / (flat ? 1.5 : 1.62));
  const [mid, high] = [W / 2, flat ? 34 + size : 0.53 * H];
  const project = ([x, y, z]) => {
    if (flat) return [mid + size * x, high - size * y, 0];
    const [a, b] = [turned.y, turned.x];
    const [u, w] = [x * Math.cos(a) + z * Math.sin(a), -x * Math.sin(a) + z * Math.cos(a)];
    const [v, d] = [y * Math.cos(b) - w * Math.sin(b), y * Math.sin(b) + w * Math.cos(b)];
    return [mid + 0.92 * size * u, high - 0.92 * size * v, d];
  };
  const svg = h("svg", { viewBox: `0 0 ${W} ${H}`, class: "plot", role: "group", "aria-label": `Phase diagram of ${found.system}` });
  const redraw = () => {
    const points = new Map(shown.map((one) => [one, project(at(one.fractions))]));
    const ends = corners.map((corner) => project(corner));
    const edges = [];
    for (let i = 0; i < ends.length; i++) for (let j = 0; j < i; j++) edges.push(h("line", { x1: ends[i][0], y1: ends[i][1], x2: ends[j][0], y2: ends[j][1], class: "grid" }));
    const ties = found.edges.map(([a, b]) => [points.get(found.phases[a]), points.get(found.phases[b])]).filter(([a, b]) => a && b).map(([a, b]) => h("line", { x1: a[0], y1: a[1], x2: b[0], y2: b[1], class: "tie" }));
    const stable = shown.filter((one) => one.e_above_hull <= found.on_hull && Math.max(...one.fractions) < 1);
    const held = (one) => one.fractions.filter((share) => share > 0).length + (kind(one, found) === "new" ? 9 : 0);
    const named = [...new Map(stable.map((one) => [one.reduced_formula, one])).values()].sort((a, b) => held(b) - held(a));
    svg.replaceChildren(...edges, ...ties,
      ...[...points].sort((a, b) => b[0].e_above_hull - a[0].e_above_hull || a[1][2] - b[1][2]).map(([one, [x, y, depth]]) => mark(one, found, x, y, 1 + 0.25 * depth)),
      ...found.elements.map((symbol, i) => h("text", { x: ends[i][0], y: ends[i][1] + (ends[i][1] < high - size / 4 ? -12 : 24), "text-anchor": "middle", "font-size": "16" }, symbol)),
      ...labels(named.map((one) => ({ text: one.reduced_formula, x: points.get(one)[0], y: points.get(one)[1] })), [...points.values()]));
  };
  redraw();
  return flat ? svg : turnable(svg, "the diagram", (right, down) => { turned.y += right; turned.x += down; redraw(); });
}

page("Hulls", async (main) => {
  const query = new URLSearchParams(location.search);
  const system = h("input", { type: "text", name: "system", value: query.get("system") ?? "", placeholder: "Ti-O", required: true, autocomplete: "off", spellcheck: "false" });
  const form = h("form", { class: "row", onsubmit: (event) => { event.preventDefault(); location.search = `?system=${encodeURIComponent(system.value.trim())}`; } },
    h("label", { class: "field" }, h("span", {}, "System of two to four elements"), system), h("button", {}, "Show"));
  main.replaceChildren(h("h1", {}, "Hulls"), form);
  if (!query.get("system")) return;
  const found = await ask(`api/hull?${query}`).catch((error) => ({ error: error.message }));
  if (found.error) { main.append(h("p", { class: "error", role: "alert" }, found.error)); return; }
  document.title = `${found.system} · gnomon explore`;
  const choose = (name, values, value, text) => values.length < 2 ? null : h("label", { class: "field" }, h("span", {}, text),
    h("select", { onchange: (event) => { query.set(name, event.target.value); if (name === "source") query.delete("level"); location.search = `?${query}`; } }, values.map((one) => h("option", { value: one, selected: one === value }, String(one)))));
  form.append(...[choose("source", found.sources, found.source, "Source"), choose("level", found.levels, found.level, "Level")].filter(Boolean));
  const below = h("div");
  const binaryOne = found.elements.length === 2;
  main.append(h("h2", {}, found.system, " ", h("small", {}, `from ${found.source}${found.levels.length > 1 ? `, level ${found.level}` : ""}`)),
    h("figure", {}, binaryOne ? binary(found) : spatial(found), h("figcaption", {}, "Orange discs: new stable phases; squares: other phases on the hull; hollow: above it", binaryOne ? "." : ` (up to ${1000 * NEAR} meV/atom). Lines join phases that coexist.`, " A mark leads to its page.")),
    below, table(`${found.total} phases${found.total > found.phases.length ? `, the ${found.phases.length} lowest` : ""}.`, [{ text: "Phase" }, { text: "Space group" }, { text: "Formation energy", unit: "eV/atom", number: true }, { text: "Above the hull", unit: "meV/atom", number: true }, { text: "Status" }],
      found.phases.filter((one) => one.id).slice(0, 200).map((one) => [h("a", { href: crystalAddress(one.id) }, formula(one.reduced_formula)), groupName(one.space_group), number(one.formation_energy_per_atom, 4, true), mev(one.e_above_hull), one.status])));
  if (found.elements.length > 3) return;
  const limits = await ask(`api/potentials?${query}`).catch((error) => ({ error: error.message }));
  below.append(...(limits.error ? [h("p", { class: "error", role: "alert" }, limits.error)] : potentials(limits)));
});
