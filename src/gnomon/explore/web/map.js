// The map: all crystals placed by what the networks see of them, drawn by WebGL.
import { ask, crystalAddress, formula, groupName, h, label, mev, number, page, table } from "./common.js";
import { bytes, css, dot, gradient, KINDS, REST, rgb, strip, typeName } from "./colors.js";

const LISTED = 40;
const SLOW = 34; // ms between two frames of a map that moves
const MOST_LEFT_OUT = 16; // of so many points one is drawn at least
const NEAR = 14; // px within which a point is meant

const VERTEX = "attribute vec2 at; attribute vec4 color; uniform vec2 scale, move; uniform float size; varying vec4 c; void main() { gl_Position = vec4(at * scale + move, 0.0, 1.0); gl_PointSize = size; c = color; }";
const FRAGMENT = "precision mediump float; varying vec4 c; void main() { float r = length(gl_PointCoord - 0.5) * 2.0; float a = c.a * (1.0 - smoothstep(0.7, 1.0, r)); if (a < 0.01) discard; gl_FragColor = vec4(c.rgb * a, a); }";

function painter(canvas) {
  const gl = canvas.getContext("webgl", { antialias: false, premultipliedAlpha: true, preserveDrawingBuffer: true });
  if (!gl) throw new Error("this browser has no WebGL");
  const program = gl.createProgram();
  for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, text);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program));
  gl.useProgram(program);
  gl.enable(gl.BLEND);
  gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  const uniform = Object.fromEntries(["scale", "move", "size"].map((name) => [name, gl.getUniformLocation(program, name)]));
  const held = {};
  const fill = (name, data, n, kind, norm) => {
    const one = (held[name] ??= { at: gl.getAttribLocation(program, name), buffer: gl.createBuffer(), n, kind, norm, bytes: n * data.BYTES_PER_ELEMENT });
    gl.bindBuffer(gl.ARRAY_BUFFER, one.buffer);
    gl.bufferData(gl.ARRAY_BUFFER, data, gl.STATIC_DRAW);
    gl.enableVertexAttribArray(one.at);
  };
  return {
    points: (data) => fill("at", data, 2, gl.FLOAT, false),
    colors: (data) => fill("color", data, 4, gl.UNSIGNED_BYTE, true),
    draw(n, view, size, each) { // each so many-th point
      for (const one of Object.values(held)) {
        gl.bindBuffer(gl.ARRAY_BUFFER, one.buffer);
        gl.vertexAttribPointer(one.at, one.n, one.kind, one.norm, each * one.bytes, 0);
      }
      gl.viewport(0, 0, canvas.width, canvas.height);
      gl.clearColor(0, 0, 0, 0);
      gl.clear(gl.COLOR_BUFFER_BIT);
      gl.uniform2f(uniform.scale, view.kx, view.ky);
      gl.uniform2f(uniform.move, -view.x * view.kx, -view.y * view.ky);
      gl.uniform1f(uniform.size, size);
      gl.drawArrays(gl.POINTS, 0, Math.ceil(n / each));
    },
  };
}

// Which points lie near a place: their numbers by squares of a grid.
function squares(x, y, box) {
  const side = Math.max(1, Math.min(256, Math.round(Math.sqrt(x.length))));
  const step = [(box.x1 - box.x0) / side || 1, (box.y1 - box.y0) / side || 1];
  const place = (px, py) => [Math.floor((px - box.x0) / step[0]), Math.floor((py - box.y0) / step[1])].map((k) => Math.min(Math.max(k, 0), side - 1));
  const cells = new Map();
  for (let i = 0; i < x.length; i++) {
    const [a, b] = place(x[i], y[i]);
    const key = a * side + b;
    if (!cells.has(key)) cells.set(key, []);
    cells.get(key).push(i);
  }
  return function* within(px, py, reach) {
    const [a0, b0] = place(px - reach, py - reach);
    const [a1, b1] = place(px + reach, py + reach);
    for (let a = a0; a <= a1; a++) for (let b = b0; b <= b1; b++) yield* cells.get(a * side + b) ?? [];
  };
}

const MIXED = "mixed";

function said(region) {
  const [text, k, type] = region.prototypes[0] ?? ["", 0, ""];
  return [region.elements.map(([symbol]) => symbol).join(", "), k >= 0.2 * region.crystals ? typeName(text, type) : ""].filter(Boolean).join(" · ") || MIXED;
}

function legend(colors) {
  if (colors.kind === "number") {
    const unit = colors.unit && colors.unit !== "1" ? ` ${colors.unit}` : "";
    return [h("span", {}, number(colors.low, 3)), strip(), h("span", {}, `${number(colors.high, 3)}${unit}`), h("span", { class: "muted" }, "(2 % at each end beyond); grey: no value")];
  }
  return [...colors.words.map((word, i) => h("span", {}, dot(KINDS[i]), ` ${word} `, h("span", { class: "muted" }, colors.counts[i].toLocaleString("en")))), h("span", {}, dot(css(REST)), " others or none")];
}

