"""The data card: README.md of a published campaign."""

from __future__ import annotations

from collections.abc import Iterable

from gnomon.publish.details import Details
from gnomon.publish.used import Use
from gnomon.report.build import Report

COLUMNS = {
    "id": "of the candidate as it was proposed",
    "relaxed_id": "of the crystal that it relaxed to, as in the name of its CIF",
    "formation_energy_per_atom": "eV/atom, from the elements in the same energy scheme",
    "e_above_hull": "eV/atom, distance from the convex hull of all phases of the same scheme",
    "distance_to_rest": "eV/atom, distance from the hull of all other phases; negative: stable",
    "probability_stable": "from the measured errors of the level that decided",
    "scheme": "what the energies depend on beside the crystal; schemes are never mixed",
    "lineage": "the steps that led to it, the last one first",
}
"""Of the tables, those that need words."""


def data_card(report: Report, details: Details, uses: tuple[Use, ...], archive: bool) -> str:
    """Markdown for people who find the folder in a repository."""
    facts = report.campaign.provenance
    version = facts.get("versions", {}).get("gnomon", "")
    limits = [
        "Every energy is of a level that is named; none was measured on a sample that was made.",
        (
            f"The level that decides errs by {1000 * report.error.mean_absolute_error:.0f} "
            f"meV/atom on average ({report.error.rows} crystals: {report.error.source})."
            if report.error
            else "How far the level that decides errs was not measured."
        ),
        "Crystals are ordered, periodic and at 0 K without zero-point motion.",
        "The licences of inputs are those of their sources and were not checked.",
    ]
    sections = {
        "What was found": [report.headline, *report.told, report.comparison],
        "How": [
            f"`gnomon discover` {version}, {facts['system']}, seed {facts.get('seed', 0)}, "
            f"begun {facts.get('date', 'at an unknown time')}. {report.n_candidates} candidates, "
            f"{report.n_evaluated} evaluated, {len(report.failures)} of the evaluations failed.",
            *_listed(f"{u.role}: {u.name} {u.version}".strip() for u in uses),
            "`gnomon discover --config config.toml` with the same release repeats it"
            + ("; `gnomon restore campaign.zip NEW` brings the folder back." if archive else "."),
        ],
        "Columns": _listed(f"`{name}`: {text}" for name, text in COLUMNS.items()),
        "Limits": _listed(limits),
        "Terms": [f"[{details.licence}]({details.licence_url}): {details.terms}."],
        "Cite": ["See CITATION.cff: these data, and the works that they rest on."],
        "Check": [
            "`sha256sum --check checksums.sha256`; the graph of what was made from what is "
            "`ro-crate-metadata.json` (RO-Crate 1.1, Process Run Crate 0.5)."
        ],
    }
    text = [f"# {details.title}", details.description]
    for title, lines in sections.items():
        text += [f"## {title}", *(line for line in lines if line)]
    return "\n\n".join(text) + "\n"


def _listed(lines: Iterable[str]) -> list[str]:
    return ["\n".join(f"- {line}" for line in lines)]
