"""Element facts, all of them read from libraries: symbols, masses, radii, formula strings."""

import re
import warnings
from collections.abc import Collection, Iterable
from functools import cache, lru_cache
from typing import Any

import numpy as np
from ase.data import atomic_masses, atomic_numbers, chemical_symbols, covalent_radii
from jaxtyping import Float64, Int64, Real, Shaped

from gnomon.ragged import counted

MAX_Z = 118
"""The largest atomic number that a crystal may hold."""

SYMBOLS: tuple[str, ...] = tuple(chemical_symbols[: MAX_Z + 1])
"""Element symbols by atomic number; entry 0 is ASE's placeholder ``X``, which is no element."""

MASSES: Float64[np.ndarray, "119"] = np.asarray(atomic_masses[: MAX_Z + 1], dtype=np.float64)
"""Standard atomic weights in g/mol by atomic number (IUPAC 2016, through ASE)."""

COVALENT_RADII: Float64[np.ndarray, "119"] = np.asarray(
    covalent_radii[: MAX_Z + 1], dtype=np.float64
)
"""Covalent radii in Å by atomic number (Cordero et al., Dalton Trans. 2832 (2008), through ASE).

ASE writes 0.2 Å for the elements that the paper leaves out (Bk and beyond)."""

_SCALE = (
    "He Ne Ar Kr Xe Rn Fr Cs Rb K Na Li Ra Ba Sr Ca Eu Yb Lu Tm Y Er Ho Dy Tb Gd Sm Pm Nd Pr Ce La "
    "Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Sc Zr Hf Ti Ta Nb V Cr Mo W Re Tc Os Ru Ir Rh Pt "
    "Pd Au Ag Cu Ni Co Fe Mn Mg Zn Cd Hg Be Al Ga In Tl Pb Sn Ge Si B C N P As Sb Bi Po Te Se S O "
    "At I Br Cl F H"
)

MODIFIED_PETTIFOR: tuple[str, ...] = tuple(_SCALE.split())
"""Elements to Lr in the order of the modified Pettifor scale: neighbours replace each other.

Glawe et al., New J. Phys. 18, 093011 (2016), doi:10.1088/1367-2630/18/9/093011, as
ElementEmbeddings 0.8.0 has it (``mod_petti``)."""

DEFAULT_EXCLUDED: tuple[str, ...] = ("Ac", "Th", "Pa", "U", "Np", "Pu", "Tc", "Pm")
"""Radioactive or very scarce elements, which fill naive discovery lists: out unless asked for."""


def excluded(named: Iterable[str] | None, given: Collection[str] | None) -> tuple[str, ...]:
    """Elements to be left out: those given, by default ``DEFAULT_EXCLUDED`` where none are named.

    >>> excluded(None, None) == DEFAULT_EXCLUDED, excluded(("U", "O"), None)
    (True, ())

    Args:
        named: elements that the user asked for; None: any.
        given: elements that the user does not want; None: as usual.

    Raises:
        ValueError: if an element is named and given both, or is none.
    """
    if given is None:
        return DEFAULT_EXCLUDED if named is None else ()
    for symbol in given:
        atomic_number(symbol)
    if both := sorted({*(named or ())} & {*given}):
        raise ValueError(f"{', '.join(both)}: asked for and excluded both; drop one of the two")
    return tuple(given)


def atomic_number(symbol: str) -> int:
    """Atomic number of an element symbol such as ``"Cu"``.

    Raises:
        ValueError: if the symbol names no element.
    """
    z = atomic_numbers.get(symbol, 0)
    if not 1 <= z <= MAX_Z:
        raise ValueError(f"unknown element {symbol!r} (write a symbol as in 'Cu')")
    return int(z)


def symbols(given: tuple[str, ...]) -> tuple[str, ...]:
    """The same symbols.

    Raises:
        ValueError: if one of them names no element.
    """
    for symbol in given:
        atomic_number(symbol)
    return given


def parse_system(text: str) -> tuple[str, ...]:
    """Elements of a chemical system, sorted by symbol: ``"Cu-Au"`` → ``("Au", "Cu")``.

    Raises:
        ValueError: for an unknown or a repeated element, or an empty name.
    """
    symbols = [part.strip() for part in text.split("-")]
    for symbol in symbols:
        if atomic_numbers.get(symbol, 0) < 1:
            meant = _meant(text) or "write element symbols joined by hyphens, as in 'Au-Cu'"
            raise ValueError(
                f"{text!r} is not a chemical system: {symbol!r} is no element ({meant})"
            )
    if len(set(symbols)) != len(symbols):
        raise ValueError(f"{text!r} is not a chemical system: it names an element twice")
    return tuple(sorted(symbols))


