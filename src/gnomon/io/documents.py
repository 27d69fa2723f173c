"""JSON documents: Materials Project API, pymatgen ``Structure``, OPTIMADE structures.

The dictionaries are read as plain numbers and names.  ``Structure.from_dict`` is not called: it
imports whatever module a file names in ``@module``.  The standard library's parser is used because
it reads NaN and Infinity, so that one such number costs one record and not the file.
"""

import json
from collections.abc import Iterator
from functools import partial
from io import BufferedReader
from typing import Any

import numpy as np

from gnomon.io.objects import element_number, site_number
from gnomon.io.reasons import Reason, UnusableError
from gnomon.io.records import Content, Facts, Limits, Record, fractional, record, rejected
from gnomon.io.sources import content

ID_KEYS = ("source_id", "material_id", "mp_id", "entry_id", "id")
"""Keys that name a document, the best first."""

WRAPPERS = ("data", "structures", "entries")
"""Keys under which a response holds its documents."""


def records(source: str, data: BufferedReader, limits: Limits) -> Iterator[Record]:
    """A record for each document: a list, a response ``{"data": ...}``, or one document."""
    raw = content(data, limits)
    try:
        documents = _documents(json.loads(raw))
    except (ValueError, RecursionError, MemoryError) as error:
        yield rejected(source, Reason.unreadable, f"no JSON: {error}")
        return
    if not isinstance(documents, list):
        yield record(source, partial(_parse, documents, limits), _own_id(documents))
        return
    if not documents:
        yield rejected(source, Reason.empty, "a list of no documents")
    for i, document in enumerate(documents):
        parse = partial(_parse, document, limits)
        yield record(f"{source}#{i}", parse, _own_id(document))


def _documents(loaded: Any) -> Any:
    if isinstance(loaded, dict) and not {"structure", "lattice", "attributes"} & loaded.keys():
        for key in WRAPPERS:
            if isinstance(loaded.get(key), list | dict):
                return loaded[key]
    return loaded


def _own_id(document: Any) -> str | None:
    if not isinstance(document, dict):
        return None
    properties = document.get("properties")
    inner = properties if isinstance(properties, dict) else {}
    names = [d[k] for d in (document, inner) for k in ID_KEYS if isinstance(d.get(k), str | int)]
    return str(names[0]) if names else None


def _parse(document: Any, limits: Limits) -> Content:
    if not isinstance(document, dict):
        raise UnusableError(
            Reason.unreadable, f"a {type(document).__name__} where a document should be"
        )
    if isinstance(document.get("attributes"), dict):
        return _optimade(document["attributes"], limits)
    if isinstance(document.get("structure"), dict):
        return _structure(document["structure"], Facts.of(document), limits)
    if "sites" in document:
        properties = document.get("properties")
        return _structure(
            document, Facts.of(properties if isinstance(properties, dict) else {}), limits
        )
    raise UnusableError(
        Reason.unreadable,
        "no key 'structure' (Materials Project), 'lattice' and 'sites' (pymatgen) or 'attributes' "
        f"(OPTIMADE); found: {', '.join(map(str, list(document)[:10])) or 'none'}",
    )


def _structure(structure: Any, facts: Facts, limits: Limits) -> Content:
    """A pymatgen ``Structure`` dictionary."""
    cell, sites = structure.get("lattice"), structure["sites"]
    if not isinstance(cell, dict):
        raise UnusableError(Reason.missing_lattice, "sites without a lattice: a molecule")
    if not all(cell.get("pbc", (True, True, True))):
        raise UnusableError(Reason.missing_lattice, f"periodic along {cell['pbc']} only")
    _check_size(sites, limits)
    lattice = np.array(cell["matrix"] if "matrix" in cell else _matrix(cell), np.float64)
    numbers = [site_number([_occupant(s) for s in site["species"]]) for site in sites]
    if all("abc" in site for site in sites):
        frac = np.array([site["abc"] for site in sites], np.float64)
    else:
        frac = fractional(lattice, [site["xyz"] for site in sites])
    return Content(lattice, np.array(numbers, np.int64), frac, facts=facts)


def _occupant(species: Any) -> tuple[str, float]:
    return str(species["element"]), float(species.get("occu", 1))


def _matrix(cell: Any) -> Any:
    from pymatgen.core import Lattice

    parameters = [float(cell[k]) for k in ("a", "b", "c", "alpha", "beta", "gamma")]
    return Lattice.from_parameters(*parameters).matrix


def _optimade(attributes: Any, limits: Limits) -> Content:
    """The attributes of an OPTIMADE structure (specification 1.2).

    Energies stay out: OPTIMADE has no standard property for them, and each provider's own belongs
    to a scheme that the document does not name.
    """
    vectors = attributes.get("lattice_vectors")
    periodic = attributes.get("dimension_types", [1, 1, 1])
    if vectors is None or periodic != [1, 1, 1] or any(None in v for v in vectors):
        raise UnusableError(Reason.missing_lattice, f"dimension_types {periodic}")
    sites, positions = attributes["species_at_sites"], attributes["cartesian_site_positions"]
    if sites is None or positions is None:
        raise UnusableError(
            Reason.incomplete, "no sites in the response (response_fields left them out)"
        )
    _check_features(attributes)
    _check_size(sites, limits)
    elements = {
        species["name"]: list(
            zip(species["chemical_symbols"], species["concentration"], strict=True)
        )
        for species in attributes["species"]
    }
    numbers = {name: _species_number(occupants) for name, occupants in elements.items()}
    return Content(
        np.array(vectors, np.float64),
        np.array([numbers[name] for name in sites], np.int64),
        fractional(vectors, positions),
    )


def _check_features(attributes: Any) -> None:
    """Refuse what the sites do not show: atoms without a position, sites that exclude each other.

    A provider that leaves ``structure_features`` out of an answer still has to name attached atoms
    in the species and alternatives in ``assemblies``.
    """
    features = set(attributes.get("structure_features") or ())
    if any(species.get("attached") for species in attributes["species"]):
        features.add("site_attachments")
    if absent := sorted(features & {"implicit_atoms", "site_attachments"}):
        raise UnusableError(Reason.incomplete, f"atoms without a position ({', '.join(absent)})")
    if attributes.get("assemblies") or "assemblies" in features:
        raise UnusableError(Reason.partial_occupancy, "sites that exclude each other (assemblies)")


def _species_number(occupants: list[tuple[Any, Any]]) -> int:
    if len(occupants) == 1 and occupants[0][0] in ("X", "vacancy"):
        return element_number(str(occupants[0][0]))
    return site_number([(str(symbol), float(share)) for symbol, share in occupants])


def _check_size(sites: Any, limits: Limits) -> None:
    if not isinstance(sites, list) or not sites:
        raise UnusableError(Reason.empty, "no sites")
    if len(sites) > limits.max_atoms:
        raise UnusableError(Reason.too_large, f"{len(sites)} atoms (raise max_atoms to read it)")
