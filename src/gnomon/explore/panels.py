"""The panels of a crystal's page: a title, and rows or lines that follow from a crystal.

A further panel is a function of a ``Subject`` and a line in ``PANELS``.  Tables of a campaign that
are not of one property need none: each of them becomes a panel as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from gnomon import __version__
from gnomon.chemistry.oxidation import oxidation_states
from gnomon.crystals import Crystals
from gnomon.diffraction.reflections import Reflections, lorentz, reflections
from gnomon.diffraction.scans import COPPER
from gnomon.elements import MASSES, SYMBOLS, element_facts
from gnomon.evaluate.measured import measured
from gnomon.explore.index import Index
from gnomon.explore.symmetric import Symmetric, electronegativity
from gnomon.publish import to_cite, used, works

LOWEST, HIGHEST, WIDTH = 10.0, 90.0, 0.12
"""Angles 2θ of a diffractogram, and the width of its peaks, degrees."""

FAINTEST, STRONGEST = 0.2, 12
"""Percent of the strongest peak below which none is drawn, and how many are listed."""

MOST_VOLUME = 3000.0
"""Å³ of a cell of which a diffractogram is made: reflections grow with the volume."""

METHOD = "merchant2023"
"""What gnomon follows, among ``gnomon.publish.works``."""

LIKE = 10
"""Similar crystals that are listed."""


class Head(NamedTuple):
    """What stands over a column.

    Attributes:
        text, unit: of it.
        digits: behind the point of its numbers; None for texts.
        formula: whether its texts are formulas.
    """

    text: str
    unit: str = ""
    digits: int | None = None
    formula: bool = False


class Link(NamedTuple):
    """A text that leads to a crystal."""

    text: str
    id: str


@dataclass(frozen=True)
class Panel:
    """What a page draws; empty parts are left out.

    Attributes:
        title, about: over it and above its rows.
        heads, rows: a table; cells are texts, numbers, links or nothing.
        peaks: (2θ, intensity) of lines to draw as a diffractogram.
        steps: crystals that came from one another, the root first, and what was done to each.
        text: lines to read or copy.
    """

    title: str
    about: str = ""
    heads: Sequence[Head] = ()
    rows: Sequence[Sequence[Any]] = ()
    peaks: Sequence[tuple[float, float]] = ()
    steps: Sequence[Mapping[str, Any]] = ()
    text: Sequence[str] = ()
    further: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Subject:
    """One crystal of an index, and what is said of it.

    Attributes:
        index, row: where it is.
        details: what the index keeps of it beside columns.
    """

    index: Index
    row: int
    details: Mapping[str, Any]

    @cached_property
    def crystal(self) -> Crystals:
        """As shown, a batch of one."""
        return self.index.crystals[self.row]

    @cached_property
    def symmetric(self) -> Symmetric:
        """Its symmetry."""
        return Symmetric.of(self.crystal)

    def fact(self, name: str) -> Any:
        """A column; None where there is no such one."""
        column = self.index.columns.get(name)
        return None if column is None else column.at(self.row)

    def here(self, key: str) -> int | None:
        """The row of an id of the same source."""
        at = self.index.row_of.get(key)
        source = self.index.columns["source"]
        return at if at is not None and source.at(at) == source.at(self.row) else None

    def link(self, key: str, text: str) -> Link | str:
        """A link to a crystal that is here, or its text alone."""
        return text if self.here(key) is None else Link(text, key)


def _mev(value: float | None) -> float | None:
    return None if value is None else 1000 * value


def energies(of: Subject) -> Iterator[Panel]:
    """At each level, with what is known of the errors of the level."""
    rows = []
    for one in of.details.get("places", ()):
        error = measured(one["scheme"])
        off = None if error is None else _mev(error.mean_absolute_error)
        energy, above = one["formation_energy_per_atom"], _mev(one["e_above_hull"])
        rows.append([str(one["level"]), one["scheme"], energy, above, off])
    if not rows:
        return
    probability = of.fact("probability_stable")
    said = (
        "" if probability is None else f" Probability of being stable: {100 * probability:.0f} %."
    )
    yield Panel(
        "Energies by level",
        "Each level has a hull of its own; its error is the mean one of distances from the hull, "
        f"where it was measured.{said}",
        (
            Head("Level"),
            Head("Energies"),
            Head("Formation energy", "eV/atom", 4),
            Head("Above the hull", "meV/atom", 1),
            Head("Error of the level", "meV/atom", 0),
        ),
        rows,
    )


def competing(of: Subject) -> Iterator[Panel]:
    """What it would fall apart into."""
    rows = [
        [of.link(one["id"], one["reduced_formula"]), one["fraction"]]
        for one in of.details.get("competing", ())
    ]
    if rows:
        yield Panel(
            "What it competes with",
            of.details.get("reaction") or "The lowest mixture of the other phases.",
            (Head("Phase", formula=True), Head("Fraction of the atoms", "", 3)),
            rows,
        )


def composition(of: Subject) -> Iterator[Panel]:
    """Elements, their shares, and their likely states."""
    [counts] = of.crystal.reduced_counts
    states = oxidation_states(counts)
    facts = element_facts(("X", "atomic_radius"))
    atoms = sum(n for _, n in counts)
    mass = sum(n * float(MASSES[z]) for z, n in counts)
    yield Panel(
        "Composition",
        f"{mass:.2f} g/mol a formula; the likeliest oxidation states that balance."
        if states
        else f"{mass:.2f} g/mol a formula; no common oxidation states balance.",
        (
            Head("Element"),
            Head("Atoms", "%", 1),
            Head("Weight", "%", 1),
            Head("Oxidation state"),
            Head("Electronegativity", "Pauling", 2),
        ),
        [
            [
                SYMBOLS[z],
                100 * n / atoms,
                100 * n * float(MASSES[z]) / mass,
                f"{states[i]:+d}".replace("-", "−") if states else "–",
                float(facts[z, 0]),
            ]
            for i, (z, n) in enumerate(counts)
        ],
    )


def wyckoff(of: Subject) -> Iterator[Panel]:
    """Orbits in the conventional cell."""
    if of.symmetric.wyckoff:
        yield Panel(
            "Wyckoff positions",
            "In the conventional cell.",
            (Head("Element"), Head("Position"), Head("Site symmetry"), Head("x, y, z")),
            [
                [
                    one["element"],
                    f"{one['multiplicity']}{one['letter']}",
                    one["site_symmetry"],
                    ", ".join(f"{x:.4f}" for x in one["position"]),
                ]
                for one in of.symmetric.wyckoff
            ],
        )


def surroundings(of: Subject) -> Iterator[Panel]:
    """The first shell around each kind of atom."""
    rows = [
        [
            one.element,
            one.coordination,
            "; ".join(f"{len(d)} {other} {_span(d)}" for other, d in one.bonds.items()),
            None if one.distortion is None else round(one.distortion, 6),
        ]
        for one in of.symmetric.shells
    ]
    yield Panel(
        "Coordination",
        "Neighbours of each kind of atom as far as the largest gap in reciprocal distances "
        "(Brunner 1977); distortion of the bond lengths (Baur 1974).",
        (
            Head("Element"),
            Head("Coordination", "", 0),
            Head("Bonds", "Å"),
            Head("Distortion", "", 4),
        ),
        rows,
    )
    lengths: dict[str, list[float]] = {}
    for one in of.symmetric.shells:
        for other, found in one.bonds.items():
            pair = sorted(
                (one.element, other), key=lambda symbol: (electronegativity(symbol), symbol)
            )
            lengths.setdefault("–".join(pair), []).extend(found)
    if lengths:
        yield Panel(
            "Bond lengths",
            "Of all shells, each atom of a kind counted once.",
            (Head("Pair"), *(Head(t, "Å", 3) for t in ("Shortest", "Mean", "Longest"))),
            [[pair, min(d), sum(d) / len(d), max(d)] for pair, d in sorted(lengths.items())],
        )


def _span(lengths: Sequence[float]) -> str:
    low, high = f"{min(lengths):.3f}", f"{max(lengths):.3f}"
    return low if low == high else f"{low} to {high}"


def diffractogram(of: Subject) -> Iterator[Panel]:
    """What an X-ray diffractometer would show of its powder."""
    if of.symmetric.volume > MOST_VOLUME:
        return
    wavelength = COPPER[0][0]
    source = reflections(of.crystal, LOWEST, HIGHEST, wavelength)
    angle = source.positions(np.zeros(len(source.modes)), wavelength)
    inside = np.flatnonzero((angle > LOWEST) & (angle < HIGHEST))
    if not len(inside):
        return
    height = source.strength[inside] * lorentz(angle[inside])
    height *= 100 / height.max()
    order = np.argsort(-height)
    spacing = 1 / np.linalg.norm(source.q[inside], axis=1)
    yield Panel(
        "Powder diffraction",
        f"Simulated: Cu Kα1 ({wavelength:.4f} Å), peaks {WIDTH} degrees wide, no texture. "
        "The strongest lines:",
        (Head("h k l"), Head("2θ", "degrees", 3), Head("d", "Å", 4), Head("Intensity", "%", 1)),
        [
            [
                _named(source, int(inside[i])),
                float(angle[inside[i]]),
                float(spacing[i]),
                float(height[i]),
            ]
            for i in order[:STRONGEST]
        ],
        peaks=[
            (round(float(angle[inside[i]]), 3), round(float(height[i]), 2))
            for i in sorted(order[height[order] >= FAINTEST], key=lambda i: angle[inside[i]])
        ],
        further={"lowest": LOWEST, "highest": HIGHEST, "width": WIDTH},
    )


def _named(source: Reflections, family: int) -> str:
    """Indices of the member of a family that is named by custom: few minus signs, falling."""
    members = np.rint(source.members[source.family == family] @ source.lattice.T).astype(int)
    both = [tuple(sign * one) for one in members for sign in (1, -1)]
    best = max(both, key=lambda hkl: (sum(n >= 0 for n in hkl), hkl))
    return " ".join(map(str, best))


def properties(of: Subject) -> Iterator[Panel]:
    """Values of the campaign's tables of properties, failures too."""
    rows = [
        [
            one["about"],
            one["status"] if one["value"] is None else one["value"],
            one["uncertainty"],
            "" if one["unit"] == "1" else one["unit"],
            one["level"],
            "; ".join(one["further"]),
        ]
        for one in of.details.get("properties", ())
    ]
    if rows:
        heads = (Head("Property"), Head("Value", "", 4), Head("±", "", 4), Head("Unit"))
        yield Panel(
            "Properties",
            "As the tables of the campaign have them.",
            (*heads, Head("By"), Head("Further")),
            rows,
        )


