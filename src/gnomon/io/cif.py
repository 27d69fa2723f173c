"""CIF, through gemmi: symmetry expanded, and whatever a block says of itself held against it."""

import re
import warnings
from collections.abc import Iterator, Sequence
from functools import partial
from io import BufferedReader
from string import ascii_letters

import gemmi
import numpy as np
import vesin
from jaxtyping import Float64, Int64

from gnomon.io.checks import MIN_VOLUME
from gnomon.io.cif_claims import (
    check_bonds,
    check_cartesian,
    check_class,
    check_units,
    claims_of,
    formula_of,
    oddities,
)
from gnomon.io.cif_sites import of_label, of_type
from gnomon.io.cif_tags import Tags, as_number, one, tags_of
from gnomon.io.claims import Claims, Formula
from gnomon.io.objects import site_number
from gnomon.io.plausible import look_at_fractions
from gnomon.io.reasons import Reason, UnusableError, contradiction
from gnomon.io.records import Content, Limits, Record, record
from gnomon.io.settings import Setting, Statement, images
from gnomon.io.sources import text

PRECISION = (5e-5, 5e-3)
"""Least and largest error of a fractional coordinate that its digits may tell of: 0.333 is off by
less than 0.001.  An atom moves by no more than that, to where symmetry puts it."""

SAME_PLACE = 2e-3
"""Fractional: sites that are this near are one place."""

ROOM = 4.0
"""Å beyond which a closest distance tells nothing of a setting."""

SHARE = 20
"""CIF may have one in so many of ``max_bytes``: lines and tags take up to 20 times their text."""

_COORDINATES = ("_atom_site_fract_x", "_atom_site_fract_y", "_atom_site_fract_z")
_CODES = ("_cod_database_code", "_database_code_icsd", "_database_code_csd", "_cod_data_block")
_OPERATIONS = ("_space_group_symop_operation_xyz", "_symmetry_equiv_pos_as_xyz")
_HALL = ("_space_group_name_hall", "_symmetry_space_group_name_hall")
_NAMES = (
    "_space_group_name_h-m_alt",
    "_symmetry_space_group_name_h-m",
    "_space_group_name_h-m_full",
    "_space_group_name_h-m_ref",
)
_NUMBERS = ("_space_group_it_number", "_symmetry_int_tables_number")
_CODE = ("_space_group_it_coordinate_system_code",)
_SYSTEM = ("_space_group_crystal_system", "_symmetry_cell_setting")
_MULTIPLICITIES = tuple(
    f"_atom_site_{x}"
    for x in ("symmetry_multiplicity", "site_symmetry_multiplicity", "wyckoff_symbol")
)
_SUPERSPACE = re.compile("_space_group_(symop_)?(magn_)?ssg_")
_MAGNETIC = re.compile("_space_group_magn_(name|number)")
_MOLECULES = re.compile("OH|NO3|WAT", re.IGNORECASE)


def records(source: str, data: BufferedReader, limits: Limits) -> Iterator[Record]:
    """A record for each data block.

    Blocks without cell and atoms (journals put authors into them) are no records, unless there is
    nothing else.  Deuterium and tritium are read as hydrogen.
    """
    blocks = _blocks(text(data, limits, SHARE))
    crystals = [b for b in blocks if re.search(r"(?im)^\s*_(cell_length|atom_site)[_.]", b)]
    chosen = crystals or [""]
    for i, block in enumerate(chosen):
        name = source if len(chosen) == 1 else f"{source}#{i}"
        yield record(name, partial(_parse, block, limits))


def _blocks(document: str) -> list[str]:
    """The text of each block, so that damage to one costs itself only."""
    blocks: list[list[str]] = []
    in_text = False
    for line in document.encode("ascii", "replace").decode("ascii").splitlines(keepends=True):
        if line.startswith(";"):
            in_text = not in_text
        elif not in_text and line.lstrip()[:5].lower() == "data_":
            blocks.append([])
        if blocks:
            blocks[-1].append(line)
    return ["".join(lines) for lines in blocks]


