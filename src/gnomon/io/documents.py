"""JSON documents: Materials Project API, pymatgen ``Structure``, OPTIMADE structures.

The dictionaries are read as plain numbers and names.  ``Structure.from_dict`` is not called: it
imports whatever module a file names in ``@module``.  The standard library's parser is used because
it reads NaN and Infinity, so that one such number costs one record and not the file.
"""

import json
import warnings
from collections.abc import Iterator
from functools import partial
from io import BufferedReader
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from gnomon.io.document_claims import check_answer, check_document
from gnomon.io.objects import element_number, site_number
from gnomon.io.reasons import Reason, UnusableError, contradiction
from gnomon.io.records import Content, Facts, Limits, Record, fractional, record, rejected, shaped
from gnomon.io.settings import METRIC, Statement, images
from gnomon.io.sources import content

ID_KEYS = ("source_id", "material_id", "mp_id", "entry_id", "id")
"""Keys that name a document, the best first."""

SHARE = 10
"""JSON may have one in so many of ``max_bytes``: its objects take ten times their text."""

FEATURES = {"disorder", "implicit_atoms", "site_attachments", "assemblies"}
"""Of structures, that the specification knows."""

PRECISION = 1e-4
"""Fractional: what the positions of sites in an asymmetric unit may be off."""

SAME_POSITION = 0.05
"""Å: coordinates of two kinds that differ by more are of two crystals."""

WRAPPERS = ("data", "structures", "entries")
"""Keys under which a response holds its documents."""


def records(source: str, data: BufferedReader, limits: Limits) -> Iterator[Record]:
    """A record for each document: a list, a response ``{"data": ...}``, or one document."""
    raw = content(data, limits, SHARE)
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
        return _structure(document["structure"], document, limits)
    if "sites" in document:
        properties = document.get("properties")
        own = properties if isinstance(properties, dict) else {}
        return _structure(document, own, limits)
    raise UnusableError(
        Reason.unreadable,
        "no key 'structure' (Materials Project), 'lattice' and 'sites' (pymatgen) or 'attributes' "
        f"(OPTIMADE); found: {', '.join(map(str, list(document)[:10])) or 'none'}",
    )


def _structure(structure: Any, document: Any, limits: Limits) -> Content:
    """A pymatgen ``Structure`` dictionary, and a document that says more of it."""
    cell, sites = structure.get("lattice"), structure["sites"]
    if not isinstance(cell, dict):
        raise UnusableError(Reason.missing_lattice, "sites without a lattice: a molecule")
    if not all(cell.get("pbc", (True, True, True))):
        raise UnusableError(Reason.missing_lattice, f"periodic along {cell['pbc']} only")
    _check_size(sites, limits)
    lattice = np.array(cell["matrix"] if "matrix" in cell else _matrix(cell), np.float64)
    numbers = np.array([site_number([_occupant(s) for s in site["species"]]) for site in sites])
    abc, xyz = (
        np.array([site[key] for site in sites]) if all(key in site for site in sites) else None
        for key in ("abc", "xyz")
    )
    frac = fractional(lattice, xyz) if abc is None else np.array(abc, np.float64).reshape(-1, 3)
    facts = Facts.of(document)
    found = shaped(Content(lattice, numbers, frac, facts=facts, labels=document))
    lattice, numbers, frac = found.lattice, found.atomic_numbers, found.frac_coords
    if abc is not None and xyz is not None and np.linalg.det(lattice):
        _check_agreement(frac, fractional(lattice, xyz), lattice)
    if "a" in cell and "matrix" in cell:
        _check_cell(lattice, np.array(_matrix(cell), np.float64))
    if structure.get("charge"):
        warnings.warn(f"a charge of {structure['charge']} is not read", stacklevel=1)
    names = [str(site.get("label") or "") for site in sites]
    check_document(document, cell, found, names)
    return found


def _occupant(species: Any) -> tuple[str, float]:
    return str(species["element"]), float(species.get("occu", 1))


def _matrix(cell: Any) -> Any:
    from pymatgen.core import Lattice

    parameters = [float(cell[k]) for k in ("a", "b", "c", "alpha", "beta", "gamma")]
    return Lattice.from_parameters(*parameters).matrix