function painted(colors, n) {
  const out = new Uint8Array(4 * n);
  const values = colors.kind === "number" ? new Float32Array(bytes(colors.values)) : new Int8Array(bytes(colors.codes));
  const span = colors.high - colors.low || 1;
  const kinds = KINDS.map(rgb);
  for (let i = 0; i < n; i++) {
    const known = colors.kind === "number" ? Number.isFinite(values[i]) : values[i] >= 0;
    const one = !known ? REST : colors.kind === "number" ? gradient((values[i] - colors.low) / span) : kinds[values[i]];
    out.set([...one, known ? 215 : 90], 4 * i);
  }
  return out;
}

function explorable(found, main) {
  const n = found.placed;
  const [x, y] = [new Float32Array(bytes(found.x)), new Float32Array(bytes(found.y))];
  const at = new Float32Array(2 * n);
  const box = { x0: Infinity, x1: -Infinity, y0: Infinity, y1: -Infinity };
  for (let i = 0; i < n; i++) {
    at[2 * i] = x[i]; at[2 * i + 1] = y[i];
    box.x0 = Math.min(box.x0, x[i]); box.x1 = Math.max(box.x1, x[i]); box.y0 = Math.min(box.y0, y[i]); box.y1 = Math.max(box.y1, y[i]);
  }
  const within = squares(x, y, box);
  const canvas = h("canvas", { tabindex: "0", role: "img", "aria-label": `Map of ${n} crystals: arrow keys move it, plus and minus change its size; the crystals in its middle are listed below` });
  const names = h("div", { class: "names", "aria-hidden": "true" });
  const tip = h("div", { class: "tip", hidden: true });
  const cross = h("div", { class: "cross", "aria-hidden": "true" });
  const place = h("div", { class: "map" }, canvas, names, cross, tip);
  const paint = painter(canvas);
  paint.points(at);
  paint.colors(painted({ kind: "text", codes: btoa("\xff".repeat(n)), words: [] }, n));
  const view = { x: (box.x0 + box.x1) / 2, y: (box.y0 + box.y1) / 2, zoom: 1 };
  const labels = found.regions.map((one) => { const made = h("span", {}, said(one) === MIXED ? "" : said(one)); names.append(made); return made; });
  const changed = new Set();
  let waiting = false;
  let [each, before, still] = [1, 0, 0]; // a machine that falls behind draws a part of the points while they move, and all of them at rest
  const paced = () => {
    const gap = performance.now() - before;
    before += gap;
    if (gap < 400) each = gap > SLOW ? Math.min(2 * each, MOST_LEFT_OUT) : each;
    clearTimeout(still);
    if (each > 1) still = setTimeout(() => drawNow(1), 250);
    return each;
  };
  const unit = () => { const whole = Math.max((box.x1 - box.x0) / place.clientWidth, (box.y1 - box.y0) / place.clientHeight) * 1.08 || 1; return whole / view.zoom; }; // of the map, a pixel
  const toMap = (px, py) => [view.x + (px - place.clientWidth / 2) * unit(), view.y - (py - place.clientHeight / 2) * unit()];
  const toPixel = (mx, my) => [place.clientWidth / 2 + (mx - view.x) / unit(), place.clientHeight / 2 - (my - view.y) / unit()];
  const drawNow = (part) => {
    waiting = false;
    const ratio = window.devicePixelRatio || 1;
    const [w, hh] = [place.clientWidth, place.clientHeight];
    if (canvas.width !== Math.round(w * ratio) || canvas.height !== Math.round(hh * ratio)) { canvas.width = Math.round(w * ratio); canvas.height = Math.round(hh * ratio); }
    view.kx = 2 / (w * unit()); view.ky = 2 / (hh * unit());
    const room = Math.sqrt((w * hh) / n) * 0.55 * Math.sqrt(view.zoom);
    paint.draw(n, view, Math.min(Math.max(room, 2.4), 11) * ratio, part ?? paced());
    const taken = [];
    labels.forEach((made, i) => {
      const [px, py] = toPixel(found.regions[i].x, found.regions[i].y);
      const wide = 6.6 * made.textContent.length;
      const free = px > wide / 2 && py > 10 && px < w - wide / 2 && py < hh - 10 && taken.every(([a, b, c]) => Math.abs(a - px) > (c + wide) / 2 + 4 || Math.abs(b - py) > 18);
      made.hidden = !free;
      if (free) { taken.push([px, py, wide]); made.style.transform = `translate(-50%, -50%) translate(${px}px, ${py}px)`; }
    });
    place.dataset.drawn = "yes";
    changed.forEach((one) => one());
  };
  const draw = () => { if (!waiting) { waiting = true; requestAnimationFrame(() => drawNow()); } };
  const zoom = (factor, px = place.clientWidth / 2, py = place.clientHeight / 2) => {
    const before = toMap(px, py);
    view.zoom = Math.min(Math.max(view.zoom * factor, 0.7), 400);
    const after = toMap(px, py);
    view.x += before[0] - after[0]; view.y += before[1] - after[1];
    draw();
  };
  const move = (dx, dy) => { view.x -= dx * unit(); view.y += dy * unit(); draw(); };
  const nearest = (px, py) => {
    const [mx, my] = toMap(px, py);
    let [best, least] = [-1, (NEAR * unit()) ** 2];
    for (const i of within(mx, my, NEAR * unit())) { const d = (x[i] - mx) ** 2 + (y[i] - my) ** 2; if (d < least) { least = d; best = i; } }
    return best;
  };
  const middle = (most) => {
    const [w, hh] = [(place.clientWidth / 2) * unit(), (place.clientHeight / 2) * unit()];
    const there = [];
    for (const i of within(view.x, view.y, Math.max(w, hh))) if (Math.abs(x[i] - view.x) <= w && Math.abs(y[i] - view.y) <= hh) there.push(i);
    const far = (i) => (x[i] - view.x) ** 2 + (y[i] - view.y) ** 2;
    return [there.length, there.sort((a, b) => far(a) - far(b)).slice(0, most)];
  };
  listen(place, canvas, tip, { move, zoom, nearest, found });
  new ResizeObserver(draw).observe(place);
  const color = async (name) => { const colors = await ask(`api/map-colors?column=${encodeURIComponent(name)}`); paint.colors(painted(colors, n)); draw(); return colors; };
  const go = (region) => { view.x = region.x; view.y = region.y; view.zoom = Math.max(view.zoom, 4); draw(); canvas.focus(); };
  const whole = () => { Object.assign(view, { x: (box.x0 + box.x1) / 2, y: (box.y0 + box.y1) / 2, zoom: 1 }); draw(); };
  place.map = { toPixel, view, x, y, zoom };
  return { place, color, zoom, middle, whole, go, changed };
}

