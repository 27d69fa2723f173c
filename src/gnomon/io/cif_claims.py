"""What a CIF says of its crystal besides cell, symmetry and sites: held against what was built."""

import re
import warnings
from collections.abc import Iterator, Sequence
from itertools import pairwise

import gemmi
import numpy as np
from jaxtyping import Float64, Int64

from gnomon.crystals import AMU_PER_A3_IN_G_PER_CM3
from gnomon.elements import MASSES, SYMBOLS
from gnomon.io.cif_sites import of_type
from gnomon.io.cif_tags import Tags, as_number, number, one
from gnomon.io.claims import Claims, Formula
from gnomon.io.objects import element_number
from gnomon.io.reasons import UnusableError, contradiction

MEASURED = 0.15
"""Relative error of a measured density that is odd: powders have pores."""

WEIGHT = 0.01
"""Relative error of a formula weight that is odd."""

ELECTRONS = 0.03
"""Relative error of F(000) that is odd: it counts electrons, dispersion aside."""

BOND = (0.05, 0.3)
"""Å by which a stated bond length may be another one: odd, and too much where all of them are."""

APART = 0.05
"""Å by which Cartesian distances may differ from those of the fractional coordinates."""

MOST_SITES = 300
"""Sites whose distances are compared with each other."""

_FORMULAS = tuple(f"_chemical_formula_{x}" for x in ("sum", "structural", "moiety", "iupac"))
_UNITS = re.compile(r"(pm|nm|bohr|au|a\.u\.|atomic.*|picom.*|nanom.*)s?", re.IGNORECASE)


def check_units(tags: Tags) -> None:
    """Refuse lengths that are said to be in another unit than Å.

    Raises:
        UnusableError: naming the tag.
    """
    for tag, values in tags.items():
        stated = values[0] if values else ""
        if tag.startswith("_cell_") and "unit" in tag and _UNITS.fullmatch(stated):
            raise contradiction(f"{tag} is {stated}: cells of a CIF are in Å")
        if re.fullmatch("_cell_length_[abc]_(pm|nm)", tag) and stated:
            raise contradiction(f"{tag}: cells of a CIF are in Å")


def formula_of(tags: Tags) -> Formula | None:
    """The formula that the block states; a warning where two of them differ."""
    given = {tag: value for tag in _FORMULAS if (value := one(tags, tag))}
    parsed = {tag: found for tag, value in given.items() if (found := Formula.parse(value))}
    if given and not parsed:
        warnings.warn(f"the formula {next(iter(given.values()))!r} is not understood", stacklevel=1)
    for (tag, formula), (other, theirs) in pairwise(parsed.items()):
        if not formula.is_of_the_ratio_of(theirs):
            detail = f"{given[tag]!r} ({tag}) and {given[other]!r} ({other}) are two formulas"
            warnings.warn(detail, stacklevel=1)
    return next(iter(parsed.values()), None)


def claims_of(tags: Tags, formula: Formula | None, lattice: Float64[np.ndarray, "3 3"]) -> Claims:
    """Formula, units in the cell, volume and density; what of these contradicts itself is told."""
    units, weight = number(tags, "_cell_formula_units_z"), number(tags, "_chemical_formula_weight")
    if formula is not None and weight and not any(np.isinf([*formula.rounding.values()])):
        own = sum(MASSES[SYMBOLS.index(e)] * n for e, n in formula.amounts.items())
        if abs(weight / own - 1) > WEIGHT:
            detail = f"a formula weight of {weight:g} is stated, the formula has {own:.5g}"
            warnings.warn(detail, stacklevel=1)
    density = number(tags, "_exptl_crystal_density_diffrn")
    if density is None and units and weight:
        density = units * weight / abs(np.linalg.det(lattice)) * AMU_PER_A3_IN_G_PER_CM3
    return Claims(formula, units, number(tags, "_cell_volume"), density)


def oddities(
    tags: Tags,
    lattice: Float64[np.ndarray, "3 3"],
    numbers: Int64[np.ndarray, " atoms"],
    sites: Int64[np.ndarray, " sites"],
) -> Iterator[str]:
    """What is odd about the atoms of a cell and the elements of its sites.

    Raises:
        UnusableError: where the block counts other atoms of an element.
    """
    _check_counts(tags, numbers)
    volume = abs(float(np.linalg.det(lattice)))
    density = float(MASSES[numbers].sum()) / volume * AMU_PER_A3_IN_G_PER_CM3
    measured = number(tags, "_exptl_crystal_density_meas")
    if measured and abs(density / measured - 1) > MEASURED:
        yield f"a density of {measured:g} g/cm^3 was measured, the atoms have {density:.4g}"
    electrons = number(tags, "_exptl_crystal_f_000")
    by_neutrons = "neutron" in one(tags, "_diffrn_radiation_probe", "_diffrn_radiation_type")
    if electrons and not by_neutrons and abs(numbers.sum() / electrons - 1) > ELECTRONS:
        yield f"F(000) is {electrons:g}, the atoms have {numbers.sum()} electrons"
    if (flag := one(tags, "_cod_error_flag")) and flag.lower() != "none":
        yield f"the Crystallography Open Database marks the record: {flag}"
    yield from _labelled(tags, sites)
    yield from _charged(tags, numbers, sites)


