// A crystal in three dimensions (3Dmol): cells, atoms on their faces, the bonds that the tables list.
const EDGE = 1e-3;
const TOLERANCE = 0.05; // Å beyond the longest bond of the first shell

const point = (lattice, f) => [0, 1, 2].map((k) => f[0] * lattice[0][k] + f[1] * lattice[1][k] + f[2] * lattice[2][k]);

function images(structure, repeat) {
  const atoms = [];
  structure.symbols.forEach((symbol, i) => {
    const at = structure.frac_coords[i].map((x) => (x > 1 - EDGE ? x - 1 : x));
    const steps = at.map((x, k) => Array.from({ length: repeat[k] + 1 }, (_, n) => x + n).filter((y) => y <= repeat[k] + EDGE));
    for (const x of steps[0]) for (const y of steps[1]) for (const z of steps[2]) atoms.push({ symbol, at: point(structure.lattice, [x, y, z]) });
  });
  return atoms;
}

export function reaches(surroundings) {
  const longest = {};
  for (const one of surroundings) for (const [other, lengths] of Object.entries(one.bonds)) {
    const key = [one.element, other].sort().join("-");
    longest[key] = Math.max(longest[key] ?? 0, ...lengths);
  }
  return longest;
}

function bonded(atoms, longest) {
  const found = atoms.map(() => []);
  for (let i = 0; i < atoms.length; i++) for (let j = 0; j < i; j++) {
    const reach = longest[[atoms[i].symbol, atoms[j].symbol].sort().join("-")];
    if (!reach) continue;
    const [dx, dy, dz] = [0, 1, 2].map((k) => atoms[i].at[k] - atoms[j].at[k]);
    if (dx * dx + dy * dy + dz * dz <= (reach + TOLERANCE) ** 2) { found[i].push(j); found[j].push(i); }
  }
  return found;
}

const MOST_BONDED = 2500;

export function draw(viewer, structure, repeat, longest, withBonds) {
  viewer.clear();
  const atoms = images(structure, repeat);
  const bonds = withBonds && atoms.length <= MOST_BONDED ? bonded(atoms, longest) : atoms.map(() => []);
  viewer.addModel().addAtoms(atoms.map((one, i) => ({ elem: one.symbol, x: one.at[0], y: one.at[1], z: one.at[2], index: i, serial: i, bonds: bonds[i], bondOrder: bonds[i].map(() => 1) })));
  viewer.setStyle({}, { sphere: { scale: 0.28, colorscheme: "Jmol" }, stick: { radius: 0.11, colorscheme: "Jmol" } });
  const ink = getComputedStyle(document.documentElement).getPropertyValue("--muted").trim();
  const corner = (a, b, c) => { const [x, y, z] = point(structure.lattice, [a, b, c]); return { x, y, z }; };
  for (const u of [0, 1]) for (const v of [0, 1]) {
    viewer.addLine({ start: corner(0, u, v), end: corner(1, u, v), color: ink });
    viewer.addLine({ start: corner(u, 0, v), end: corner(u, 1, v), color: ink });
    viewer.addLine({ start: corner(u, v, 0), end: corner(u, v, 1), color: ink });
  }
  if (!viewer.seen) { viewer.rotate(22, "y"); viewer.rotate(14, "x"); viewer.seen = true; }
  viewer.zoomTo();
  viewer.render();
}
