// What the pages know comes through here: from a server. In a static export files.js has this name.
export const live = true; // answers may change
export const save = null; // files come by their addresses

export async function ask(path) {
  const answer = await fetch(path, { headers: { accept: "application/json" } });
  let found;
  try { found = await answer.json(); } catch { found = { error: `${answer.status} ${answer.statusText}` }; }
  if (!answer.ok) throw new Error(found.error ?? `${answer.status} ${answer.statusText}`);
  return found;
}