def _check_counts(tags: Tags, numbers: Int64[np.ndarray, " atoms"]) -> None:
    """Atoms of each type in the cell; several types may be of one element."""
    stated: dict[int, float] = {}
    kinds, counts = (tags.get(f"_atom_type_{x}", []) for x in ("symbol", "number_in_cell"))
    for kind, count in zip(kinds, counts, strict=False):
        try:
            z = element_number(of_type(kind, None))
        except UnusableError:
            continue
        stated[z] = stated.get(z, 0.0) + as_number(count or "?")
    for z, total in stated.items():
        found = int((numbers == z).sum())
        if abs(total - found) > 0.5:
            raise contradiction(f"{total:g} {SYMBOLS[z]} are stated in the cell, not {found}")


def _labelled(tags: Tags, sites: Int64[np.ndarray, " sites"]) -> Iterator[str]:
    """Labels that are the symbol of another element of the crystal than their type."""
    if not tags.get("_atom_site_type_symbol"):
        return
    present = {SYMBOLS[z] for z in sites}
    for label, z in zip(tags.get("_atom_site_label", []), sites, strict=False):
        named = re.fullmatch(r"([A-Z][a-z]?)\d*", label)
        if named and named[1] in present and named[1] != SYMBOLS[z]:
            yield f"the site {label!r} is of the type {SYMBOLS[z]}"
            return


def _charged(
    tags: Tags, numbers: Int64[np.ndarray, " atoms"], sites: Int64[np.ndarray, " sites"]
) -> Iterator[str]:
    """Charges in the types of all sites that leave the cell charged: then atoms are missing."""
    kinds = [_CHARGE.fullmatch(kind) for kind in tags.get("_atom_site_type_symbol", [])]
    if not kinds or not all(kinds):
        return
    charges: dict[int, set[int]] = {}
    for kind, z in zip(kinds, sites.tolist(), strict=False):
        assert kind is not None
        charges.setdefault(z, set()).add(int(kind["sign"] + (kind["n"] or kind["m"] or "1")))
    if any(len(found) > 1 for found in charges.values()):
        return
    total = sum(charges[z].copy().pop() for z in numbers.tolist())
    if total:
        yield f"the charges of the types add up to {total:+d}: are atoms missing?"


_CHARGE = re.compile(r"[A-Za-z]+(?P<n>\d?)(?P<sign>[+-])(?P<m>\d?)")
"""A type with a charge: ``Al3+``, ``O-2``, ``Na+``."""


def check_cartesian(
    tags: Tags, frac: Float64[np.ndarray, "sites 3"], lattice: Float64[np.ndarray, "3 3"]
) -> None:
    """Refuse Cartesian coordinates whose distances are not those of the fractional ones.

    Axes and origin of Cartesian ones may be any, so the sites' distances are compared.
    """
    columns = [tags.get(f"_atom_site_cartn_{x}", []) for x in "xyz"]
    if not all(len(column) == len(frac) and all(column) for column in columns):
        return
    cartesian = np.array([[as_number(value) for value in column] for column in columns]).T
    said, own = (_distances(each[:MOST_SITES]) for each in (cartesian, frac @ lattice))
    if len(frac) == 1 or np.nanmax(np.abs(said - own), initial=0) <= APART:
        return
    i, j = np.unravel_index(int(np.nanargmax(np.abs(said - own))), said.shape)
    raise contradiction(
        f"sites {i} and {j} are {said[i, j]:.3f} Å apart by Cartesian coordinates, {own[i, j]:.3f} "
        "by fractional ones"
    )


def _distances(places: Float64[np.ndarray, "n 3"]) -> Float64[np.ndarray, "n n"]:
    return np.asarray(np.linalg.norm(places[:, None] - places[None], axis=-1), np.float64)


def check_bonds(
    tags: Tags,
    names: Sequence[str],
    frac: Float64[np.ndarray, "sites 3"],
    lattice: Float64[np.ndarray, "3 3"],
) -> None:
    """Hold the bond lengths between sites as they are listed against their distances.

    Raises:
        UnusableError: if none is as stated.
    """
    columns = [tags.get(f"_geom_bond_{x}", []) for x in _BOND_TAGS]
    if not all(columns[:3]) or len(set(names)) < len(names):
        return
    images = [column for column in columns[3:] if column]
    off, first = [], ""
    for i, (a, b, stated) in enumerate(zip(*columns[:3], strict=False)):
        if not {a, b} <= {*names} or {image[i] for image in images} - {"", "1_555"}:
            continue
        length = float(np.linalg.norm((frac[names.index(a)] - frac[names.index(b)]) @ lattice))
        off.append(abs(length - as_number(stated or "?")))
        if off[-1] > BOND[0] and not first:
            first = f"a bond {a}-{b} of {stated} Å is stated, the sites are {length:.3f} Å apart"
    if off and min(off) > BOND[1]:
        raise contradiction(first)
    if first:
        warnings.warn(first, stacklevel=1)


def check_class(tags: Tags, group: int | None) -> None:
    """Refuse a point group or a Laue class that is not that of the space group."""
    if group is None:
        return
    known = gemmi.find_spacegroup_by_number(group)
    for tag, found in (
        ("_space_group_point_group_h-m", known.point_group_hm()),
        ("_space_group_laue_class", known.laue_str()),
    ):
        stated = "".join(one(tags, tag).split())
        if stated in _CLASSES and stated != found:
            raise contradiction(f"{tag} is {stated}, the space group {group} has {found}")


_BOND_TAGS = (
    "atom_site_label_1",
    "atom_site_label_2",
    "distance",
    "site_symmetry_1",
    "site_symmetry_2",
)

_CLASSES = {
    name
    for number in range(1, 231)
    for group in [gemmi.find_spacegroup_by_number(number)]
    for name in (group.point_group_hm(), group.laue_str())
}
"""Symbols of point groups in their standard settings: ``-62m`` is none, ``-6m2`` is."""
