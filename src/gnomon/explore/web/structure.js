// A crystal in three dimensions (3Dmol): cells, atoms on their faces, the bonds that the tables list.
const EDGE = 1e-3;
const TOLERANCE = 0.05; // Å beyond the longest bond of the first shell

const point = (lattice, f) => [0, 1, 2].map((k) => f[0] * lattice[0][k] + f[1] * lattice[1][k] + f[2] * lattice[2][k]);

function images(structure, repeat) {
  const atoms = [];
  structure.symbols.forEach((symbol, i) => {
    const at = structure.frac_coords[i].map((x) => (x > 1 - EDGE ? x - 1 : x));
    const steps = at.map((x, k) => Array.from({ length: repeat[k] + 1 }, (_, n) => x + n).filter((y) => y <= repeat[k] + EDGE));
    for (const x of steps[0]) for (const y of steps[1]) for (const z of steps[2]) atoms.push({ symbol, frac: [x, y, z], at: point(structure.lattice, [x, y, z]) });
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

export function colour(symbol) {
  const found = window.$3Dmol?.elementColors?.Jmol?.[symbol];
  return found === undefined ? "#ff1493" : `#${found.toString(16).padStart(6, "0")}`;
}

// The neighbours of an atom within the reach of its bonds, of which some lie in other cells.
function corners(structure, centre, longest) {
  const found = [];
  structure.symbols.forEach((symbol, i) => {
    const reach = longest[[centre.symbol, symbol].sort().join("-")];
    if (!reach || symbol === centre.symbol) return;
    const at = structure.frac_coords[i];
    const near = at.map((x, k) => Math.round(centre.frac[k] - x));
    for (const a of [-1, 0, 1]) for (const b of [-1, 0, 1]) for (const c of [-1, 0, 1]) {
      const place = point(structure.lattice, [at[0] + near[0] + a, at[1] + near[1] + b, at[2] + near[2] + c]);
      if (Math.hypot(...place.map((x, k) => x - centre.at[k])) <= reach + TOLERANCE) found.push({ symbol, at: place });
    }
  });
  return found;
}

const minus = (a, b) => a.map((x, k) => x - b[k]);
const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];

// Triangles of the convex hull of a few points: those with all others on one side.
function faces(points) {
  const found = [];
  for (let i = 0; i < points.length; i++) for (let j = i + 1; j < points.length; j++) for (let k = j + 1; k < points.length; k++) {
    const normal = cross(minus(points[j], points[i]), minus(points[k], points[i]));
    const size = Math.hypot(...normal);
    if (size < 1e-6) continue;
    const heights = points.map((one) => dot(minus(one, points[i]), normal) / size);
    if (heights.every((one) => one < 0.05)) found.push([i, j, k, normal.map((x) => x / size)]);
    else if (heights.every((one) => one > -0.05)) found.push([i, k, j, normal.map((x) => -x / size)]);
  }
  return found;
}

const xyz = ([x, y, z]) => ({ x, y, z });

function polyhedra(viewer, structure, atoms, centres, longest) {
  const further = new Map();
  for (const centre of atoms.filter((one) => centres.includes(one.symbol))) {
    const ends = corners(structure, centre, longest);
    if (ends.length < 4 || ends.length > 12) continue;
    const points = ends.map((one) => one.at);
    const found = faces(points);
    viewer.addCustom({
      vertexArr: found.flatMap(([i, j, k]) => [i, j, k].map((one) => xyz(points[one]))),
      normalArr: found.flatMap(([, , , normal]) => [normal, normal, normal].map(xyz)),
      faceArr: found.flatMap((_, n) => [3 * n, 3 * n + 1, 3 * n + 2]),
      color: colour(centre.symbol), opacity: 0.55,
    });
    for (const one of ends) further.set(one.at.map((x) => x.toFixed(2)).join(), one);
  }
  for (const one of atoms) further.delete(one.at.map((x) => x.toFixed(2)).join());
  return [...further.values()];
}

export function draw(viewer, structure, repeat, longest, withBonds, centres = []) {
  viewer.clear();
  viewer.setBackgroundColor(getComputedStyle(document.documentElement).getPropertyValue("--page").trim()); // on a clear one 3Dmol draws no lines and nothing transparent
  const atoms = images(structure, repeat);
  if (centres.length) atoms.push(...polyhedra(viewer, structure, atoms, centres, longest));
  const bonds = withBonds && atoms.length <= MOST_BONDED ? bonded(atoms, longest) : atoms.map(() => []);
  viewer.addModel().addAtoms(atoms.map((one, i) => ({ elem: one.symbol, x: one.at[0], y: one.at[1], z: one.at[2], index: i, serial: i, bonds: bonds[i], bondOrder: bonds[i].map(() => 1) })));
  viewer.setStyle({}, { sphere: { scale: 0.28, colorscheme: "Jmol" }, stick: { radius: 0.11, colorscheme: "Jmol" } });
  const ink = getComputedStyle(document.documentElement).getPropertyValue("--muted").trim();
  const corner = (a, b, c) => { const [x, y, z] = point(structure.lattice, [a, b, c]); return { x, y, z }; };
  for (const u of [0, 1]) for (const v of [0, 1]) {
    const edge = (start, end) => viewer.addCylinder({ start, end, radius: 0.025, color: ink });
    edge(corner(0, u, v), corner(1, u, v));
    edge(corner(u, 0, v), corner(u, 1, v));
    edge(corner(u, v, 0), corner(u, v, 1));
  }
  if (!viewer.seen) { viewer.rotate(22, "y"); viewer.rotate(14, "x"); viewer.seen = true; }
  viewer.zoomTo();
  viewer.zoom(1.2);
  viewer.render();
}
