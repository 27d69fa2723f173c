// The heat map of the table by which ions are replaced; a pair leads to searches.
import { ask, h, number, page, table } from "./common.js";
import { bytes, css, gradient, strip } from "./colors.js";

const LISTED = 15;

const RAISED = { "+": "⁺", "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };
const ion = (text) => text.replace(/(\d*[+-]|0)$/, (charge) => [...charge].map((one) => RAISED[one]).join("")); // Fe³⁺
const TICKS = 13;

function drawn(found, chosen, choose) {
  const n = found.ions.length;
  const size = 4;
  const weights = new Float32Array(bytes(found.weights));
  const canvas = h("canvas", { width: n * size, height: n * size, role: "img", "aria-label": `Heat map of ${n} × ${n} ions; the list below holds the rows of each ion` });
  const pen = canvas.getContext("2d");
  const empty = getComputedStyle(document.documentElement).getPropertyValue("--soft").trim();
  for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) {
    const weight = weights[i * n + j];
    pen.fillStyle = weight <= found.unseen + 1e-6 ? empty : css(gradient(weight / found.limit));
    pen.fillRect(j * size, (n - 1 - i) * size, size, size);
  }
  if (chosen >= 0) { pen.strokeStyle = getComputedStyle(document.documentElement).getPropertyValue("--accent").trim(); pen.lineWidth = 1.5; pen.strokeRect(chosen * size, 0, size, n * size); }
  const said = h("p", { class: "muted", "aria-live": "off" }, "Point at a square; a click chooses its column.");
  const spot = (event) => { const box = canvas.getBoundingClientRect(); return [Math.floor(((event.clientX - box.left) / box.width) * n), n - 1 - Math.floor(((event.clientY - box.top) / box.height) * n)].map((k) => Math.min(Math.max(k, 0), n - 1)); };
  canvas.addEventListener("pointermove", (event) => { const [j, i] = spot(event); const weight = weights[i * n + j]; said.textContent = `${ion(found.ions[j])} → ${ion(found.ions[i])}: ${weight <= found.unseen + 1e-6 ? "never seen" : `λ = ${number(weight, 2)}`}`; });
  canvas.addEventListener("click", (event) => choose(spot(event)[0]));
  const ticks = Array.from({ length: TICKS }, (_, k) => ion(found.ions[Math.round((k * (n - 1)) / (TICKS - 1))]));
  const along = (name, texts) => h("div", { class: name, "aria-hidden": "true" }, texts.map((text) => h("span", {}, text)));
  return [h("div", { class: "heat" }, along("up", [...ticks].reverse()), canvas, along("across", ticks)), said];
}

function rows(found, at) {
  const n = found.ions.length;
  const [weights, shares] = ["weights", "probabilities"].map((name) => new Float32Array(bytes(found[name])));
  const every = found.ions.map((name, i) => ({ name, symbol: found.elements[i], weight: weights[i * n + at], share: shares[i * n + at], own: i === at }));
  return every.filter((one) => !one.own && one.weight > found.unseen + 1e-6).sort((a, b) => b.weight - a.weight).slice(0, LISTED);
}

page("Substitutions", async (main) => {
  const found = await ask("api/substitutions");
  const query = new URLSearchParams(location.search);
  const usual = ["Na+", "O2-"].map((name) => found.ions.indexOf(name)).find((i) => i >= 0) ?? 0;
  const given = found.ions.indexOf(query.get("ion") ?? "");
  const place = h("div");
  const choose = (at) => {
    const inList = document.activeElement?.tagName === "SELECT";
    query.set("ion", found.ions[at]);
    history.replaceState(null, "", `?${query}`);
    fill(at);
    if (inList) place.querySelector("select").focus();
  };
  const fill = (at) => {
    const select = h("select", { onchange: (event) => choose(Number(event.target.value)) }, found.ions.map((name, i) => h("option", { value: i, selected: i === at }, ion(name))));
    const symbol = found.elements[at];
    place.replaceChildren(h("div", { class: "row" }, h("label", { class: "field" }, h("span", {}, "Ion of the parent"), select)),
      table(`What replaces ${ion(found.ions[at])}, the likeliest first.`, [{ text: "By" }, { text: "λ", number: true }, { text: "Probability", number: true }, { text: "Crystals" }],
        rows(found, at).map((one) => [ion(one.name), number(one.weight, 2), one.share < 1e-4 ? "< 0.01 %" : `${(100 * one.share).toFixed(2)} %`, [h("a", { href: `index.html?include=${one.symbol}` }, `with ${one.symbol}`), one.symbol === symbol ? null : [" · ", h("a", { href: `index.html?include=${one.symbol}&exclude=${symbol}` }, `without ${symbol}`)]]])),
      h("p", {}, h("a", { href: `index.html?include=${symbol}` }, `crystals with ${symbol}`)),
      h("figure", {}, ...drawn(found, at, choose), h("p", { class: "row legend" }, h("span", {}, "λ 0"), strip(), h("span", {}, `${found.limit} and more`), h("span", { class: "muted" }, "(pale: never seen in known crystals)")),
        h("figcaption", {}, "Across the ion of the parent, up the one that replaces it, both by the modified Pettifor scale and then by charge. p = exp(λ) / Z: ", found.source, "; scale: ", found.scale, ".")));
  };
  main.replaceChildren(h("h1", {}, "Which ions replace which"), h("p", {}, "The table in the package that generators use, learned from known crystals: pairs of ions that stand for each other in compounds of one prototype."), place);
  fill(given >= 0 ? given : usual);
});
