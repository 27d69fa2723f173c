"""What a JSON document says of its crystal besides the sites: held against what was built."""

import re
import warnings
from collections.abc import Iterable, Sequence
from math import gcd
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from gnomon.elements import MASSES, SYMBOLS
from gnomon.io.claims import Claims, Formula
from gnomon.io.reasons import contradiction
from gnomon.io.records import SAME_ENERGY, Content, agree
from gnomon.io.settings import SYSTEMS, found_groups, named_number

RATIO = 2e-3
"""What a share of the atoms may be off by rounding."""

MASS = 2.5
"""u by which the mass of a species may differ: isotopes do, by less in nearly all elements."""

COMPOSITIONS = ("composition", "composition_reduced", "unit_cell_formula", "reduced_cell_formula")
"""Keys of amounts by element, which may also be written as formulas."""

FORMULAS = ("formula_pretty", "formula", "full_formula", "pretty_formula", *COMPOSITIONS)
OPTIMADE_FORMULAS = tuple(f"chemical_formula_{x}" for x in ("reduced", "descriptive", "hill"))

COUNTS = ("nsites", "natoms", "n_atoms", "num_sites", "nat")
"""Keys of the number of atoms in the cell."""

SYMBOLS_OF_GROUPS = tuple(
    f"space_group_symbol_{x}" for x in ("hall", "hermann_mauguin", "hermann_mauguin_extended")
)


def check_document(document: Any, cell: Any, found: Content, names: Sequence[str]) -> None:
    """Hold a document of the Materials Project against its structure; warn of what is odd.

    Args:
        document: with the keys of its summaries, any of them missing.
        cell: the lattice of the structure, which may state its volume.
        found: what was built.
        names: labels of the sites, empty where there are none.

    Raises:
        UnusableError: where both cannot be true.
    """
    check_facts(document, found, (_known(cell, "volume"),))
    _check_labels(names, found.atomic_numbers)
    symmetry = document.get("symmetry")
    group = symmetry if isinstance(symmetry, dict) else {}
    _check_groups(group.get("number"), [group.get("symbol")], found)
    low, high = SYSTEMS.get(str(group.get("crystal_system")).lower(), (1, 230))
    if isinstance(group.get("number"), int) and not low <= group["number"] <= high:
        detail = f"the space group {group['number']} is not {group['crystal_system']}"
        raise contradiction(detail)
    above = found.facts.e_above_hull
    if document.get("is_stable") is True and above is not None and above > SAME_ENERGY:
        warnings.warn(f"it is called stable, {above:g} eV/atom above the hull", stacklevel=1)
    if document.get("deprecated") is True:
        warnings.warn("the source calls the record deprecated", stacklevel=1)


