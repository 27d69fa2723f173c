// Hulls: formation energy over composition, a triangle, a tetrahedron to turn; marks lead to pages.
import { potentials, sub } from "./potentials.js";
import { ask, crystalAddress, formula, h, mev, number, page, table } from "./common.js";

const W = 760;
const H = 480;
const plain = (phase) => `${phase.reduced_formula}, ${phase.status ?? ""}: ${number(phase.formation_energy_per_atom)} eV/atom, ${mev(phase.e_above_hull)} meV/atom above the hull`;
const FOUND = ["new stable phase", "new stable phase, again"];
const kind = (phase, found) => (phase.e_above_hull > found.on_hull ? "above" : FOUND.includes(phase.status) ? "new" : "known");

function mark(phase, found, x, y) {
  const how = kind(phase, found);
  const shape = how === "known" ? h("rect", { x: x - 5, y: y - 5, width: 10, height: 10, class: how }) : h("circle", { cx: x, cy: y, r: how === "new" ? 6 : 4.5, class: how });
  return h("a", { svg: true, href: crystalAddress(phase.id), "aria-label": plain(phase) }, h("title", {}, plain(phase)), shape);
}

function axis(from, to, most = 6) {
  const rough = (to - from) / most;
  const size = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * size).find((n) => n >= rough);
  const ticks = [];
  for (let value = Math.ceil(from / step) * step; value <= to + 1e-9; value += step) ticks.push(value);
  return ticks;
}

