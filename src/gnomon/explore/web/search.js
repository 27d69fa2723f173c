// Search: the periodic table, conditions on any column, and the rows that match; all of it in the address.
import { ask, crystalAddress, download, h, label, page, shown } from "./common.js";

const LAYOUT = [
  "H . . . . . . . . . . . . . . . . He", "Li Be . . . . . . . . . . B C N O F Ne", "Na Mg . . . . . . . . . . Al Si P S Cl Ar",
  "K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr", "Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe",
  "Cs Ba La Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn", "Fr Ra Ac Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og",
  ". . . Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu .", ". . . Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr .",
].map((line) => line.split(" "));
const ORDER = ("X H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og").split(" ");
const MODES = { include: "at least these", exactly: "exactly these", within: "none but these" };
const LIMIT = 50;

const state = () => new URLSearchParams(location.search);
const list = (query, name) => query.getAll(name).flatMap((text) => text.split(",")).filter(Boolean);
const modeOf = (query) => Object.keys(MODES).find((name) => query.has(name)) ?? "include";

let refresh;
function go(change) {
  const query = state();
  change(query);
  query.delete("offset");
  push(query);
}
function push(query) {
  const text = query.toString();
  history.pushState(null, "", text ? `?${text}` : location.pathname);
  refresh();
}

function setList(query, name, values) {
  query.delete(name);
  if (values.length) query.set(name, values.join(","));
}

function elementsOf(found) {
  const query = state();
  const mode = modeOf(query);
  const chosen = list(query, mode);
  const out = list(query, "exclude");
  const first = chosen.find((one) => ORDER.includes(one)) ?? "H"; // where the tab key enters
  const grid = h("div", { class: "elements", role: "group", "aria-label": "Elements: press once to ask for one, twice to leave it out" });
  LAYOUT.forEach((line, row) => line.forEach((symbol, column) => {
    if (symbol === ".") return;
    const at = chosen.includes(symbol) ? "in" : out.includes(symbol) ? "out" : "";
    const said = { in: ", asked for", out: ", left out", "": "" }[at];
    const count = found.elements[ORDER.indexOf(symbol)];
    const button = h("button", {
      type: "button", "data-state": at, "data-symbol": symbol, class: count ? null : "none", tabindex: symbol === first ? "0" : "-1",
      "aria-label": `${symbol}${said}`, title: `${symbol}: ${count} crystals`, onclick: () => press(symbol), onkeydown: (event) => move(event, row, column),
    }, symbol);
    button.style.gridRow = row + 1;
    button.style.gridColumn = column + 1;
    grid.append(button);
  }));
  return grid;
}

function press(symbol) {
  go((query) => {
    const mode = modeOf(query);
    const chosen = list(query, mode);
    const out = list(query, "exclude");
    if (chosen.includes(symbol)) {
      setList(query, mode, chosen.filter((one) => one !== symbol));
      if (mode === "include") setList(query, "exclude", [...out, symbol]);
    } else if (out.includes(symbol)) setList(query, "exclude", out.filter((one) => one !== symbol));
    else setList(query, mode, [...chosen, symbol]);
  });
  document.querySelector(`[data-symbol="${symbol}"]`)?.focus();
}

function move(event, row, column) {
  const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
  if (!step) return;
  event.preventDefault();
  let [r, c] = [row + step[0], column + step[1]];
  while (LAYOUT[r]?.[c] === ".") { r += step[0]; c += step[1]; }
  const symbol = LAYOUT[r]?.[c];
  if (symbol) document.querySelector(`[data-symbol="${symbol}"]`).focus();
}

function modes() {
  const query = state();
  const mode = modeOf(query);
  const choice = h("select", { id: "mode", onchange: (event) => go((q) => { const chosen = list(q, mode); q.delete(mode); setList(q, event.target.value, chosen); wanted = event.target.value; }) },
    Object.entries(MODES).map(([name, text]) => h("option", { value: name, selected: name === (wanted ?? mode) }, text)));
  return h("label", { class: "field" }, h("span", {}, "Elements"), choice);
}
let wanted;

function text(name, about, example) {
  return h("label", { class: "field" }, h("span", {}, about), h("input", {
    type: "text", value: state().getAll(name).join(","), placeholder: example, size: 14, autocomplete: "off", spellcheck: "false",
    onchange: (event) => go((query) => setList(query, name, event.target.value.split(",").map((one) => one.trim()).filter(Boolean))),
  }));
}

