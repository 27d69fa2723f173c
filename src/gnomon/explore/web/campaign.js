// The view of a campaign, made anew while it runs.
import { ask, chance, crystalAddress, formula, h, mev, number, page, percent, sentence, spaceGroup, table } from "./common.js";
import { live } from "./data.js";

const EVERY = 10000; // ms

function rate(one) {
  if (!one.n) return "0 of 0";
  return [`${one.k} of ${one.n} `, h("span", { class: "muted" }, `(${percent(one.low)} to ${percent(one.high)})`)];
}

function bars(pairs, title) {
  const most = Math.max(...pairs.map(([, n]) => n), 1);
  const rows = pairs.slice(0, 14);
  const bar = (n) => { const made = h("span", { class: "bar" }); made.style.width = `${(100 * n) / most}%`; return made; };
  return h("figure", {}, h("dl", { class: "bars" }, rows.map(([name, n]) => [h("dt", {}, name), h("dd", {}, bar(n), n.toLocaleString("en"))])), h("figcaption", {}, title));
}

function fill(found) {
  const counts = [["candidates proposed", "n_candidates"], ["reference phases", "n_references"], ["kept by the screen", "n_kept"], ["evaluated", "n_evaluated"], ["failed evaluations", "n_failed"], ["new stable phases", "n_finds"]];
  const finds = found.finds.map((one) => [h("a", { href: crystalAddress(one.id) }, formula(one.reduced_formula)), spaceGroup(one.symmetry), number(one.formation_energy_per_atom), mev(one.distance_to_rest), chance(one.probability), one.flags.join("; ") || "–", one.origin || "–", String(one.round)]);
  const hits = found.hits.map((one) => [one.round === null ? "all" : String(one.round), { ranked: "by rank", random: "at random" }[one.selection] ?? one.selection, rate(one.stable), rate(one.near), String(one.failed), String(one.pending)]);
  return [
    h("h1", {}, found.headline), found.told.map((line) => h("p", {}, sentence(`${line}.`))),
    h("dl", { class: "counts" }, counts.map(([text, name]) => h("div", {}, h("dt", {}, text), h("dd", {}, found.counts[name].toLocaleString("en"))))),
    found.name.split("-").length > 1 && found.name.split("-").length < 5 ? h("p", {}, h("a", { href: `hull.html?system=${encodeURIComponent(found.name)}` }, `Hull of ${found.name}`)) : null,
    finds.length ? table("New stable phases; the distance is to the hull of all other phases.", [{ text: "Phase" }, { text: "Space group" }, { text: "Formation energy", unit: "eV/atom", number: true }, { text: "Distance", unit: "meV/atom", number: true }, { text: "Probability", number: true }, { text: "Flags" }, { text: "Origin" }, { text: "Round", number: true }], finds) : h("p", {}, "No new stable phase yet."),
    h("h2", {}, "Rounds"), table("Stages that have ended.", [{ text: "Round" }, { text: "Ended" }], found.stages.map((one) => [String(one.round), one.ended.join(", ")])),
    hits.length ? [table(`Hits: k of n evaluated candidates, with Wilson's ${percent(found.confidence)} interval.`, [{ text: "Round" }, { text: "Chosen" }, { text: "Stable" }, { text: "Near the hull" }, { text: "Failed", number: true }, { text: "Pending", number: true }], hits), h("p", {}, found.comparison)] : null,
    h("h2", {}, "Levels"), table("Each level has a hull of its own.", [{ text: "Level" }, { text: "Energies" }, { text: "Evaluated", number: true }, { text: "Measured error", unit: "meV/atom", number: true }, { text: "Closure" }], found.levels.map((one) => [String(one.level), one.scheme, String(one.evaluated), mev(one.error), one.closure || "–"])),
    found.funnel.length ? [h("h2", {}, "Funnel"), bars(found.funnel, "What became of all that was proposed.")] : null,
    found.screening.length ? [h("h2", {}, "Screening"), bars(found.screening, "What became of the screened candidates.")] : null,
    found.failures.length ? [h("h2", {}, "Failures"), table("Evaluations without an energy.", [{ text: "Candidate" }, { text: "Status" }, { text: "Message" }, { text: "Round", number: true }], found.failures.map((one) => [h("a", { href: crystalAddress(one.id) }, formula(one.reduced_formula)), one.status, one.message || "–", String(one.round)]))] : null,
    h("h2", {}, "Provenance"), h("details", {}, h("summary", {}, "Versions, settings, seed and checksums"), table("As the folder has them.", [{ text: "What" }, { text: "Value" }], found.provenance.map(([key, value]) => [key, h("code", {}, value)]))),
  ].flat(3).filter(Boolean);
}

page("Campaign", async (main) => {
  const name = new URLSearchParams(location.search).get("name") ?? "";
  let before = "";
  const stale = h("p", { class: "error", role: "alert" });
  const show = async () => {
    const found = await ask(`api/campaigns/${encodeURIComponent(name)}`);
    stale.remove();
    const now = JSON.stringify(found);
    if (now === before) return;
    before = now;
    document.title = `${found.name} · gnomon explore`;
    const open = [...main.querySelectorAll("details")].map((one) => one.open);
    main.replaceChildren(...fill(found));
    main.querySelectorAll("details").forEach((one, i) => { one.open = open[i] ?? false; });
  };
  await show();
  if (live) setInterval(() => { if (!document.hidden) show().catch((error) => { stale.textContent = `This page is no longer kept up to date: ${error.message}.`; main.prepend(stale); }); }, EVERY);
});