function listen(place, canvas, tip, { move, zoom, nearest, found }) {
  const down = new Map();
  let [gone, asked] = [0, -1];
  const spot = (event) => { const box = place.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
  const apart = () => { const [a, b] = [...down.values()]; return Math.hypot(a[0] - b[0], a[1] - b[1]); };
  const tell = async (i, px, py) => {
    tip.hidden = i < 0;
    canvas.style.cursor = i < 0 ? "grab" : "pointer";
    if (i < 0 || i === asked) { asked = i; return; }
    asked = i;
    tip.style.left = `${Math.min(px + 14, place.clientWidth - 210)}px`;
    tip.style.top = `${Math.max(py - 10, 4)}px`;
    const { rows } = await ask(`api/search?id=${encodeURIComponent(found.ids[i])}&columns=reduced_formula,space_group,prototype,e_above_hull,source`).catch(() => ({ rows: [] })); // the list says why
    if (asked !== i || !rows.length) return;
    const one = rows[0];
    tip.replaceChildren(h("strong", {}, formula(one.reduced_formula)), h("div", {}, groupName(one.space_group), one.prototype ? ` · ${one.prototype}` : ""), one.e_above_hull === null ? null : h("div", {}, `${mev(one.e_above_hull)} meV/atom above the hull`), h("div", { class: "muted" }, one.source));
  };
  canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); down.set(event.pointerId, spot(event)); gone = down.size > 1 ? 99 : 0; });
  canvas.addEventListener("pointermove", (event) => {
    const [px, py] = spot(event);
    if (!down.has(event.pointerId)) { tell(nearest(px, py), px, py); return; }
    const before = down.get(event.pointerId);
    const wide = down.size === 2 ? apart() : 0;
    down.set(event.pointerId, [px, py]);
    gone += Math.hypot(px - before[0], py - before[1]);
    move((px - before[0]) / down.size, (py - before[1]) / down.size);
    if (wide) { const [a, b] = [...down.values()]; zoom(apart() / wide, (a[0] + b[0]) / 2, (a[1] + b[1]) / 2); }
  });
  const up = (event) => { down.delete(event.pointerId); };
  canvas.addEventListener("pointerup", (event) => {
    up(event);
    const i = gone < 5 ? nearest(...spot(event)) : -1;
    if (i >= 0) location.assign(crystalAddress(found.ids[i]));
  });
  canvas.addEventListener("pointercancel", up);
  canvas.addEventListener("pointerleave", () => tell(-1));
  canvas.addEventListener("wheel", (event) => { event.preventDefault(); zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), ...spot(event)); }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] }[event.key];
    if (step) move(...step); else if (event.key === "+" || event.key === "=") zoom(1.5); else if (event.key === "-") zoom(1 / 1.5); else return;
    event.preventDefault();
  });
}

