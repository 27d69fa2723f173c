"""``publish``: a campaign → a folder that a data repository takes as it is.

README.md  CITATION.cff  LICENSE.txt  ro-crate-metadata.json  checksums.sha256
stable.csv  phases.csv  cifs/         what was found, and every phase that was evaluated
hull.parquet  config.toml  provenance.json  report.html
campaign.zip                          the campaign itself, which `gnomon restore` takes
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w

from gnomon.discover.campaign import Campaign
from gnomon.publish.card import data_card
from gnomon.publish.crate import write_crate
from gnomon.publish.details import Details
from gnomon.publish.used import Use, to_cite, used
from gnomon.report.build import Report, build_report
from gnomon.report.cifs import cif_names
from gnomon.report.files import MARKER, write_report
from gnomon.run.archive import backup
from gnomon.run.files import remove, renamed, sha256_of
from gnomon.run.listener import SILENT, Listener
from gnomon.run.writing import StoreError, write_parquet

FILES = {
    "README.md": "data card: what this is, how it was made, what its columns mean, its limits",
    "CITATION.cff": "how to cite this, and the works that it rests on",
    "LICENSE.txt": "terms of use",
    "stable.csv": "new stable phases",
    "phases.csv": "every evaluation, with the place on the hull of what converged",
    "hull.parquet": "every converged phase of each level and its place on that one's hull",
    "config.toml": "settings of the campaign: `gnomon discover --config config.toml` repeats it",
    "provenance.json": "versions, commit, seed, machine and checksums of inputs",
    "report.html": "the report, for a browser",
    "campaign.zip": "the whole campaign, for `gnomon restore`",
    "checksums.sha256": "sha256 of all other files, for `sha256sum --check`",
}
CITATION = "1.2.0"
"""Version of the format of CITATION.cff."""


def publish(
    campaign: Campaign,
    folder: Path,
    details: Details,
    *,
    archive: bool = True,
    listener: Listener = SILENT,
) -> Report:
    """Write the folder: whole or not at all.

    Args:
        campaign: that is published; nothing in its folder is changed.
        folder: new folder.
        details: what only people can say of it.
        archive: put the whole campaign into it.
        listener: hears of progress.

    Raises:
        StoreError: if the folder is there, or the campaign is in use or damaged.
    """
    folder = Path(folder)
    if folder.exists():
        raise StoreError(f"{folder} is there already: name a new folder")
    report, uses = build_report(campaign), used(campaign.provenance)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with renamed(folder) as new:
        _write_results(report, new)
        _write_settings(campaign, new)
        if archive:
            backup(campaign.store, new / "campaign.zip", listener)
        (new / "README.md").write_text(data_card(report, details, uses, archive), "utf-8")
        (new / "CITATION.cff").write_text(citation(details, uses), "utf-8")
        (new / "LICENSE.txt").write_text(
            f"{details.licence}: {details.terms}.\nThe text: {details.licence_url}\n", "utf-8"
        )
        cifs = {f"cifs/{name}": key for key, name in cif_names(report).items()}
        finds = {find.id: find for find in report.finds}
        told = {f"cifs/{path.name}": "relaxed crystal" for path in (new / "cifs").iterdir()}
        described = {name: text for name, text in FILES.items() if (new / name).is_file()} | told
        write_crate(
            new,
            details,
            campaign.provenance.get("date", ""),
            uses,
            {name: finds[key] for name, key in cifs.items() if key in finds},
            described,
        )
        _write_checksums(new)
    return report


def _write_results(report: Report, folder: Path) -> None:
    """Tables, page and CIFs of the report, and the hull."""
    write_report(report, folder)
    (folder / MARKER).unlink()
    (folder / "index.html").rename(folder / "report.html")
    remove(folder / "doubts.csv")
    write_parquet(folder / "hull.parquet", report.campaign.hull_table())


def _write_settings(campaign: Campaign, folder: Path) -> None:
    """Settings and provenance, without the folders of the machine that it ran on."""
    config = _without_folders(tomllib.loads(campaign.store.read("config.toml").decode()))
    (folder / "config.toml").write_text(tomli_w.dumps(config), "utf-8")
    facts = _without_folders(dict(campaign.provenance))
    (folder / "provenance.json").write_text(json.dumps(facts, indent=1) + "\n", "utf-8")


def _without_folders(value: Any) -> Any:
    """Absolute paths shortened to their names."""
    if isinstance(value, str):
        return Path(value).name if Path(value).is_absolute() else value
    if isinstance(value, Mapping):
        return {_without_folders(key): _without_folders(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_folders(one) for one in value]
    return value


def citation(details: Details, uses: tuple[Use, ...]) -> str:
    """CITATION.cff: JSON is YAML, so that nothing has to be quoted by hand."""
    people = [
        {"family-names": who.family, "given-names": who.given}
        | ({"orcid": who.key} if who.orcid else {})
        for who in details.authors
    ]
    facts = {
        "cff-version": CITATION,
        "message": "If you use these data, please cite them and the works that they rest on.",
        "type": "dataset",
        "title": details.title,
        "abstract": details.description,
        "authors": people,
        "license": details.licence,
        "date-released": details.published.isoformat(),
        **({"doi": details.doi} if details.doi else {}),
        "references": [work.reference for work in to_cite(uses)],
    }
    return json.dumps(facts, indent=2, ensure_ascii=False) + "\n"


def _write_checksums(folder: Path) -> None:
    names = sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )
    lines = [f"{sha256_of(folder / name)}  {name}\n" for name in names]
    (folder / "checksums.sha256").write_text("".join(lines), "utf-8")