def _parse(block: str, limits: Limits) -> Content:
    if not block:
        raise UnusableError(Reason.empty, "no data block with a cell or atoms")
    parsed = gemmi.cif.read_string(block)[0]
    tags = tags_of(parsed, limits)
    check_units(tags)
    lattice = _lattice(tags)
    _check_sites(tags, limits)
    formula = formula_of(tags)
    numbers = _elements(tags, formula)
    codes = [value for tag in _CODES if (value := one(tags, tag))]
    claims = claims_of(tags, formula, lattice)
    odd: list[str] = []
    settings = _statement(tags).settings(lattice, odd)
    check_class(tags, settings[0].number(lattice))
    found, doubts = _built(tags, numbers, lattice, settings, claims)
    for note in (*odd, *doubts):
        warnings.warn(note, stacklevel=1)
    return Content(
        lattice, found[0], found[1], source_id=(codes or [parsed.name.strip()])[0] or None
    )


def _lattice(tags: Tags) -> Float64[np.ndarray, "3 3"]:
    from pymatgen.core import Lattice

    names = [f"_cell_length_{x}" for x in "abc"]
    names += [f"_cell_angle_{x}" for x in ("alpha", "beta", "gamma")]
    if not any(tags.get(name) for name in names[:3]):
        raise UnusableError(Reason.missing_lattice, "no cell lengths in the block")
    cell = []
    if "_cell_angle_alpha" not in tags and "_cell_angle_gamma" not in tags:
        warnings.warn("no cell angles are stated: 90 is taken", stacklevel=1)
    for name in names:
        given = one(tags, name) if "length" in name or name in tags else "90"
        value = as_number(given or "?")
        if not np.isfinite(value) or value < 0:
            raise UnusableError(Reason.unreadable, f"{name} is {given or 'not given'}")
        cell.append(value)
    matrix = np.array(Lattice.from_parameters(*cell).matrix, np.float64)
    if not abs(np.linalg.det(matrix)) > MIN_VOLUME:
        raise UnusableError(Reason.zero_volume, f"a cell of {cell}")
    return matrix


def _check_sites(tags: Tags, limits: Limits) -> None:
    """Refuse what is no list of atoms, is too large, or says that atoms are missing."""
    columns = [tags.get(tag) for tag in _COORDINATES]
    names = tags.get("_atom_site_label") or tags.get("_atom_site_type_symbol")
    if names and not any(columns) and tags.get("_atom_site_cartn_x"):
        raise UnusableError(Reason.incomplete, "Cartesian coordinates alone, of unstated axes")
    if not names or not all(columns):
        raise UnusableError(Reason.empty, "no loop of atom sites with labels and coordinates")
    if len(names) > limits.max_atoms:
        raise UnusableError(Reason.too_large, f"{len(names)} sites (raise max_atoms to read it)")
    if absent := sum(not value for column in columns for value in column or ()):
        raise UnusableError(Reason.incomplete, f"{absent} coordinates are not given")
    if any(value not in ("", "0") for value in tags.get("_atom_site_attached_hydrogens", ())):
        raise UnusableError(Reason.incomplete, "hydrogen atoms are implied, without positions")
    if "dum" in map(str.lower, tags.get("_atom_site_calc_flag", ())):
        raise UnusableError(Reason.unknown_element, "a dummy site, which is no atom")
    groups = set(tags.get("_atom_site_disorder_group", ())) - {"", "0"}
    if len(groups) > 1 or any(group.startswith("-") for group in groups):
        detail = f"sites that exclude each other (disorder groups {', '.join(sorted(groups))})"
        raise UnusableError(Reason.partial_occupancy, detail)
    if any(_SUPERSPACE.match(tag) for tag in tags) or (
        one(tags, "_cell_modulation_dimension") not in ("", "0")
    ):
        raise UnusableError(Reason.incomplete, "a modulated crystal: its average is none")


