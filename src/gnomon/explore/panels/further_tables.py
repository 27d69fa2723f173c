"""What the tables of a campaign say of a crystal."""

from __future__ import annotations

from collections.abc import Iterator

from gnomon.explore.panels.shape import Head, Panel, Subject


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