def tables(of: Subject) -> Iterator[Panel]:
    """Further tables of the campaign, such as recipes, as they are."""
    for one in of.details.get("tables", ()):
        heads = [Head(name.replace("_", " "), unit) for name, unit in one["columns"]]
        yield Panel(one["name"].replace("_", " ").capitalize(), one["about"], heads, one["rows"])


def lineage(of: Subject) -> Iterator[Panel]:
    """The way from the root."""
    steps = []
    for one in of.details.get("lineage", ()):
        at = of.here(one["id"])
        named = (
            None
            if at is None
            else of.index.row(at, ("reduced_formula", "space_group", "e_above_hull"))
        )
        number = one["round"]
        made = one["generator"] + ("" if number is None else f", round {number}")
        made = made if one["generator"] else ""
        steps.append({"id": one["id"], "named": named, "made": made, "change": one["change"]})
    if steps:
        yield Panel("Lineage", "From its root, at the top, to this crystal.", steps=steps[::-1])


def similar(of: Subject) -> Iterator[Panel]:
    """The nearest crystals by embedding."""
    vectors = of.index.vectors
    if vectors is None:
        return
    names = ("reduced_formula", "space_group", "prototype", "e_above_hull", "source")
    rows = []
    for row, cosine in vectors.nearest(of.row, LIKE):
        found = of.index.row(row, ("id", *names))
        above = _mev(found["e_above_hull"])
        group = found["space_group"]
        rows.append(
            [
                Link(found["reduced_formula"], found["id"]),
                "–" if group is None else str(group),
                *(found["prototype"], above, found["source"], cosine),
            ]
        )
    yield Panel(
        "Similar crystals",
        "Cosine between what the structural networks of gnomon see of two crystals.",
        (
            *(Head("Crystal", formula=True), Head("Space group"), Head("Prototype")),
            *(Head("Above the hull", "meV/atom", 1), Head("Source"), Head("Cosine", "", 3)),
        ),
        rows,
    )


