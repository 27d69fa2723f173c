"""`gnomon publish` and `cite`: a campaign for a data repository, and whom to cite for it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gnomon.cli.options import CommandError, Output
from gnomon.discover import Campaign
from gnomon.publish.details import Author, Details
from gnomon.publish.folder import publish as write
from gnomon.publish.used import to_cite, used
from gnomon.run.listener import Listener

Folder = Annotated[Path, typer.Argument(help="Campaign folder.")]


def publish(
    campaign: Folder,
    folder: Path,
    listener: Listener,
    *,
    author: list[str],
    title: str | None = None,
    description: str | None = None,
    licence: str = "CC-BY-4.0",
    doi: str | None = None,
    no_archive: bool = False,
) -> Output:
    """Write a campaign into a folder that a data repository takes as it is.

    Data card, licence, checksums, tables, CIFs, how to cite it, the whole campaign, and the graph
    from sources and weights to every find (RO-Crate).

    Args:
        folder: new folder.
        author: 'FAMILY, GIVEN' or 'FAMILY, GIVEN, ORCID'; repeatable.
        title: by default the chemical system and what was found.
        description: by default the result in a sentence.
        licence: CC-BY-4.0, CC-BY-SA-4.0, CC-BY-NC-4.0 or CC0-1.0.
        doi: of the publication, where the repository has reserved one.
        no_archive: leave the campaign itself out, whose provenance names folders of this machine.

    Example: gnomon publish campaign-Au-Cu published --author 'FAMILY, GIVEN'
    """
    opened = Campaign(campaign)
    opened.store.sound(listener)
    try:
        import rocrate  # noqa: F401
    except ModuleNotFoundError as error:
        raise CommandError(f"{error}: pip install 'gnomon[publish]'") from error
    n_finds = len(opened.finds)
    found = f"{n_finds} new stable phase{'' if n_finds == 1 else 's'}"
    details = Details(
        title or f"Crystals of {opened.name} by gnomon: {found}",
        description or f"{found} of {opened.name} on the hull of {opened.scheme}.",
        tuple(map(Author.parse, author)),
        licence,
        doi or "",
    )
    write(opened, folder, details, archive=not no_archive, listener=listener)
    names = sorted(path.name for path in folder.iterdir())
    told = [f"{folder}: {', '.join(names)}"]
    if not no_archive:
        told.append("campaign.zip names folders of this machine; --no-archive leaves it out")
    return Output({"folder": str(folder), "files": names}, said=tuple(told))


def cite(campaign: Folder, *, bibtex: bool = False) -> Output:
    """Tell what a campaign used, and which works to cite for it.

    Args:
        bibtex: print the works as BibTeX.

    Example: gnomon cite campaign-Au-Cu
    """
    uses = used(Campaign(campaign).provenance)
    works = to_cite(uses)
    rows = [
        {
            "what": use.role,
            "name": use.name,
            "version": use.version or "-",
            "licence": use.licence or "-",
            "cite": ", ".join(work.key for work in use.works) or "what its authors ask for",
        }
        for use in uses
    ]
    data = {"used": rows, "cite": {work.key: str(work) for work in works}}
    if bibtex:
        return Output(data, ("\n\n".join(work.bibtex for work in works),))
    return Output(data, (rows, "\n".join(f"{work.key}: {work}" for work in works)))
