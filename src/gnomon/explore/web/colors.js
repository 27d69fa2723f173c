// Colours of values and of kinds, seen on white and on black, and arrays that come as base64.
import { h } from "./common.js";

export const KINDS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d31", "#7f58af"]; // Okabe and Ito, two of our own
export const REST = [140, 148, 156];
const STOPS = [[92, 44, 146], [59, 96, 165], [33, 145, 140], [94, 191, 98], [230, 190, 30]]; // viridis, its ends seen on both

export const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
export const css = (color) => `rgb(${color.map(Math.round).join(" ")})`;
export const bytes = (text) => Uint8Array.from(atob(text), (one) => one.charCodeAt(0)).buffer;

export function gradient(t) {
  const at = Math.min(Math.max(t, 0), 1) * (STOPS.length - 1);
  const i = Math.min(Math.floor(at), STOPS.length - 2);
  return STOPS[i].map((one, k) => one + (at - i) * (STOPS[i + 1][k] - one));
}

export function dot(color) {
  const one = h("span", { class: "dot", "aria-hidden": "true" });
  one.style.background = color;
  return one;
}

export function strip() {
  const made = h("canvas", { width: 160, height: 12, "aria-hidden": "true" });
  const pen = made.getContext("2d");
  for (let i = 0; i < 160; i++) { pen.fillStyle = css(gradient(i / 159)); pen.fillRect(i, 0, 1, 12); }
  return made;
}

export const typeName = (text, type) => (type ? type.replace(/ type .*/, " type") : text);
