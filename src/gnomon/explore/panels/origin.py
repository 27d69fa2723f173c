"""Where a crystal comes from, and what to cite."""

from __future__ import annotations

from collections.abc import Iterator

from gnomon import __version__
from gnomon.explore.panels.shape import Panel, Subject
from gnomon.publish import to_cite, used, works

METHOD = "merchant2023"
"""What gnomon follows, among ``gnomon.publish.works``."""


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
        text=[*said, keys],
        works=(own, *map(str, cited)),
    )