def failures(of: Subject) -> Iterator[Panel]:
    """Evaluations without an energy."""
    failed = of.details.get("screening", {}).get("failed", ())
    if failed:
        yield Panel(
            "Failed evaluations",
            "Evaluations without an energy.",
            (Head("Level"), Head("Status"), Head("Message")),
            [[str(one["level"]), one["status"], one["message"]] for one in failed],
        )


def citation(of: Subject) -> Iterator[Panel]:
    """Where it comes from, and what to cite."""
    source = str(of.fact("source"))
    run = of.index.provenance.get(source)
    named = [f"{source}{'' if of.fact('source_id') is None else ', ' + str(of.fact('source_id'))}"]
    if run is None:
        said = [f"Given in {named[0]}; cite where that comes from."]
    else:
        commit = run.get("commit")
        version = run.get("versions", {}).get("gnomon", __version__)
        said = [
            f"Campaign {source} by gnomon {version}{f' (commit {commit[:12]})' if commit else ''}, "
            f"seed {run.get('seed', '–')}, {str(run.get('date', ''))[:10]}.",
            f"Energies: {of.fact('scheme') or run['scheme']}.",
        ]
    keys = f"Ids: as proposed {of.fact('id')}, as shown {of.fact('content_id')}."
    cited = [works()[METHOD]] if run is None else to_cite(used(run))
    own = f"gnomon {__version__}, active-learning discovery of stable inorganic crystals."
    yield Panel(
        "Provenance and how to cite",
        text=[*said, keys, *(f"Cite: {one}" for one in (own, *cited))],
    )


PANELS: tuple[Callable[[Subject], Iterator[Panel]], ...] = (
    *(energies, competing, properties, tables, diffractogram, surroundings, composition),
    *(wyckoff, lineage, similar, failures, citation),
)
"""In their order on the page."""


def panels(of: Subject) -> list[dict[str, Any]]:
    """All panels of a crystal that have something to show, as JSON."""
    return [_plain(panel) for make in PANELS for panel in make(of)]


def _plain(panel: Panel) -> dict[str, Any]:
    found = asdict(panel) | {
        "heads": [head._asdict() for head in panel.heads],
        "rows": [
            [one._asdict() if isinstance(one, Link) else one for one in row] for row in panel.rows
        ],
    }
    return {name: value for name, value in found.items() if value}