function listed(made, found) {
  const list = h("div");
  let [turn, timer] = [0, 0];
  const refresh = async () => {
    const mine = ++turn;
    const [there, rows] = made.middle(LISTED);
    const answer = rows.length ? await ask(`api/search?id=${rows.map((i) => encodeURIComponent(found.ids[i])).join(",")}&columns=reduced_formula,space_group,e_above_hull&limit=${LISTED}`) : { rows: [] };
    if (mine !== turn) return;
    const by = new Map(answer.rows.map((one) => [one.id, one]));
    const shown = rows.map((i) => by.get(found.ids[i])).filter(Boolean);
    list.replaceChildren(table(`${there.toLocaleString("en")} crystals in view${there > shown.length ? `, the ${shown.length} nearest to its middle` : ""}.`,
      [{ text: "Crystal" }, { text: "Space group" }, { text: "Above the hull", unit: "meV/atom", number: true }],
      shown.map((one) => [h("a", { href: crystalAddress(one.id) }, formula(one.reduced_formula)), groupName(one.space_group), mev(one.e_above_hull)])));
  };
  made.changed.add(() => { clearTimeout(timer); timer = setTimeout(() => refresh().catch((error) => list.replaceChildren(h("p", { class: "error", role: "alert" }, error.message))), 250); });
  return list;
}

page("Map", async (main, about) => {
  const found = await ask("api/map");
  if (!found.placed) {
    main.replaceChildren(h("h1", {}, "Map"), h("p", {}, `There is no map of these ${found.crystals.toLocaleString("en")} crystals yet: `, h("code", {}, "gnomon explore … --map"), " makes it once and keeps it."));
    return;
  }
  const query = new URLSearchParams(location.search);
  const made = explorable(found, main);
  const key = h("p", { class: "row legend", "aria-live": "polite" });
  const usual = ["e_above_hull", "formation_energy_per_atom", "crystal_system"].find((name) => about.columns.some((one) => one.name === name)) ?? found.columns[0];
  const chosen = found.columns.includes(query.get("color")) ? query.get("color") : usual;
  const color = (name) => made.color(name).then((colors) => key.replaceChildren(...legend(colors))).catch((error) => key.replaceChildren(h("span", { class: "error", role: "alert" }, error.message)));
  const select = h("select", { onchange: (event) => { query.set("color", event.target.value); history.replaceState(null, "", `?${query}`); color(event.target.value); } }, found.columns.map((name) => h("option", { value: name, selected: name === chosen }, label(name))));
  const button = (text, sign, act) => h("button", { type: "button", "aria-label": text, onclick: act }, sign);
  const card = found.embeddings;
  main.replaceChildren(h("h1", {}, `Map of ${found.placed.toLocaleString("en")} crystals`),
    h("div", { class: "row" }, h("label", { class: "field" }, h("span", {}, "Colour"), select), button("closer", "+", () => made.zoom(1.6)), button("farther", "−", () => made.zoom(1 / 1.6)), button("the whole map", "Whole", made.whole)),
    h("div", { class: "beside" }, h("div", {}, made.place, key), listed(made, found)),
    h("p", { class: "muted" }, "Neighbours are alike to the networks that predict formation energies; distances between regions, and the axes, mean nothing. A click opens a crystal.", found.crystals > found.placed ? ` ${(found.crystals - found.placed).toLocaleString("en")} crystals are not on it: they came later, or hold what the networks have not seen.` : ""),
    h("h2", {}, "Regions"), table("The commonest elements and prototypes of each, the largest first.", [{ text: "Region" }, { text: "Crystals", number: true }, { text: "Elements, with the share that holds them" }, { text: "Prototypes" }],
      found.regions.map((one) => [h("button", { type: "button", onclick: () => made.go(one) }, said(one)), one.crystals.toLocaleString("en"), one.elements.map(([symbol, share]) => `${symbol} ${Math.round(100 * share)} %`).join(", ") || "–",
        one.prototypes.map(([text, k, type], i) => [i ? ", " : "", h("a", { href: `index.html?where=${encodeURIComponent(`prototype:${text}`)}`, title: text }, typeName(text, type)), ` ${k}`])])),
    h("details", {}, h("summary", {}, "How it was made"), h("p", {}, `Embeddings of ${card?.model ?? "the structural network"} (${card?.dimensions ?? "–"} whitened axes; ${card?.scheme ?? ""}), placed by t-SNE with cosine distances, seed 0; of more than ${found.fitted.toLocaleString("en")} crystals the rest beside those that are most alike.`)));
  await color(chosen);
});