function binary(found) {
  const stable = found.phases.filter((one) => one.e_above_hull <= found.on_hull);
  const low = Math.min(0, ...stable.map((one) => one.formation_energy_per_atom));
  const top = Math.max(0.02, Math.min(0.3, -5 * low), 0);
  const drawn = found.phases.filter((one) => one.formation_energy_per_atom <= top);
  const [bottom, high] = [low - 0.1 * (top - low), top];
  const x = (value) => 70 + (W - 100) * value;
  const y = (value) => 20 + (H - 80) * ((high - value) / (high - bottom));
  const corners = new Map();
  for (const one of stable) if (!corners.has(one.fractions[1]) || corners.get(one.fractions[1]).formation_energy_per_atom > one.formation_energy_per_atom) corners.set(one.fractions[1], one);
  for (const end of [0, 1]) if (!corners.has(end)) corners.set(end, { fractions: [1 - end, end], formation_energy_per_atom: 0 }); // as the hull has it
  const line = [...corners.values()].sort((a, b) => a.fractions[1] - b.fractions[1]);
  const [first, second] = found.elements;
  return h("svg", { viewBox: `0 0 ${W} ${H}`, class: "plot", role: "group", "aria-label": `Convex hull of ${found.system}` },
    axis(bottom, high).map((value) => [h("line", { x1: x(0), x2: x(1), y1: y(value), y2: y(value), class: "grid" }), h("text", { x: 62, y: y(value) + 4, "text-anchor": "end" }, number(Number(value.toFixed(6)), 2))]),
    [0, 0.25, 0.5, 0.75, 1].map((value) => h("text", { x: x(value), y: H - 40, "text-anchor": "middle" }, String(value))),
    h("text", { x: x(0.5), y: H - 12, "text-anchor": "middle" }, `fraction of ${second} in ${first}–${second}`),
    h("text", { x: 16, y: H / 2 - 20, "text-anchor": "middle", transform: `rotate(-90 16 ${H / 2 - 20})` }, "formation energy (eV/atom)"),
    h("polyline", { points: line.map((one) => `${x(one.fractions[1])},${y(one.formation_energy_per_atom)}`).join(" "), class: "hull" }),
    [...drawn].reverse().map((one) => mark(one, found, x(one.fractions[1]), y(one.formation_energy_per_atom))),
    line.length <= 15 ? line.filter((one) => one.id).map((one) => sub(one.reduced_formula, x(one.fractions[1]), y(one.formation_energy_per_atom) + 22)) : null);
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
  const project = ([x, y, z]) => {
    if (corners.length === 3) return [W / 2 + 230 * x, 290 - 230 * y, 0];
    const [a, b] = [turned.y, turned.x];
    const [u, w] = [x * Math.cos(a) + z * Math.sin(a), -x * Math.sin(a) + z * Math.cos(a)];
    const [v, d] = [y * Math.cos(b) - w * Math.sin(b), y * Math.sin(b) + w * Math.cos(b)];
    return [W / 2 + 230 * u, 240 - 230 * v, d];
  };
  const svg = h("svg", { viewBox: `0 0 ${W} ${H}`, class: "plot", role: "group", "aria-label": `Phase diagram of ${found.system}` });
  const redraw = () => {
    const points = new Map(shown.map((one) => [one, project(at(one.fractions))]));
    const ends = corners.map((corner) => project(corner));
    const edges = [];
    for (let i = 0; i < ends.length; i++) for (let j = 0; j < i; j++) edges.push(h("line", { x1: ends[i][0], y1: ends[i][1], x2: ends[j][0], y2: ends[j][1], class: "grid" }));
    const ties = found.edges.map(([a, b]) => [points.get(found.phases[a]), points.get(found.phases[b])]).filter(([a, b]) => a && b).map(([a, b]) => h("line", { x1: a[0], y1: a[1], x2: b[0], y2: b[1], class: "tie" }));
    const stable = shown.filter((one) => one.e_above_hull <= found.on_hull && Math.max(...one.fractions) < 1);
    svg.replaceChildren(...edges, ...ties,
      ...[...points].sort((a, b) => b[0].e_above_hull - a[0].e_above_hull || a[1][2] - b[1][2]).map(([one, [x, y]]) => mark(one, found, x, y)),
      ...found.elements.map((symbol, i) => h("text", { x: ends[i][0], y: ends[i][1] + (ends[i][1] < 200 ? -12 : 24), "text-anchor": "middle", "font-size": "16" }, symbol)),
      ...(stable.length <= 15 ? stable.map((one) => sub(one.reduced_formula, points.get(one)[0], points.get(one)[1] - 10)) : []));
  };
  redraw();
  if (corners.length === 3) return svg;
  svg.style.touchAction = "none";
  svg.addEventListener("pointermove", (event) => { if (event.buttons) { turned.y += event.movementX / 150; turned.x += event.movementY / 150; redraw(); } });
  const turn = (dx, dy, text, sign) => h("button", { type: "button", "aria-label": text, onclick: () => { turned.y += dx; turned.x += dy; redraw(); } }, sign);
  return [svg, h("div", { class: "row" }, turn(-0.3, 0, "turn left", "◀"), turn(0.3, 0, "turn right", "▶"), turn(0, -0.3, "turn up", "▲"), turn(0, 0.3, "turn down", "▼"))];
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
  main.append(h("h2", {}, `${found.system} in ${found.source}${found.levels.length > 1 ? `, level ${found.level}` : ""}`),
    h("figure", {}, binaryOne ? binary(found) : spatial(found), h("figcaption", {}, "Orange discs: new stable phases; squares: other phases on the hull; hollow: above it", binaryOne ? "." : ` (up to ${1000 * NEAR} meV/atom). Lines join phases that coexist.`, " A mark leads to its page.")),
    below, table(`${found.total} phases${found.total > found.phases.length ? `, the ${found.phases.length} lowest` : ""}.`, [{ text: "Phase" }, { text: "Space group", number: true }, { text: "Formation energy", unit: "eV/atom", number: true }, { text: "Above the hull", unit: "meV/atom", number: true }, { text: "Status" }],
      found.phases.slice(0, 200).map((one) => [h("a", { href: crystalAddress(one.id) }, formula(one.reduced_formula)), String(one.space_group ?? "–"), number(one.formation_energy_per_atom), mev(one.e_above_hull), one.status])));
  if (found.elements.length > 3) return;
  const limits = await ask(`api/potentials?${query}`).catch((error) => ({ error: error.message }));
  below.append(...(limits.error ? [h("p", { class: "error" }, limits.error)] : potentials(limits)));
});