def _optimade(attributes: Any, limits: Limits) -> Content:
    """The attributes of an OPTIMADE structure (specification 1.3).

    Energies stay out: OPTIMADE has no standard property for them, and each provider's own belongs
    to a scheme that the document does not name.
    """
    vectors = attributes.get("lattice_vectors")
    periodic = attributes.get("dimension_types", [1, 1, 1])
    along = attributes.get("nperiodic_dimensions")
    if vectors is None or periodic != [1, 1, 1] or any(None in v for v in vectors):
        raise UnusableError(Reason.missing_lattice, f"dimension_types {periodic}")
    if along not in (None, 3):
        raise UnusableError(Reason.missing_lattice, f"periodic along {along} directions")
    names, frac = attributes.get("species_at_sites"), _positions(attributes, vectors)
    if names is None or frac is None or not attributes.get("species"):
        raise UnusableError(
            Reason.incomplete, "no sites or no species in the response (response_fields)"
        )
    _check_features(attributes)
    _check_size(names, limits)
    elements = {
        species["name"]: list(
            zip(species["chemical_symbols"], species["concentration"], strict=True)
        )
        for species in attributes["species"]
    }
    of_name = {name: _species_number(occupants) for name, occupants in elements.items()}
    if unknown := sorted(set(names) - of_name.keys()):
        raise contradiction(
            f"sites hold {', '.join(unknown)}, which are no species of the document"
        )
    numbers = np.array([of_name[name] for name in names], np.int64)
    if "disorder" in (attributes.get("structure_features") or ()):
        raise contradiction("disorder is stated, every site holds one element")
    lattice = np.array(vectors, np.float64)
    n_sites = attributes.get("nsites")
    if n_sites is not None and n_sites != len(names):
        detail = f"nsites is {n_sites}, there are {len(names)} sites"
        raise contradiction(detail)
    span = attributes.get("site_coordinate_span") or "unit_cell"
    if span != "unit_cell" and len(numbers) == len(frac):
        numbers, frac = _whole_cell(attributes, span, lattice, numbers, frac)
    found = shaped(Content(lattice, numbers, frac))
    lattice, numbers, frac = found.lattice, found.atomic_numbers, found.frac_coords
    check_answer(attributes, found)
    return found


def _check_cell(one: Float64[np.ndarray, "3 3"], other: Float64[np.ndarray, "3 3"]) -> None:
    """Refuse lengths and angles that are not those of the vectors."""
    metric = one @ one.T
    scale = np.sqrt(np.outer(np.diag(metric), np.diag(metric)))
    if not (np.abs(other @ other.T - metric) <= METRIC * scale).all():
        raise contradiction("lengths and angles of the cell are not those of its vectors")


def _positions(attributes: Any, vectors: Any) -> Float64[np.ndarray, "sites 3"] | None:
    """Fractional coordinates of the sites, from whichever kind is given."""
    given = attributes.get("fractional_site_positions")
    cartesian = attributes.get("cartesian_site_positions")
    frac = None if given is None else np.array(given, np.float64).reshape(-1, 3)
    if cartesian is None:
        return frac
    own = fractional(vectors, cartesian)
    if frac is not None:
        _check_agreement(frac, own, vectors)
    return own


def _check_agreement(one: Any, other: Any, lattice: Any) -> None:
    """Refuse fractional coordinates of two sources that are not the same."""
    if one.shape == other.shape:
        apart = one - other
        apart = (apart - np.rint(apart)) @ np.asarray(lattice, np.float64)
        if not (np.linalg.norm(apart, axis=1) > SAME_POSITION).any():
            return
    raise contradiction("fractional and Cartesian coordinates disagree")


def _whole_cell(
    attributes: Any,
    span: str,
    lattice: Float64[np.ndarray, "3 3"],
    numbers: Int64[np.ndarray, " sites"],
    frac: Float64[np.ndarray, "sites 3"],
) -> tuple[Int64[np.ndarray, " atoms"], Float64[np.ndarray, "atoms 3"]]:
    """All atoms of the cell, from sites that span a part of it."""
    said = Statement(
        tuple(attributes.get("space_group_symmetry_operations_xyz") or ()),
        str(attributes.get("space_group_symbol_hall") or ""),
        str(attributes.get("space_group_symbol_hermann_mauguin") or ""),
        attributes.get("space_group_it_number"),
    )
    if span not in ("asymmetric_unit", "fundamental_domain") or said == Statement():
        raise UnusableError(Reason.incomplete, f"the sites span {span!r}, not the unit cell")
    odd: list[str] = []
    setting, *others = said.settings(lattice, odd)
    if others:
        raise UnusableError(Reason.incomplete, f"the sites span {span!r} of an unknown setting")
    error = np.full(3, PRECISION)
    parts = [images(site, error, setting, lattice) for site in frac]
    for note in odd:
        warnings.warn(note, stacklevel=1)
    return np.repeat(numbers, list(map(len, parts))), np.concatenate(parts)


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
    if unknown := sorted(features - FEATURES):
        warnings.warn(f"features that are not known: {', '.join(unknown)}", stacklevel=1)
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
