// What the pages know comes through here: from the files of a static export, searches included.
// Answers lie in shards by a hash of what was asked, columns of the search in a file each.
export const live = false;

const LISTS = ["include", "exclude", "within", "exactly", "formula", "system", "id", "columns"];
const LIMIT = 50;
const kept = new Map();

async function read(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(answer.status === 404 ? "this copy does not hold that" : `${answer.status} ${answer.statusText}`);
  const bytes = await answer.arrayBuffer();
  const head = new Uint8Array(bytes, 0, 2);
  const zipped = head[0] === 0x1f && head[1] === 0x8b; // some servers unpack it on the way
  const stream = new Blob([bytes]).stream();
  return new Response(zipped ? stream.pipeThrough(new DecompressionStream("gzip")) : stream).json();
}

function file(path) {
  if (!kept.has(path)) kept.set(path, read(path).catch((error) => { kept.delete(path); throw error; }));
  return kept.get(path);
}

const about = () => file("data/about.json.gz");
async function column(name) {
  const number = (await about()).columns.findIndex((one) => one.name === name);
  if (number < 0) throw new Error(`no column '${name}'`);
  return file(`data/columns/${number}.json.gz`);
}

function shard(text, n) {
  let hash = 0;
  for (const byte of new TextEncoder().encode(text)) hash = (Math.imul(hash, 31) + byte) >>> 0;
  return hash % n;
}

async function answer(name, subject, key, none) {
  const parts = (await about()).files[name];
  const found = parts && (await file(`data/${name}/${shard(subject, parts.shards)}.json.gz`));
  if (!found || !Object.hasOwn(found.keys, key)) throw new Error(none);
  const said = found.answers[found.keys[key]];
  if (said.error) throw new Error(said.error);
  return said;
}

export async function ask(path) {
  const [where, asked] = path.split("?");
  const [, name, subject] = where.split("/");
  const query = new URLSearchParams(asked);
  if (name === "about") return about();
  if (name === "search") return search(query);
  if (subject !== undefined) return answer(name, decodeURIComponent(subject), decodeURIComponent(subject), "no such crystal or campaign in this copy");
  const first = (await about()).files[name]?.subject;
  if (query.has("system")) query.set("system", query.get("system").split("-").map((one) => one.trim()).sort().join("-"));
  const pairs = [...query].filter(([, value]) => value).sort(([a], [b]) => (a < b ? -1 : 1));
  return answer(name, query.get(first) ?? "", pairs.map((pair) => pair.join("=")).join("&"), "this copy does not hold that: ask `gnomon explore` itself");
}

// --- searches: what query.py means, over the columns that a search needs ---

const value = (one, row) => (one.words ? one.words[one.values[row]] ?? null : one.values[row]);
const amounts = (text) => [...text.matchAll(/(\*|[A-Z][a-z]?)(\d*)/g)].map(([, symbol, n]) => [symbol, Number(n || 1)]);
const gcd = (a, b) => (b ? gcd(b, a % b) : a);
const listOf = (query, name) => query.getAll(name).flatMap((text) => text.split(",")).map((one) => one.trim()).filter(Boolean);
const same = (a, b) => a.length === b.length && a.every((one, i) => one === b[i]);
const rising = (a, b) => a - b;

function formulaTest(text) {
  const parts = amounts(text);
  if (!parts.length || parts.map(([symbol, n]) => symbol + (n === 1 ? "" : n)).join("") !== text.replace(/(?<=[A-Za-z*])1(?!\d)/g, "") || parts.some(([, n]) => !n)) throw new Error(`'${text}' is no formula: write Fe2O3, or *TiO3 for any element`);
  const named = new Map();
  for (const [symbol, n] of parts) if (symbol !== "*") named.set(symbol, (named.get(symbol) ?? 0) + n);
  const free = parts.filter(([symbol]) => symbol === "*").map(([, n]) => n);
  const every = [...named.values(), ...free];
  const divisor = every.reduce(gcd);
  const wanted = every.map((n) => n / divisor).sort(rising);
  return (own) => same([...own.values()].sort(rising), wanted) && [...named].every(([symbol, n]) => own.get(symbol) === n / divisor);
}

function systemTest(text) {
  const parts = text.split("-").map((one) => one.trim());
  return (own) => own.size === parts.length && parts.every((one) => one === "*" || own.has(one));
}