def _elements(tags: Tags, formula: Formula | None) -> Int64[np.ndarray, " sites"]:
    """The element of each site, by its type symbol, else by its label and the formula."""
    labels = tags.get("_atom_site_label") or tags["_atom_site_type_symbol"]
    types = tags.get("_atom_site_type_symbol") or [""] * len(labels)
    shares = tags.get("_atom_site_occupancy") or [""] * len(labels)
    numbers = []
    for label, kind, share in zip(labels, types, shares, strict=True):
        if _MOLECULES.match(kind or label):
            detail = f"the site {kind or label!r} stands for several atoms"
            raise UnusableError(Reason.incomplete, detail)
        symbol = of_type(kind, formula) if kind else of_label(label, formula)
        numbers.append(site_number([(symbol, _occupancy(share))]))
    return np.array(numbers, np.int64)


def _occupancy(value: str) -> float:
    share = as_number(value or "1")
    return share if np.isfinite(share) else 0.0


def _statement(tags: Tags) -> Statement:
    lists = [[op for op in tags.get(tag, ()) if op] for tag in _OPERATIONS]
    if all(lists) and len({frozenset(map(_plain, one)) for one in lists}) > 1:
        warnings.warn("two lists of operations that differ: all are taken", stacklevel=1)
    operations = [*lists[0], *lists[1]] or _magnetic(tags)
    # a name under the tag of the number is a name
    stated = (one(tags, tag).removesuffix(".0") for tag in (*_NAMES, *_NUMBERS))
    names = list(dict.fromkeys(name for name in stated if name not in ("", "0")))
    number = next((int(name[:9]) for name in names if name.isdecimal()), None)
    names = [name for name in names if name != str(number)]
    hall = one(tags, *_HALL)
    if not (operations or hall or names or number) and any(map(_MAGNETIC.match, tags)):
        raise UnusableError(Reason.unreadable, "a magnetic group is named, its operations are not")
    return Statement(
        tuple(operations),
        hall,
        (names or [""])[0],
        number,
        one(tags, *_CODE),
        one(tags, *_SYSTEM),
        tuple(names[1:]),
    )


def _plain(operation: str) -> str:
    return "".join(operation.lower().split())


def _magnetic(tags: Tags) -> list[str]:
    """Operations of a magnetic group without time reversal, each with every centring."""
    found = [
        [value.rpartition(",")[0] for value in tags.get(f"_space_group_symop_magn_{what}_xyz", ())]
        for what in ("operation", "centering")
    ]
    if not found[0]:
        return []
    return [
        (gemmi.Op(shift) * gemmi.Op(operation)).wrap().triplet()
        for shift in found[1] or ["x,y,z"]
        for operation in found[0]
    ]


def _coordinates(
    tags: Tags,
) -> tuple[Float64[np.ndarray, "sites 3"], Float64[np.ndarray, "sites 3"]]:
    """Fractional coordinates, and how far their digits say that they may be off."""
    texts = [tags[name] for name in _COORDINATES]
    values = np.array([[_fraction(value) for value in column] for column in texts])
    digits = [[len(value.partition("(")[0].partition(".")[2]) for value in c] for c in texts]
    return values.T, np.clip(10.0 ** -np.array(digits, np.float64).T, *PRECISION)


def _fraction(value: str) -> float:
    """A coordinate as a number; NaN only where it says so.

    Raises:
        UnusableError: if it is no number.
    """
    if match := re.fullmatch(r"([+-]?\d+)/([1-9]\d*)", value):
        return int(match[1]) / int(match[2])
    number = as_number(value)
    if np.isnan(number) and value.lower().lstrip("+-") not in ("nan", "inf", "infinity"):
        raise UnusableError(Reason.unreadable, f"the coordinate {value!r} is no number")
    return number