def check_answer(attributes: Any, found: Content) -> None:
    """Hold an OPTIMADE answer against its sites; warn of what is odd.

    Raises:
        UnusableError: where both cannot be true.
    """
    # nsites counts the sites that are listed, whatever they span
    check_facts({**attributes, "nsites": None}, found, (), OPTIMADE_FORMULAS)
    if stated := str(attributes.get("chemical_formula_anonymous") or ""):
        counts = np.sort(np.unique(found.atomic_numbers, return_counts=True)[1])[::-1]
        amounts = [int(n or 1) for _, n in re.findall(r"([A-Z][a-z]?)(\d*)", stated)]
        if amounts != (counts // gcd(*counts.tolist())).tolist():
            raise contradiction(f"the anonymous formula {stated} is not that of the sites")
    symbols = [attributes.get(key) for key in SYMBOLS_OF_GROUPS]
    _check_groups(attributes.get("space_group_it_number"), symbols, found)
    if len(names := attributes["species_at_sites"]) == len(found.atomic_numbers):
        _check_labels(names, found.atomic_numbers)
        _check_masses(
            attributes["species"], dict(zip(names, found.atomic_numbers.tolist(), strict=True))
        )


def _check_masses(species: Any, numbers: dict[str, int]) -> None:
    """Warn of a species whose mass is that of no isotope of its element."""
    for one in species:
        masses, z = one.get("mass"), numbers.get(one.get("name"), 0)
        mass = masses[0] if isinstance(masses, list) and masses else masses
        if z and isinstance(mass, int | float) and abs(mass - MASSES[z]) > MASS:
            detail = f"the species {one['name']!r} has a mass of {mass:g}, {SYMBOLS[z]} another"
            warnings.warn(detail, stacklevel=1)


def check_facts(
    document: Any,
    found: Content,
    volumes: Iterable[float | None] = (),
    formulas: Sequence[str] = FORMULAS,
) -> None:
    """Hold elements, formulas, counts, volume, density and energies against a crystal.

    Args:
        document: any mapping, such as the keys of a frame of extended XYZ.
        found: what was built.
        volumes: that are stated elsewhere, Å^3.
        formulas: keys of formulas.

    Raises:
        UnusableError: where both cannot be true.
    """
    lattice, numbers = found.lattice, found.atomic_numbers
    _check_composition(document, numbers)
    counts = filter(None, (_known(document, key) for key in COUNTS))
    claims = [Claims(n_sites=round(count)) for count in counts]
    claims += [Claims(volume=value) for value in (_known(document, "volume"), *volumes)]
    atomic = _known(document, "density_atomic")
    claims += [
        Claims(density=_known(document, "density")),
        Claims(volume=None if atomic is None else atomic * len(numbers)),
    ]
    written = [document.get(key) for key in formulas]
    claims += [Claims(Formula.parse(text)) for text in written if isinstance(text, str)]
    for claim in claims:
        for note in claim.check(lattice, numbers):
            if claim.formula is None:  # a formula is often that of the cell, and as often reduced
                warnings.warn(note, stacklevel=1)
    total, each = document.get("energy"), document.get("energy_per_atom")
    if isinstance(total, int | float | np.number):
        agree("energy / atoms", total / len(numbers), "energy_per_atom", each)


def _check_labels(names: Sequence[str], numbers: Int64[np.ndarray, " atoms"]) -> None:
    """Warn of a label that is the symbol of another element."""
    for name, z in zip(names, numbers, strict=False):
        named = re.fullmatch(r"([A-Z][a-z]?)\d*", name)
        if named and named[1] in SYMBOLS and named[1] not in (SYMBOLS[z], "D", "T"):
            warnings.warn(f"the site {name!r} holds {SYMBOLS[z]}", stacklevel=1)
            return


def _known(document: Any, key: str) -> float | None:
    """A positive number under a key, None where there is none."""
    value = document.get(key)
    return float(value) if isinstance(value, int | float | np.number) and value > 0 else None


def _check_composition(document: Any, numbers: Int64[np.ndarray, " atoms"]) -> None:
    """Refuse atoms that are not of the elements, their number and their ratios that are stated.

    Raises:
        UnusableError: ``contradictory``.
    """
    found, counts = np.unique(numbers, return_counts=True)
    present = dict(
        sorted(zip([SYMBOLS[z] for z in found], (counts / counts.sum()).tolist(), strict=True))
    )
    listed = document.get("elements")
    system = str(document.get("chemsys") or "").split("-")
    for given in (listed if isinstance(listed, list) else (), system):
        elements = set(map(str, given)) - {"", "X", "vacancy"}
        if elements and elements != present.keys():
            raise contradiction(f"the elements are {sorted(elements)}, sites hold {list(present)}")
    if document.get("nelements") not in (None, len(present)):
        raise contradiction(
            f"{document['nelements']} elements are stated, there are {len(present)}"
        )
    stated = [document.get(key) for key in COMPOSITIONS]
    if ratios := document.get("elements_ratios"):
        stated.append(dict(zip(document.get("elements") or (), ratios, strict=False)))
    for amounts in (each for each in stated if each and isinstance(each, dict)):
        total = sum(amounts.values())
        shares = [amounts.get(symbol, 0.0) / total for symbol in present]
        if not np.allclose(shares, list(present.values()), atol=RATIO):
            raise contradiction(f"a composition of {amounts} is stated, sites hold {present}")


def _check_groups(stated: Any, symbols: Iterable[Any], found: Content) -> None:
    """Refuse symbols that are not of the number; warn of a group that the atoms have not."""
    numbers = {f"the number {stated}": stated} if isinstance(stated, int) else {}
    for symbol in filter(None, map(str, filter(None, symbols))):
        if (number := named_number(symbol)) is not None:
            numbers[repr(symbol)] = number
    if len(set(numbers.values())) > 1:
        said = ", ".join(f"{what}: {number}" for what, number in numbers.items())
        raise contradiction(f"space groups disagree ({said})")
    if numbers:
        _check_group(
            next(iter(numbers.values())), found.lattice, found.atomic_numbers, found.frac_coords
        )


def _check_group(
    stated: Any,
    lattice: Float64[np.ndarray, "3 3"],
    numbers: Int64[np.ndarray, " atoms"],
    frac: Float64[np.ndarray, "atoms 3"],
) -> None:
    """Warn of a space group that the atoms do not have at any tolerance."""
    if not isinstance(stated, int) or stated == 1:
        return
    found = found_groups(lattice, numbers, frac)
    if found and stated not in found:
        detail = f"the space group {stated} is stated, the atoms have {found[-1]}"
        warnings.warn(detail, stacklevel=1)