function between(column) {
  const now = state().getAll("range").map((one) => one.split(":")).find(([name]) => name === column.name) ?? [column.name, "", ""];
  const set = (place, value) => go((query) => {
    const rest = query.getAll("range").filter((one) => !one.startsWith(`${column.name}:`));
    const before = query.getAll("range").map((one) => one.split(":")).find(([name]) => name === column.name) ?? [column.name, "", ""];
    before[place] = value.trim();
    query.delete("range");
    if (before[1] || before[2]) rest.push(before.join(":"));
    rest.forEach((one) => query.append("range", one));
  });
  const input = (place, said) => h("input", { type: "text", inputmode: "decimal", value: now[place], placeholder: said, "aria-label": `${label(column.name)}, ${said}`, onchange: (event) => set(place, event.target.value) });
  return h("fieldset", { class: "field" }, h("legend", { title: column.description }, label(column.name), column.unit && column.unit !== "1" ? ` (${column.unit})` : ""), h("div", { class: "pair" }, input(1, "from"), h("span", { "aria-hidden": "true" }, "–"), input(2, "to")));
}

function oneOf(column) {
  const own = `${column.name}:`;
  const now = state().getAll("where").find((one) => one.startsWith(own))?.slice(own.length) ?? "";
  const set = (event) => go((query) => {
    const rest = query.getAll("where").filter((one) => !one.startsWith(own));
    query.delete("where");
    if (event.target.value) rest.push(own + event.target.value);
    rest.forEach((one) => query.append("where", one));
  });
  return h("label", { class: "field" }, h("span", { title: column.description }, label(column.name)), h("select", { onchange: set },
    h("option", { value: "" }, "any"), column.words.map((word) => h("option", { value: word, selected: word === now }, word))));
}

// A space group by number or symbol.
function group(column, symbols) {
  const own = `${column.name}:`;
  const now = state().getAll("where").find((one) => one.startsWith(own))?.slice(own.length) ?? "";
  const set = (event) => go((query) => {
    const text = event.target.value.trim();
    const number = symbols.indexOf(text.replace(/ .*/, "")) + 1 || text;
    const rest = query.getAll("where").filter((one) => !one.startsWith(own));
    query.delete("where");
    if (text) rest.push(own + number);
    rest.forEach((one) => query.append("where", one));
  });
  return h("label", { class: "field" }, h("span", { title: column.description }, label(column.name)),
    h("input", { type: "text", value: symbols[now - 1] ?? now, placeholder: "Fm-3m or 225", list: "groups", size: 14, autocomplete: "off", spellcheck: "false", onchange: set }),
    h("datalist", { id: "groups" }, symbols.map((symbol, i) => h("option", { value: symbol }, String(i + 1)))));
}

const FIRST = ["n_elements", "e_above_hull", "formation_energy_per_atom", "band_gap", "space_group", "crystal_system", "status", "generator", "source"];
const NEVER = ["id", "content_id", "reduced_formula", "chemical_system", "source_id"];

function conditions(found) {
  const usable = found.columns.filter((one) => !NEVER.includes(one.name) && (one.kind === "number" ? one.range && one.range[0] < one.range[1] : (one.words?.length ?? 0) > 1));
  const field = (one) => (one.name === "space_group" ? group(one, found.space_groups) : one.kind === "number" ? between(one) : oneOf(one));
  const query = state();
  const used = [...query.getAll("range"), ...query.getAll("where")].map((one) => one.split(":")[0]);
  const first = usable.filter((one) => FIRST.includes(one.name)).sort((a, b) => FIRST.indexOf(a.name) - FIRST.indexOf(b.name));
  const more = usable.filter((one) => !FIRST.includes(one.name));
  return [
    h("div", { class: "row" }, modes(), text("formula", "Formula (* any element)", "*TiO3"), text("system", "Chemical system", "Li-*-O"), first.map(field)),
    more.length ? h("details", { open: more.some((one) => used.includes(one.name)) }, h("summary", {}, "More columns"), h("div", { class: "row" }, more.map(field))) : null,
  ];
}

const numeric = (column) => column.kind === "number" && column.name !== "space_group";