def _meant(text: str) -> str:
    """The system that was probably meant by ``au-cu`` or ``AuCu``, as a question; else nothing."""
    parts = text.split("-") if "-" in text else re.findall("[A-Z][a-z]?", text)
    symbols = [part.strip().capitalize() for part in parts]
    known = symbols and all(atomic_numbers.get(symbol, 0) for symbol in symbols)
    return f"did you mean {'-'.join(symbols)}?" if known else ""


@cache
def element(z: int) -> Any:
    """pymatgen's facts of an element."""
    from pymatgen.core import Element

    return Element(SYMBOLS[z])


@cache
def electronegativities() -> Float64[np.ndarray, "119"]:
    """Pauling's scale by atomic number (pymatgen); NaN, which compares with nothing, for none."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="No Pauling electronegativity")
        return np.array([np.nan, *(float(element(z).X) for z in range(1, MAX_Z + 1))])


Counts = tuple[tuple[int, int], ...]
"""A composition: (atomic number, amount) of each element, ascending."""


@cache
def element_facts(names: tuple[str, ...]) -> Float64[np.ndarray, "119 k"]:
    """Facts of all elements by atomic number, as pymatgen gives them and calls them.

    Where one is not known it is the median of the others, so that learners meet no gap.
    """
    found = np.full((MAX_Z + 1, len(names)), np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for z in range(1, MAX_Z + 1):
            found[z] = [_fact(z, name) for name in names]
    return np.where(np.isnan(found), np.nanmedian(found, axis=0), found)


def _fact(z: int, name: str) -> float:
    value = getattr(element(z), name, None)
    return np.nan if value is None else float(value)


def present(
    composition: Real[np.ndarray, "n 119"],
) -> tuple[Int64[np.ndarray, "n w"], Shaped[np.ndarray, "n w"]]:
    """Elements of each row by rising atomic number, and their amounts; zeros fill up the rows.

    >>> elements, amounts = present(np.eye(119)[[3, 8]] + np.eye(119)[[8, 8]])
    >>> elements.tolist(), amounts.tolist()
    ([[3, 8], [8, 0]], [[1.0, 1.0], [2.0, 0.0]])
    """
    rows, columns = np.nonzero(composition)
    count = np.bincount(rows, minlength=len(composition))
    _, place = counted(count)
    shape = (len(composition), int(count.max(initial=1)))
    elements, amounts = np.zeros(shape, np.int64), np.zeros(shape, composition.dtype)
    elements[rows, place], amounts[rows, place] = columns, composition[rows, columns]
    return elements, amounts


@lru_cache(maxsize=65_536)
def reduced_formula(counts: Counts) -> str:
    """Reduced formula as pymatgen writes it, from (atomic number, count) pairs.

    pymatgen's string is the field's key (``LiFePO4``, not ``LiFeO4P``; ``O2``, not ``O``), so it
    is asked for the string, once for each composition.
    """
    from pymatgen.core import Composition

    with warnings.catch_warnings():
        # noble gases have no electronegativity; pymatgen sorts them last and says so every time
        warnings.filterwarnings("ignore", message="No Pauling electronegativity")
        return str(Composition({SYMBOLS[z]: n for z, n in counts}).reduced_formula)


def parse_formula(formula: str) -> dict[str, float]:
    """Element amounts of a formula: ``"Li15Si4"`` → ``{"Li": 15.0, "Si": 4.0}``.

    Raises:
        ValueError: if the text is no formula of known elements.
    """
    from pymatgen.core import Composition

    try:
        amounts = {str(k): float(v) for k, v in Composition(formula, strict=True).items()}
    except Exception as error:
        raise ValueError(f"{formula!r} is not a chemical formula (as in 'LiFePO4')") from error
    if not amounts or any(s not in atomic_numbers or v <= 0 for s, v in amounts.items()):
        raise ValueError(f"{formula!r} is not a chemical formula (as in 'LiFePO4')")
    return amounts
