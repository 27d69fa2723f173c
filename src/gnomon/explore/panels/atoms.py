"""What a crystal consists of, and where its atoms sit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gnomon.chemistry.oxidation import oxidation_states
from gnomon.elements import MASSES, SYMBOLS, element_facts
from gnomon.explore.panels.shape import Head, Panel, Subject
from gnomon.explore.symmetric import electronegativity


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
