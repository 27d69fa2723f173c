// A panel of a crystal's page: a title, then what it has of a text, a diffractogram, steps and rows.
import { crystalAddress, formula, groupName, h, mev, number, sentence, table } from "./common.js";
import { W } from "./plot.js";

const H = 250;

// Formulas inside of a text: a balanced reaction.
const reaction = (text) => text.split(/(\s)/).map((part) => (/^[A-Z][A-Za-z0-9()]*$/.test(part) && /→/.test(text) ? formula(part) : part));

function cell(head, value) {
  if (value === null || value === undefined || value === "") return "–";
  if (typeof value === "object") return h("a", { href: crystalAddress(value.id) }, head.formula ? formula(value.text) : value.text);
  if (head.group) return groupName(value);
  if (typeof value === "number") return number(value, head.digits ?? 4, head.digits !== null);
  return head.formula ? formula(value) : value.split(/(?<=_)/).flatMap((part, i) => (i ? [h("wbr"), part] : [part])); // labels of prototypes may break
}

function rows(panel, caption) {
  const numeric = panel.heads.map((head, i) => head.digits !== null || !head.group && panel.rows.every((row) => typeof row[i] === "number"));
  return table(caption, panel.heads.map((head, i) => ({ text: head.text, unit: head.unit, number: numeric[i] })),
    panel.rows.map((row) => row.map((value, i) => cell(panel.heads[i], value))));
}

// Pseudo-Voigt profiles, half Gaussian and half Lorentzian, of the lines.
function pattern(panel) {
  const { lowest, highest, width } = panel.further;
  const step = 0.05;
  const values = new Float64Array(Math.round((highest - lowest) / step) + 1);
  for (const [at, height] of panel.peaks) {
    const middle = Math.round((at - lowest) / step);
    for (let i = Math.max(0, middle - 60); i <= Math.min(values.length - 1, middle + 60); i++) {
      const u = ((lowest + i * step - at) / width) ** 2;
      values[i] += (height / 2) * (2 ** (-4 * u) + 1 / (1 + 4 * u));
    }
  }
  return [...values].map((value, i) => [lowest + i * step, value]);
}

function diffractogram(panel) {
  const { lowest, highest } = panel.further;
  const curve = pattern(panel);
  const most = Math.max(...curve.map(([, value]) => value));
  const x = (value) => 20 + ((W - 40) * (value - lowest)) / (highest - lowest);
  const y = (value) => 196 - (180 * value) / most;
  const ticks = Array.from({ length: Math.round((highest - lowest) / 10) + 1 }, (_, i) => lowest + 10 * i);
  return h("figure", {}, h("svg", { viewBox: `0 0 ${W} ${H}`, class: "plot", role: "img", "aria-label": `Simulated diffractogram with ${panel.peaks.length} lines; the strongest are in the table` },
    panel.peaks.map(([at]) => h("line", { x1: x(at), x2: x(at), y1: 200, y2: 207, class: "tie" })),
    h("line", { x1: x(lowest), x2: x(highest), y1: 212, y2: 212, class: "axis" }),
    ticks.map((value) => [h("line", { x1: x(value), x2: x(value), y1: 212, y2: 217, class: "axis" }), h("text", { x: x(value), y: 231, "text-anchor": "middle" }, String(value))]),
    h("text", { x: W / 2, y: 247, "text-anchor": "middle" }, "2θ (degrees)"),
    h("polyline", { points: curve.map(([at, value]) => `${x(at).toFixed(1)},${y(value).toFixed(1)}`).join(" "), class: "curve" })));
}

// The root stands at the top; between two crystals stands what was done to the upper one.
function lineage(panel) {
  return h("ol", { class: "lineage" }, panel.steps.map((one, i) => {
    const known = one.named;
    const name = known ? formula(known.reduced_formula) : one.change || one.id;
    const said = known ? [known.space_group ? groupName(known.space_group) : null, known.e_above_hull === null ? null : `${mev(known.e_above_hull)} meV/atom above the hull`].filter(Boolean).flatMap((part, k) => (k ? [", ", part] : [part])) : "not among these crystals";
    return h("li", {},
      one.made && !i ? h("div", { class: "crystal" }, one.made) : null,
      one.made ? h("div", { class: "made" }, one.change, i ? [" ", h("span", { class: "muted" }, `(${one.made})`)] : null) : null,
      h("div", { class: "crystal" }, known ? h("a", { href: crystalAddress(one.id), "aria-current": i === panel.steps.length - 1 ? "page" : null }, name) : name, " ", h("span", { class: "muted" }, said)));
  }));
}

// A work whose DOI is a link.
function linked(work) {
  const [before, doi] = work.split(/doi:(?=10\.)/);
  return doi ? [before, h("a", { href: `https://doi.org/${doi}` }, `doi:${doi}`)] : work;
}

export function panelOf(panel) {
  return h("section", {}, h("h2", {}, panel.title),
    (panel.text ?? []).map((line) => h("p", {}, sentence(line))),
    panel.works ? h("details", {}, h("summary", {}, `Works to cite (${panel.works.length})`), h("ol", { class: "works" }, panel.works.map((one) => h("li", {}, linked(one))))) : null,
    panel.steps ? [h("p", { class: "muted" }, panel.about), lineage(panel)] : null,
    panel.peaks ? diffractogram(panel) : null,
    panel.rows ? rows(panel, h("span", {}, reaction(panel.about ?? ""))) : null);
}
