"""What a campaign used, and which works say how that was made: read from its provenance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gnomon.discover.settings import settings_of
from gnomon.evaluate.scheme import EnergyScheme
from gnomon.models.bundled import COMPOSITION, STRUCTURAL
from gnomon.potential.weights import BUNDLED, PUBLISHED
from gnomon.publish.works import Work, works

OURS = "Apache-2.0"
"""Licence of gnomon and of the weights in its package."""

GENERATORS = {
    "substitution": ("hautier2011", "merchant2023"),
    "saps": ("merchant2023",),
    "prototypes": ("mehl2017",),
    "random": ("pickard2011",),
    "evolution": ("glass2006",),
}
POTENTIALS = {
    **dict.fromkeys(BUNDLED, ("koker2025", "batzner2022")),
    "nequix-mp-1": ("koker2025",),
    "nequix-oam-1": ("koker2026", "koker2025"),
    "nequix-oam-1-pft": ("koker2026", "koker2025"),
    "sevennet": ("park2024",),
    "gpaw": ("mortensen2024", "larsen2017"),
    "ase": ("larsen2017",),
}
CORRECTIONS = {"MP2020": ("wang2021", "jain2013")}
LIBRARIES = {"pymatgen": ("ong2013",), "spglib": ("togo2024",)}


@dataclass(frozen=True)
class Use:
    """Something that a campaign used.

    Attributes:
        role: such as ``generator``, ``level 1``, ``input``.
        name: by which settings call it; of a file its name without folders.
        version: release, or sha256 of what has none.
        licence: SPDX identifier, empty where gnomon does not know it.
        works: to cite for it; none for a plug-in or a file, whose authors say what they ask for.
    """

    role: str
    name: str
    version: str = ""
    licence: str = ""
    works: tuple[Work, ...] = ()


def used(provenance: Mapping[str, Any]) -> tuple[Use, ...]:
    """All that a campaign used, gnomon first.

    Args:
        provenance: ``Campaign.provenance``.
    """
    return tuple(_uses(provenance))


def to_cite(uses: tuple[Use, ...]) -> tuple[Work, ...]:
    """Their works, each once."""
    return tuple({work.key: work for use in uses for work in use.works}.values())


def _uses(provenance: Mapping[str, Any]) -> Iterator[Use]:
    config, versions = settings_of(provenance), provenance.get("versions", {})
    commit = provenance.get("commit")
    version = versions.get("gnomon", "") + (f" (commit {commit})" if commit else "")
    yield Use("program", "gnomon", version, OURS, _works("merchant2023", "ong2008"))
    # not validated: a plug-in that was used need not be installed here
    for name in config.get("generate", {}).get("generators", ()):
        yield Use("generator", name, works=_works(*GENERATORS.get(name, ())))
    levels = (config.get("evaluator", {}), *config["decide"]["levels"])
    schemes = (provenance["scheme"], *provenance.get("deciding_schemes", ()))
    for number, (level, scheme) in enumerate(zip(levels, schemes, strict=True)):
        yield _level(number, level.get("name", scheme), scheme)
    learn = config.get("learn", {})
    if learn.get("prior"):
        yield Use("network", STRUCTURAL, "", OURS, _works("merchant2023", "jain2013"))
        yield Use("network", COMPOSITION, "", OURS, _works("goodall2020", "jain2013"))
        yield Use("counts", Path(learn["prototypes"]).name, works=_works("jain2013", "mehl2017"))
    for name, sha256 in provenance.get("inputs", {}).items():
        yield Use("input", Path(name).name, f"sha256 {sha256}")
    for name, keys in LIBRARIES.items():
        yield Use("library", name, versions.get(name, ""), works=_works(*keys))


def _level(number: int, name: str, scheme: str) -> Use:
    """An evaluator of the campaign; level 0 screens."""
    published = PUBLISHED.get(name)
    licence = published.licence if published else OURS if name in BUNDLED else ""
    corrections = CORRECTIONS.get(EnergyScheme.parse(scheme).corrections, ())
    keys = POTENTIALS.get(name) or POTENTIALS.get(name.partition(":")[0], ())
    return Use(f"level {number}", name, scheme, licence, _works(*keys, *corrections))


def _works(*keys: str) -> tuple[Work, ...]:
    return tuple(works()[key] for key in keys)