def _built(
    tags: Tags,
    numbers: Int64[np.ndarray, " sites"],
    lattice: Float64[np.ndarray, "3 3"],
    settings: Sequence[Setting],
    claims: Claims,
) -> tuple[tuple[Int64[np.ndarray, " atoms"], Float64[np.ndarray, "atoms 3"]], list[str]]:
    """Atoms by the setting that the record bears out, and what is odd about it.

    Raises:
        UnusableError: if none is, with what speaks against the first.
    """
    sites, errors = _coordinates(tags)
    names = tags.get("_atom_site_label") or tags["_atom_site_type_symbol"]
    look_at_fractions(sites)
    check_cartesian(tags, sites, lattice)
    check_bonds(tags, names, sites, lattice)
    possible, refuted = [], []
    for setting in settings:
        parts = [images(x, p, setting, lattice) for x, p in zip(sites, errors, strict=True)]
        atoms = np.repeat(numbers, list(map(len, parts)))
        try:
            _check_places(tags, parts)
            odd = claims.check(lattice, atoms)
            odd += oddities(tags, lattice, atoms, numbers)
            odd += _multiplicities(tags, parts, len(setting.rotations), strict=len(settings) > 1)
        except UnusableError as error:
            refuted.append(error)
            continue
        possible.append((setting, atoms, np.concatenate(parts), odd))
    if not possible:
        raise refuted[0]
    if len(possible) > 1:
        gaps = [_closest(lattice, frac) for _, _, frac, _ in possible]
        best = int(np.argmax(gaps))
        setting, atoms, frac, odd = possible[best]
        several = ", ".join(each[0].name for each in possible)
        odd = [*odd, f"the setting is not stated ({several}): {setting.name} leaves the most room"]
        return (atoms, frac), odd
    [(setting, atoms, frac, odd)] = possible
    if len(settings) > 1:
        odd = [*odd, f"the setting is not stated: what else is stated leaves {setting.name}"]
    return (atoms, frac), odd


def _check_places(tags: Tags, parts: Sequence[Float64[np.ndarray, "_ 3"]]) -> None:
    """Refuse two sites in one place: a mixed site, or atoms that symmetry would make twice."""
    names = tags.get("_atom_site_label") or tags["_atom_site_type_symbol"]
    every, site = np.concatenate(parts), np.repeat(np.arange(len(parts)), list(map(len, parts)))
    for i, part in enumerate(parts):
        apart = every - part[0]
        near = (np.abs(apart - np.rint(apart)) < SAME_PLACE).all(axis=1) & (site != i)
        if near.any():
            other = names[int(site[np.argmax(near)])]
            detail = f"the sites {names[i]} and {other} are in one place"
            raise UnusableError(Reason.partial_occupancy, detail)


def _closest(lattice: Float64[np.ndarray, "3 3"], frac: Float64[np.ndarray, "atoms 3"]) -> float:
    """The shortest distance of two atoms, Å, or ``ROOM`` where none is shorter."""
    spacings = 1 / np.linalg.norm(np.linalg.inv(lattice), axis=0)
    if abs(np.linalg.det(lattice)) < len(frac) or spacings.min() < 1.0:
        return 0.0  # denser than any crystal: a search would not end
    [found] = vesin.NeighborList(cutoff=ROOM, full_list=False, n_threads=1).compute(
        frac @ lattice, lattice, True, "d"
    )
    return float(min(found, default=ROOM))


def _multiplicities(
    tags: Tags, parts: Sequence[Float64[np.ndarray, "_ 3"]], order: int, *, strict: bool
) -> list[str]:
    """What is odd about stated multiplicities; some programs write the order of the site instead.

    Raises:
        UnusableError: if anything is, and ``strict``.
    """
    for tag in _MULTIPLICITIES:
        stated = [
            value.rstrip(ascii_letters) for value in tags.get(tag, ())
        ]  # 4a is a Wyckoff position
        if not stated or not all(value.isdecimal() for value in stated):
            continue
        said, built = np.array(stated, int), np.array(list(map(len, parts)))
        if (said != built).any() and (said * built != order).any():
            first = int(np.argmax(said != built))
            detail = (
                f"site {first} stands for {said[first]} atoms as stated, {built[first]} as built"
            )
            if strict:
                raise contradiction(detail)
            return [detail]
    return []
