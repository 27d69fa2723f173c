"""Energies of a crystal, what it competes with, and evaluations that failed."""

from __future__ import annotations

from collections.abc import Iterator

from gnomon.evaluate.measured import measured
from gnomon.explore.panels.shape import Head, Panel, Subject, mev


def energies(of: Subject) -> Iterator[Panel]:
    """At each level, with what is known of the errors of the level."""
    rows = []
    for one in of.details.get("places", ()):
        error = measured(one["scheme"])
        off = None if error is None else mev(error.mean_absolute_error)
        energy, above = one["formation_energy_per_atom"], mev(one["e_above_hull"])
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
