// The chemical-potential diagram of two or three elements, below its hull.
import { crystalAddress, formula, h, number, table } from "./common.js";
import { KINDS } from "./colors.js";
import { H, labels, sub, turnable, W } from "./plot.js";

const FOUND = ["new stable phase", "new stable phase, again"];
const color = (i) => KINDS[i % KINDS.length];
const plain = (one, elements) => `${one.reduced_formula}: ${elements.map((symbol, k) => `μ(${symbol}) ${number(one.limits[k][0], 2)} to ${number(one.limits[k][1], 2)} eV/atom`).join(", ")}`;
const linked = (one, elements, ...drawn) => (one.id ? h("a", { svg: true, href: crystalAddress(one.id), "aria-label": plain(one, elements) }, h("title", {}, plain(one, elements)), ...drawn) : h("g", {}, h("title", {}, plain(one, elements)), ...drawn));

function flat(found) {
  const [low, side] = [found.lowest, H - 80];
  const x = (mu) => 90 + ((mu - low) / -low) * (W - 160);
  const y = (mu) => 20 + (mu / low) * side;
  const step = [0.1, 0.2, 0.5, 1, 2, 5].find((one) => -low / one <= 6) ?? 10;
  const ticks = Array.from({ length: Math.floor(-low / step) + 1 }, (_, i) => -i * step);
  return h("svg", { viewBox: `0 0 ${W} ${H}`, class: "plot potentials", role: "group", "aria-label": `Chemical potentials of ${found.system}` },
    ticks.map((mu) => [h("line", { x1: x(low), x2: x(0), y1: y(mu), y2: y(mu), class: "grid" }), h("line", { x1: x(mu), x2: x(mu), y1: y(low), y2: y(0), class: "grid" }),
      h("text", { x: x(low) - 8, y: y(mu) + 4, "text-anchor": "end" }, number(mu, 1)), h("text", { x: x(mu), y: H - 40, "text-anchor": "middle" }, number(mu, 1))]),
    h("text", { x: x(low / 2), y: H - 12, "text-anchor": "middle" }, `μ(${found.elements[0]}) (eV/atom)`),
    h("text", { x: 22, y: H / 2 - 20, "text-anchor": "middle", transform: `rotate(-90 22 ${H / 2 - 20})` }, `μ(${found.elements[1]}) (eV/atom)`),
    found.domains.map((one, i) => {
      const ends = one.vertices.map(([a, b]) => [x(a), y(b)]);
      const line = h("polyline", { points: ends.map((at) => at.join(",")).join(" "), fill: "none", "stroke-width": FOUND.includes(one.status) ? 6 : 4 });
      line.style.stroke = color(i);
      const [cx, cy] = [0, 1].map((k) => ends.reduce((sum, at) => sum + at[k], 0) / ends.length);
      return linked(one, found.elements, line, sub(one.reduced_formula, cx - 8, cy + 16, "end"));
    }));
}

function turning(found) {
  const turned = { x: 0.5, y: 0.75 };
  const scale = 0.45 * H / -found.lowest;
  const project = (mu) => {
    const [a, b, c] = mu.map((one) => (one - found.lowest / 2) * scale);
    const [u, w] = [a * Math.cos(turned.y) - b * Math.sin(turned.y), a * Math.sin(turned.y) + b * Math.cos(turned.y)];
    return [W / 2 + u, H / 2 - (c * Math.cos(turned.x) - w * Math.sin(turned.x)), c * Math.sin(turned.x) + w * Math.cos(turned.x)];
  };
  const svg = h("svg", { viewBox: `0 0 ${W} ${H}`, class: "plot potentials", role: "group", "aria-label": `Chemical potentials of ${found.system}` });
  const redraw = () => {
    const faces = found.domains.map((one, i) => {
      const ends = one.vertices.map(project);
      const middle = [0, 1, 2].map((k) => ends.reduce((sum, at) => sum + at[k], 0) / ends.length);
      const face = h("polygon", { points: ends.map(([u, v]) => `${u},${v}`).join(" "), "fill-opacity": /^[A-Z][a-z]?\d*$/.test(one.reduced_formula) ? 0.1 : 0.55, "stroke-width": 1.2, class: "edge" });
      face.style.fill = color(i);
      return { depth: middle[2], drawn: linked(one, found.elements, face), name: { text: one.reduced_formula, x: middle[0], y: middle[1] }, size: Math.max(...ends.map(([u]) => u)) - Math.min(...ends.map(([u]) => u)) };
    }).sort((a, b) => b.depth - a.depth);
    const axes = found.elements.map((symbol, k) => {
      const [from, to] = [[0, 1, 2].map(() => found.lowest), [0, 1, 2].map((one) => (one === k ? 0 : found.lowest))].map(project);
      return [h("line", { x1: from[0], y1: from[1], x2: to[0], y2: to[1], class: "axis" }), h("text", { x: to[0], y: to[1] - 6, "text-anchor": "middle" }, `μ(${symbol}) = 0`)];
    });
    svg.replaceChildren(...axes.flat(), ...faces.map((one) => one.drawn), ...labels([...faces].sort((a, b) => b.size - a.size).map((one) => one.name), [], [[0, 4, "middle"]]));
  };
  redraw();
  return turnable(svg, "the potentials", (right, down) => { turned.y -= right; turned.x += down; redraw(); });
}

export function potentials(found) {
  const two = found.elements.length === 2;
  return [h("h2", {}, "Chemical potentials"),
    h("figure", {}, two ? flat(found) : turning(found), h("figcaption", {}, `Where each phase is stable, relative to the references of the formation energies: ${two ? "a line a phase" : "a face a phase; drag to turn"}. Cut off at ${number(found.lowest, 2)} eV/atom, beyond which nothing changes.`)),
    table("Lowest and highest potential at which each phase is stable.", [{ text: "Phase" }, ...found.elements.map((symbol) => ({ text: `μ(${symbol})`, unit: "eV/atom", number: true }))],
      found.domains.map((one) => [one.id ? h("a", { href: crystalAddress(one.id) }, formula(one.reduced_formula)) : formula(one.reduced_formula), ...one.limits.map(([low, high]) => `${low < 0.95 * found.lowest ? "−∞" : number(low, 3, true)} to ${number(high, 3, true)}`)]))];
}