// A test of the elements and their amounts in a formula; the same formula is asked once.
function chemistry(query) {
  const [include, exclude, within, exactly] = LISTS.slice(0, 4).map((name) => listOf(query, name));
  const formulas = listOf(query, "formula").map(formulaTest);
  const systems = listOf(query, "system").map(systemTest);
  for (const symbol of [...include, ...exclude, ...within, ...exactly]) if (!/^[A-Z][a-z]?$/.test(symbol)) throw new Error(`unknown element '${symbol}'`);
  return (text) => {
    const own = new Map(amounts(text));
    const among = (symbols) => !symbols.length || [...own.keys()].every((one) => symbols.includes(one));
    return [...include, ...exactly].every((one) => own.has(one)) && !exclude.some((one) => own.has(one)) && among(within) && among(exactly)
      && (!formulas.length || formulas.some((test) => test(own))) && (!systems.length || systems.some((test) => test(own)));
  };
}

async function matching(query) {
  const n = (await about()).crystals;
  const formulas = await column("reduced_formula");
  const fits = formulas.words.map(chemistry(query));
  const tests = [(row) => fits[formulas.values[row]]];
  const ids = listOf(query, "id");
  if (ids.length) { const [own, wanted] = [await column("id"), new Set(ids)]; tests.push((row) => wanted.has(value(own, row))); }
  const equal = new Map();
  for (const text of query.getAll("where")) { const [name, ...rest] = text.split(":"); equal.set(name, [...(equal.get(name) ?? []), rest.join(":")]); }
  for (const [name, values] of equal) { const own = await column(name); tests.push((row) => value(own, row) !== null && values.includes(String(value(own, row)))); }
  for (const text of query.getAll("range")) {
    const [name, low, high] = text.split(":");
    const own = await column(name);
    const [from, to] = [low === "" ? -Infinity : Number(low), high === "" ? Infinity : Number(high)];
    if (Number.isNaN(from) || Number.isNaN(to)) throw new Error(`${name}: '${Number.isNaN(from) ? low : high}' is no number`);
    tests.push((row) => own.values[row] !== null && own.values[row] >= from && own.values[row] <= to);
  }
  const rows = [];
  for (let row = 0; row < n; row++) if (tests.every((test) => test(row))) rows.push(row);
  return sorted(rows, query.get("sort") ?? "");
}

async function sorted(rows, sort) {
  const own = await column(sort.replace(/^-/, "") || "e_above_hull");
  const sign = sort.startsWith("-") ? -1 : 1;
  const status = sort ? null : await column("status");
  const find = (row) => (status && value(status, row) === "new stable phase" ? 0 : 1);
  const missing = (row) => value(own, row) === null;
  return rows.sort((a, b) => find(a) - find(b) || missing(a) - missing(b) || (missing(a) ? 0 : sign * (own.values[a] - own.values[b])) || a - b);
}

async function search(query) {
  const rows = await matching(query);
  const usual = (await about()).shown;
  const names = listOf(query, "columns").length ? [...new Set(listOf(query, "columns"))] : usual;
  const own = await Promise.all(["id", ...names].map(column));
  const offset = Number(query.get("offset") ?? 0);
  const page = rows.slice(offset, offset + Number(query.get("limit") ?? LIMIT));
  return { total: rows.length, offset, columns: names, rows: page.map((row) => Object.fromEntries(["id", ...names].map((name, i) => [name, value(own[i], row)]))) };
}

// --- files of a selection ---

const cell = (one) => (one === null ? "" : /[",\r\n]/.test(one) ? `"${String(one).replaceAll('"', '""')}"` : String(one));
const plain = (one) => (typeof one === "string" && /^[=+\-@\t\r]/.test(one) ? `'${one}` : one);

async function csv(rows, query) {
  const columns = (await about()).columns;
  const names = [...new Set(["id", ...(listOf(query, "columns").length ? listOf(query, "columns") : columns.map((one) => one.name))])];
  const own = await Promise.all(names.map(column));
  const head = names.map((name) => { const { unit } = columns.find((one) => one.name === name); return unit && unit !== "1" ? `${name} (${unit})` : name; });
  return [head, ...rows.map((row) => own.map((one) => plain(value(one, row))))].map((line) => `${line.map(cell).join(",")}\r\n`).join("");
}

async function texts(ids, format) {
  const found = [];
  for (const id of ids) found.push((await answer("texts", id, id, "no such crystal in this copy"))[format]);
  return found.join("");
}

export async function save(path) {
  const [where, asked] = path.split("?");
  const one = where.match(/^api\/crystals\/(.*)\.cif$/);
  const format = one ? "cif" : where.split(".").pop();
  let text;
  let name = `crystals.${format}`;
  if (one) { text = await texts([decodeURIComponent(one[1])], "cif"); name = `${decodeURIComponent(one[1])}.cif`; }
  else {
    const query = new URLSearchParams(asked);
    const rows = await matching(query);
    const most = (await about()).most[format];
    if (most && rows.length > most) throw new Error(`${rows.length} crystals: a file of ${format} holds 1 to ${most}`);
    const ids = await column("id");
    text = format === "csv" ? await csv(rows, query) : await texts(rows.map((row) => value(ids, row)), format);
  }
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text]));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}
