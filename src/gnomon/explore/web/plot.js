// What drawings share: their size, round axes, formulas as text, labels that do not overlap, turning.
import { h } from "./common.js";

export const narrow = matchMedia("(max-width: 760px)").matches;
export const [W, H] = narrow ? [400, 380] : [760, 480];

export function axis(from, to, most = 6) {
  const rough = (to - from) / most;
  const size = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * size).find((n) => n >= rough);
  const ticks = [];
  for (let value = Math.ceil(from / step - 1e-9) * step; value <= to + 1e-9; value += step) ticks.push(value);
  return ticks;
}

export function sub(text, x, y, anchor = "middle") {
  const parts = String(text).split(/(\d+)/).filter(Boolean);
  let low = false;
  return h("text", { x, y, "text-anchor": anchor }, parts.map((part) => {
    const digits = /^\d+$/.test(part);
    const dy = digits && !low ? 4 : !digits && low ? -4 : 0;
    low = digits;
    return h("tspan", { dy, "font-size": digits ? "10" : "13" }, part);
  }));
}

const PLACES = [[0, -11, "middle"], [0, 22, "middle"], [10, 4, "start"], [-10, 4, "end"]];
const wide = (text) => [...text].reduce((sum, one) => sum + (/\d/.test(one) ? 6 : 8.5), 0);

// Formulas beside points, above them if there is room, then below, right, left; those without room are left out.
export function labels(wanted, marks = [], places = PLACES) {
  const taken = marks.map(([x, y]) => [x - 6, y - 6, x + 6, y + 6]);
  const made = [];
  for (const { text, x, y } of wanted) {
    for (const [dx, dy, anchor] of places) {
      const width = wide(text);
      const left = x + dx - { middle: width / 2, start: 0, end: width }[anchor];
      const box = [left, y + dy - 11, left + width, y + dy + 4];
      if (box[0] < 0 || box[2] > W || taken.some((one) => one[0] < box[2] && one[2] > box[0] && one[1] < box[3] && one[3] > box[1])) continue;
      taken.push(box);
      made.push(sub(text, x + dx, y + dy, anchor));
      break;
    }
  }
  return made;
}

const TREMBLE = 4; // px; a click on a mark may move so far

// A drawing that is turned by dragging it and by buttons, which get names of their own.
export function turnable(svg, name, turn) {
  let gone = 0;
  svg.style.touchAction = "none";
  svg.addEventListener("pointerdown", () => { gone = 0; });
  svg.addEventListener("pointermove", (event) => {
    if (!event.buttons) return;
    gone += Math.hypot(event.movementX, event.movementY);
    if (gone > TREMBLE) turn(event.movementX / 150, event.movementY / 150);
  });
  const button = (text, sign, right, down) => h("button", { type: "button", "aria-label": `turn ${name} ${text}`, onclick: () => turn(right, down) }, sign);
  return [svg, h("div", { class: "row" }, button("left", "◀", -0.3, 0), button("right", "▶", 0.3, 0), button("up", "▲", 0, -0.3), button("down", "▼", 0, 0.3))];
}
