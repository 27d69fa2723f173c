"""The folder as an RO-Crate: which file is what, and how every find came to be, as a graph.

RO-Crate 1.1 with the Process Run Crate profile 0.5 (https://w3id.org/ro/wfrun/process/0.5), by
rocrate: what ran is a ``CreateAction`` with an ``instrument`` (generator, potential), ``object``
(parents, inputs) and ``result``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gnomon.discover.finds import Find
from gnomon.publish.details import Details
from gnomon.publish.used import Use, to_cite

if TYPE_CHECKING:
    from rocrate.rocrate import ROCrate

PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
TYPES = {
    ".cif": "chemical/x-cif",
    ".cff": "text/yaml",
    ".csv": "text/csv",
    ".html": "text/html",
    ".json": "application/json",
    ".md": "text/markdown",
    ".parquet": "application/vnd.apache.parquet",
    ".sha256": "text/plain",
    ".toml": "application/toml",
    ".txt": "text/plain",
    ".zip": "application/zip",
}


def write_crate(
    folder: Path,
    details: Details,
    date: str,
    uses: tuple[Use, ...],
    finds: Mapping[str, Find],
    descriptions: Mapping[str, str],
) -> None:
    """Write ``ro-crate-metadata.json`` into a folder.

    Args:
        folder: with all other files.
        details: title, authors, licence.
        date: of the campaign, ISO 8601.
        uses: of the campaign.
        finds: by the name of their CIF within the folder.
        descriptions: of the files.
    """
    from rocrate.model.contextentity import ContextEntity
    from rocrate.rocrate import ROCrate

    crate = ROCrate(version="1.1")

    def add(key: str, kind: str | list[str], **said: Any) -> Any:
        known = crate.dereference(key)
        told = {name: _one(value) for name, value in said.items() if value}
        return known or crate.add(ContextEntity(crate, key, properties={"@type": kind} | told))

    _describe(crate, add, details, date, uses)
    for name, text in descriptions.items():
        crate.add_file(folder / name, name, properties=_of_file(folder / name, text))
    tools = {(use.role, use.name): _tool(add, use) for use in uses}
    given = [
        add(f"#input-{use.name}", "CreativeWork", name=use.name, version=use.version)
        for use in uses
        if use.role == "input"
    ]
    for name, find in finds.items():
        _history(add, find, tools, given, date)
        _evaluation(crate, add, name, find, tools, date)
    for action in (entity for entity in crate.contextual_entities if entity.type == "CreateAction"):
        action["agent"] = crate.root_dataset["author"]
        crate.root_dataset.append_to("mentions", action)
    crate.write(folder)


def _describe(crate: ROCrate, add: Any, details: Details, date: str, uses: tuple[Use, ...]) -> None:
    """The folder itself."""
    crate.name, crate.description = details.title, details.description
    licence = add(
        details.licence_url, "CreativeWork", name=details.licence, description=details.terms
    )
    people = [
        add(who.key, "Person", name=who.name, familyName=who.family, givenName=who.given)
        for who in details.authors
    ]
    cited = [
        add(
            f"https://doi.org/{work.doi}",
            "ScholarlyArticle",
            name=work.title,
            author=work.authors,
            datePublished=str(work.year),
        )
        for work in to_cite(uses)
    ]
    profile = add(PROFILE, "CreativeWork", name="Process Run Crate", version="0.5")
    crate.license = licence
    crate.datePublished = details.published
    root = crate.root_dataset
    root["author"], root["citation"], root["conformsTo"] = _one(people), cited, profile
    root["dateCreated"] = date
    root["keywords"] = "crystal structure prediction, convex hull, materials discovery"
    if details.doi:
        root["identifier"] = f"https://doi.org/{details.doi}"


def _tool(add: Any, use: Use) -> Any:
    """What ran."""
    return add(
        f"#{use.role.replace(' ', '-')}-{use.name}",
        "SoftwareApplication",
        name=use.name,
        description=use.role,
        softwareVersion=use.version or "that of gnomon",
        url=next((f"https://doi.org/{work.doi}" for work in use.works), None),
        license=f"https://spdx.org/licenses/{use.licence}" if use.licence else None,
        citation=[{"@id": f"https://doi.org/{work.doi}"} for work in use.works],
    )


def _history(add: Any, find: Find, tools: Mapping[Any, Any], given: list[Any], date: str) -> None:
    """The steps from its root to the find as it was proposed."""
    for step, parent in zip(find.lineage, (*find.lineage[1:], None), strict=True):
        made = add(f"#crystal-{step.id}", "CreativeWork", name=_crystal(step.id, find))
        if not step.generator:
            made["name"], made["isPartOf"] = step.change, given
            continue
        before = (
            [add(f"#crystal-{parent.id}", "CreativeWork", name=f"crystal {parent.id}")]
            if parent
            else given
        )
        add(
            f"#proposed-{step.id}",
            "CreateAction",
            name=f"proposed in round {step.round}",
            description=step.change,
            instrument=tools.get(("generator", step.generator), tools["program", "gnomon"]),
            object=before,
            result=made,
            endTime=date,
        )


def _evaluation(
    crate: ROCrate, add: Any, name: str, find: Find, tools: Mapping[Any, Any], date: str
) -> None:
    """From the find as proposed to its relaxed crystal, at every level that holds it."""
    proposed = add(f"#crystal-{find.id}", "CreativeWork", name=_crystal(find.id, find))
    of_level = {role: tool for (role, _), tool in tools.items()}
    for place in find.places:
        add(
            f"#evaluated-{find.id}-{place.level}",
            "CreateAction",
            name=f"relaxed at level {place.level}: {place.e_above_hull:.4f} eV/atom above the hull",
            description=f"{place.formation_energy_per_atom:.4f} eV/atom by {place.scheme}",
            instrument=of_level[f"level {place.level}"],
            object=proposed,
            result=crate.dereference(name),
            endTime=date,
        )


def _one(value: Any) -> Any:
    """A list of one as its only member, as RO-Crates are written."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _crystal(key: str, find: Find) -> str:
    return f"{find.reduced_formula} as proposed" if key == find.id else f"crystal {key}"


def _of_file(path: Path, text: str) -> dict[str, Any]:
    """What a crate says of a file."""
    return {
        "name": path.name,
        "description": text,
        "encodingFormat": TYPES[path.suffix],
        "contentSize": str(path.stat().st_size),
    }