function results(found, answer, selected) {
  const query = state();
  const columns = answer.columns.map((name) => found.columns.find((one) => one.name === name));
  const sort = query.get("sort") ?? "";
  const head = (column) => {
    const name = sort.replace(/^-/, "");
    const direction = name === column.name ? (sort.startsWith("-") ? "descending" : "ascending") : null;
    const next = direction === "ascending" ? `-${column.name}` : column.name;
    return h("th", { scope: "col", "aria-sort": direction, class: numeric(column) ? "number" : null },
      h("button", { type: "button", title: column.description, onclick: () => go((q) => q.set("sort", next)) }, label(column.name), { ascending: " ▲", descending: " ▼" }[direction] ?? ""),
      column.unit && column.unit !== "1" ? h("small", {}, column.unit) : null);
  };
  const cell = (column, row, i) => {
    const value = shown(column, row[column.name]);
    const inner = i === 0 ? h("a", { href: crystalAddress(row.id) }, value) : value;
    const find = column.name === "status" && row.status === "new stable phase";
    return h(i ? "td" : "th", { scope: i ? null : "row", class: [numeric(column) ? "number" : "", find ? "find" : ""].join(" ").trim() || null }, inner);
  };
  const tick = (row) => h("td", {}, h("input", { type: "checkbox", "aria-label": `select ${row.reduced_formula ?? row.id}`, checked: selected.has(row.id), onchange: (event) => { event.target.checked ? selected.add(row.id) : selected.delete(row.id); exports(selected); } }));
  return h("div", { class: "box", role: "region", "aria-label": "Crystals", tabindex: "0" }, h("table", {},
    h("thead", {}, h("tr", {}, h("td", {}), columns.map(head))),
    h("tbody", {}, answer.rows.map((row) => h("tr", {}, tick(row), columns.map((column, i) => cell(column, row, i)))))));
}

function exports(selected) {
  const query = state();
  ["offset", "limit"].forEach((name) => query.delete(name));
  if (selected.size) { [...query.keys()].forEach((name) => query.delete(name)); setList(query, "id", [...selected]); }
  const what = selected.size ? `the ${selected.size} selected` : "all of these";
  const link = (format, text) => { const q = new URLSearchParams(query); if (format === "csv") q.delete("columns"); return download(`api/export.${format}?${q}`, text); };
  document.getElementById("exports").replaceChildren(`Save ${what}: `, link("csv", "CSV"), " · ", link("cif", "CIF"), " · ", link("extxyz", "extended XYZ"));
}

function paging(answer) {
  const query = state();
  const limit = Number(query.get("limit") ?? LIMIT);
  const to = (offset) => () => { query.set("offset", String(offset)); push(query); };
  const last = Math.min(answer.offset + answer.rows.length, answer.total);
  return h("nav", { class: "row", "aria-label": "Pages of results" },
    h("button", { type: "button", disabled: answer.offset <= 0, onclick: to(Math.max(answer.offset - limit, 0)) }, "Previous"),
    h("span", {}, answer.total ? `${answer.offset + 1} to ${last} of ${answer.total.toLocaleString("en")}` : "none"),
    h("button", { type: "button", disabled: last >= answer.total, onclick: to(answer.offset + limit) }, "Next"));
}

function chooser(found, answer, open) {
  const set = (name, on) => go((query) => setList(query, "columns", on ? [...answer.columns, name] : answer.columns.filter((one) => one !== name)));
  return h("details", { open }, h("summary", {}, "Columns"), h("div", { class: "row" }, found.columns.filter((one) => one.name !== "id").map((one) =>
    h("label", {}, h("input", { type: "checkbox", checked: answer.columns.includes(one.name), onchange: (event) => set(one.name, event.target.checked) }), " ", label(one.name)))));
}

// What is made anew keeps the keyboard where it was.
const named = (one) => (one?.matches?.("button, input, select") ? one.getAttribute("aria-label") ?? (one.closest("label") ?? one).textContent.replace(/ [▲▼]$/, "") : "");
const again = (place, name) => name && [...place.querySelectorAll("button, input, select")].find((one) => named(one) === name)?.focus();

page("Search", async (main, found) => {
  const form = h("form", { class: "ask", role: "search", "aria-label": "Crystals", onsubmit: (event) => event.preventDefault() });
  const status = h("p", { role: "status" });
  const body = h("div");
  main.replaceChildren(h("h1", {}, `${found.crystals.toLocaleString("en")} crystals`), form, status, h("p", { id: "exports" }), body);
  const selected = new Set();
  let turn = 0;
  refresh = async () => {
    const mine = ++turn;
    const focus = named(document.activeElement);
    form.replaceChildren(elementsOf(found), h("div", {}, ...conditions(found).filter(Boolean), h("button", { type: "button", onclick: () => { wanted = undefined; push(new URLSearchParams()); } }, "Clear")));
    again(form, focus);
    try {
      const answer = await ask(`api/search?${state()}`);
      if (mine !== turn) return;
      status.replaceChildren(`${answer.total.toLocaleString("en")} crystal${answer.total === 1 ? "" : "s"} match${answer.total === 1 ? "es" : ""}.`);
      const at = named(document.activeElement);
      body.replaceChildren(results(found, answer, selected), paging(answer), chooser(found, answer, body.querySelector("details")?.open));
      again(body, at);
      exports(selected);
    } catch (error) {
      if (mine !== turn) return;
      status.replaceChildren(h("span", { class: "error", role: "alert" }, error.message));
      body.replaceChildren();
    }
  };
  addEventListener("popstate", refresh);
  await refresh();
});
