"""Where a crystal comes from, and what is like it."""

from __future__ import annotations

from collections.abc import Iterator

from gnomon.explore.panels.shape import Head, Link, Panel, Subject, mev

TITLE = "Similar crystals"

LIKE = 10
"""Similar crystals that are listed."""


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
        given = " ".join(one.path.name for one in of.index.collections)
        how = f"`gnomon explore {given} --map` has let the networks look at all crystals"
        yield Panel(TITLE, text=[f"once {how}, the most alike stand here."])
        return
    names = ("reduced_formula", "space_group", "prototype", "e_above_hull", "source")
    rows = []
    for row, cosine in vectors.nearest(of.row, LIKE):
        found = of.index.row(row, ("id", *names))
        above = mev(found["e_above_hull"])
        group = found["space_group"]
        rows.append(
            [
                Link(found["reduced_formula"], found["id"]),
                group,
                *(found["prototype"], above, found["source"], cosine),
            ]
        )
    yield Panel(
        TITLE,
        "Cosine between what the structural networks of gnomon see of two crystals.",
        (
            *(Head("Crystal", formula=True), Head("Space group", group=True), Head("Prototype")),
            *(Head("Above the hull", "meV/atom", 1), Head("Source"), Head("Cosine", "", 4)),
        ),
        rows,
    )
