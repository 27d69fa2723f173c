"""Space groups as records state them: operations, Hall symbols, names, numbers, settings, origins.

Names and Hall symbols are read by gemmi, whose table has all settings of International Tables B;
full symbols (``F 4_1/d -3 2/m``) come from spglib's table.
"""

import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import gemmi
import numpy as np
from jaxtyping import Float64, Int64

from gnomon.io.checks import MIN_DISTANCE
from gnomon.io.reasons import Reason, UnusableError, contradiction

MOST = 1536
"""Operations that a list may hold: eight cells of the largest group."""

DENOMINATOR = 24
"""Translations are multiples of a 24th of a cell, as gemmi keeps them."""

METRIC = 0.02
"""Relative error within which a cell must keep its shape under the rotations."""

ROUNDING = 1e-6
"""Fractional: images of a site that agree within this are one atom."""

_ORIGINS = {
    "S": "1",
    "Z": "2",
    "1": "1",
    "2": "2",
    "H": "H",
    "HR": "H",
    "R": "R",
    "RS": "R",
    "O1": "1",
    "O2": "2",
}
"""Origin choices and axes of R groups, as International Tables and as ICSD write them."""

_SUBSCRIPT = re.compile(r"(?<=\d)(?:[_(~{$]|<sub>)+(\d)(?:[)~}$]|</sub>)*")
"""Screw axes as SHELX, journals and TeX write them: ``P2(1)/c``, ``P 2~1~/c``, ``P2_{1}/c``."""

_IN_WORDS = re.compile(r"\((?:origin|setting)\D*([12])\)|\(([hr])\w* axes\)", re.IGNORECASE)
"""Settings as FINDSYM writes them, behind the name."""


SYSTEMS = {
    "triclinic": (1, 2),
    "anorthic": (1, 2),
    "monoclinic": (3, 15),
    "orthorhombic": (16, 74),
    "tetragonal": (75, 142),
    "trigonal": (143, 167),
    "rhombohedral": (143, 167),
    "hexagonal": (143, 194),
    "cubic": (195, 230),
}
"""Space groups that each crystal system may have; R groups on hexagonal axes are called either."""


class Setting(NamedTuple):
    """A space group in one setting: x becomes ``rotations @ x + translations``.

    Attributes:
        name: for people.
        rotations, translations: all operations, centring included; columns of fractions.
    """

    name: str
    rotations: Int64[np.ndarray, "k 3 3"]
    translations: Float64[np.ndarray, "k 3"]

    @classmethod
    def of(cls, name: str, operations: Iterable[Any]) -> "Setting":
        """From gemmi's operations."""
        ops = list(operations)
        rotations = np.array([op.rot for op in ops], np.int64) // DENOMINATOR
        return cls(name, rotations, np.array([op.tran for op in ops], np.float64) / DENOMINATOR)

    def number(self, lattice: Any) -> int | None:
        """International number, None where spglib finds none."""
        import spglib

        cell = np.asarray(lattice, np.float64)
        with _quiet():
            try:
                found = spglib.get_spacegroup_type_from_symmetry(
                    self.rotations.astype(np.intc), self.translations, cell
                )
            except spglib.error.SpglibError:
                return None
        return None if found is None else int(found.number)

    def keys(self) -> Int64[np.ndarray, " k"]:
        """A number for each operation, in rising order."""
        return np.sort(_codes(self.rotations, np.rint(self.translations * DENOMINATOR)))

    def fits(self, lattice: Any) -> bool:
        """Whether the rotations leave the shape of a cell as it is."""
        metric = np.asarray(lattice) @ np.asarray(lattice).T
        # columns of fractions turn by R, so the metric by R^T G R
        turned = np.einsum("kji,jl,klm->kim", self.rotations, metric, self.rotations)
        scale = np.sqrt(np.outer(np.diag(metric), np.diag(metric)))
        return bool((np.abs(turned - metric) <= METRIC * scale).all())


@dataclass(frozen=True)
class Statement:
    """What a record says of its symmetry; empty where it is silent.

    Attributes:
        operations: such as ``-x,y+1/2,-z``.
        hall: Hall symbol.
        name: Hermann-Mauguin symbol, setting and origin perhaps among it.
        number: international number.
        code: coordinate-system code (1, 2, h, r, b1, -cba, ...).
        system: crystal system, such as ``cubic``.
        others: names and numbers that the record states besides.
    """

    operations: tuple[str, ...] = ()
    hall: str = ""
    name: str = ""
    number: int | None = None
    code: str = ""
    system: str = ""
    others: tuple[str, ...] = ()

    def settings(self, lattice: Any, odd: list[str]) -> list[Setting]:
        """The settings that may be meant, the likeliest first; what is odd goes into the list.

        Raises:
            UnusableError: where the statements contradict each other or the cell, or cannot be
                understood.
        """
        listed = _listed(self.operations) if self.operations else None
        by_hall = _by_hall(self.hall) if self.hall else None
        named = _named(self.name, self.code, lattice) if self.name else []
        if self.hall and by_hall is None:
            odd.append(f"the Hall symbol {self.hall!r} is not understood")
        if self.name and not named:
            if listed is None and by_hall is None and self.number is None:
                raise UnusableError(
                    Reason.unreadable,
                    f"the space group {self.name!r} is not understood, and nothing else tells it",
                )
            odd.append(f"the space group {self.name!r} is not understood")
        self._agree(lattice, listed, by_hall, named)
        if listed is not None:
            found = [listed]
            if by_hall is not None and not np.array_equal(by_hall.keys(), listed.keys()):
                odd.append(f"the operations are not those of the Hall symbol {self.hall!r}")
        elif by_hall is not None:
            found = [by_hall]
        elif named or self.number is not None:
            found = named or _numbered(self.number or 1, self.code)
        else:
            odd.append("no symmetry is stated: P 1 is taken")
            found = [_setting("P 1")]
        self._check_system(found[0].number(lattice))
        fitting = [one for one in found if one.fits(lattice)]
        if not fitting:
            raise contradiction(f"the cell has not the shape that {found[0].name} asks for")
        return fitting

    def _check_system(self, number: int | None) -> None:
        low, high = SYSTEMS.get(self.system.lower(), (1, 230))
        if number is not None and not low <= number <= high:
            raise contradiction(f"the space group {number} is not {self.system}")

    def _agree(
        self,
        lattice: Any,
        listed: Setting | None,
        by_hall: Setting | None,
        named: Sequence[Setting],
    ) -> None:
        numbers: dict[str, int] = {}
        for what, one in (
            ("the operations listed", listed),
            (f"the Hall symbol {self.hall!r}", by_hall),
            (f"the name {self.name!r}", named[0] if named else None),
            *(
                (f"also {name}", next(iter(_named(name, "", lattice)), None))
                for name in self.others
            ),
        ):
            number = None if one is None else one.number(lattice)
            if number is not None:
                numbers[what] = number
        if self.number is not None:
            numbers["the number stated"] = self.number
        if len(set(numbers.values())) > 1:
            said = ", ".join(f"{what}: {number}" for what, number in numbers.items())
            raise contradiction(f"space groups disagree ({said})")
        own, code = _suffix(self.name, "")[1], _suffix("", self.code)[1]
        if own and code and own != code:
            raise contradiction(f"{self.name!r} and the setting {self.code!r} disagree")
        exact = by_hall if listed is None else listed
        stated = _suffix(self.name, self.code)[1]
        if exact is not None and named and stated:
            keys = exact.keys()
            if not any(np.array_equal(one.keys(), keys) for one in named):
                raise contradiction(f"the operations are not those of {self.name!r} {stated}")


def images(
    site: Float64[np.ndarray, " 3"],
    precision: Float64[np.ndarray, " 3"],
    setting: Setting,
    lattice: Float64[np.ndarray, "3 3"],
) -> Float64[np.ndarray, "n 3"]:
    """All atoms of a site, the first at the site, the others in the cell.

    Operations that leave the site where it is, as far as its digits tell, are taken to leave it
    exactly: 0.333 becomes 1/3 where the site is special.

    Args:
        site: fractional.
        precision: how far each coordinate may be off.
        setting: the space group.
        lattice: Å.
    """
    at = setting.rotations @ site + setting.translations
    whole = np.rint(at - site)
    apart = at - whole - site
    allowed = np.abs(setting.rotations - np.eye(3, dtype=np.int64)) @ precision + ROUNDING
    fixed = (np.abs(apart) <= allowed).all(axis=1)
    fixed &= np.linalg.norm(apart @ lattice, axis=1) < MIN_DISTANCE
    if fixed.sum() > 1:
        site = (at - whole)[fixed].mean(axis=0)
        at = setting.rotations @ site + setting.translations
    # steps begin at 1/e: special positions must not fall to either side by the last digit
    steps = np.floor(at / ROUNDING + (1 - np.exp(-1))).astype(np.int64) % round(1 / ROUNDING)
    _, firsts = np.unique(steps, axis=0, return_index=True)
    atoms = at[np.sort(firsts)]
    atoms[1:] -= np.floor(atoms[1:])
    return atoms


def named_number(name: str) -> int | None:
    """International number of a Hermann-Mauguin or a Hall symbol, None where it is neither."""
    bare = _suffix(name, "")[0]
    found = gemmi.find_spacegroup_by_name(bare) or _full_symbols().get(_compact(bare))
    if found is None:
        try:
            found = gemmi.find_spacegroup_by_ops(gemmi.symops_from_hall(name))
        except (RuntimeError, ValueError):
            return None
    return None if found is None else int(found.number)


def found_groups(lattice: Any, numbers: Any, frac: Any) -> list[int]:
    """Numbers of the space groups of a crystal at several tolerances, the tightest first."""
    import spglib

    found = []
    with _quiet():
        for tolerance in (1e-3, 1e-2, 0.1):
            try:
                of = spglib.get_symmetry_dataset((lattice, frac, numbers), symprec=tolerance)
            except spglib.error.SpglibError:
                continue
            found += [] if of is None else [int(of.number)]
    return found


def _listed(triplets: Sequence[str]) -> Setting:
    if len(triplets) > MOST:
        raise UnusableError(Reason.too_large, f"{len(triplets)} symmetry operations")
    try:
        setting = Setting.of("the list", map(gemmi.Op, triplets))
    except (RuntimeError, ValueError) as error:
        raise UnusableError(Reason.unreadable, f"a symmetry operation: {error}") from error
    steps = np.rint(setting.translations * DENOMINATOR)
    codes, firsts = np.unique(_codes(setting.rotations, steps), return_index=True)
    rotations, steps = setting.rotations[firsts], steps[firsts]
    for rotation, step in zip(rotations, steps, strict=True):
        products = _codes(rotation @ rotations, steps @ rotation.T + step)
        if not np.isin(products, codes).all():
            raise contradiction("the symmetry operations listed are no group")
    order = np.argsort(~((rotations == np.eye(3)).all(axis=(1, 2)) & (steps == 0).all(axis=1)))
    return Setting("the list of operations", rotations[order], steps[order] / DENOMINATOR)


def _codes(
    rotations: Int64[np.ndarray, "k 3 3"], steps: Float64[np.ndarray, "k 3"]
) -> Int64[np.ndarray, " k"]:
    """A number for each operation; translations in 24ths of a cell."""
    digits = np.concatenate([rotations.reshape(-1, 9) + 3, np.rint(steps) % DENOMINATOR], axis=1)
    bases = np.array([7] * 9 + [DENOMINATOR] * 3, np.int64)
    weights = np.concatenate([[1], np.cumprod(bases[:-1])])
    return np.asarray(digits.astype(np.int64) @ weights, np.int64)


def _by_hall(symbol: str) -> Setting | None:
    try:
        return Setting.of(symbol, gemmi.symops_from_hall(symbol))
    except (RuntimeError, ValueError):
        return None


def _setting(name: str) -> Setting:
    return Setting.of(name, gemmi.find_spacegroup_by_name(name).operations())


def _suffix(name: str, code: str) -> tuple[str, str]:
    """A name without its setting, and the origin choice or the axes that it or the code states."""
    name = _SUBSCRIPT.sub(r"\1", name)
    words = _IN_WORDS.search(name)
    bare, colon, setting = name.replace("_", "").partition(":")
    bare = " ".join(_IN_WORDS.sub("", bare).split())
    found = "".join(filter(None, words.groups())).upper() if words else ""
    if colon and setting.split():
        found = setting.split()[0].upper()
    last = re.fullmatch(r"(.*\S)\s*(HR|RS|O1|O2|[SZHR])", bare)
    if not colon and last:
        bare, found = last[1], last[2]
    stated = _ORIGINS.get(found, "")
    if not stated and code.strip():
        stated = _ORIGINS.get(code.strip().upper(), _ORIGINS.get(code.strip()[0], ""))
    return bare, stated


def _named(name: str, code: str, lattice: Any) -> list[Setting]:
    """The settings that a Hermann-Mauguin symbol may mean; none where it is not understood."""
    bare, stated = _suffix(name, code)
    base = gemmi.find_spacegroup_by_name(bare)
    if base is None:
        bare, stated = _suffix(re.sub(r"[(\[].*", "", _SUBSCRIPT.sub(r"\1", name)), code)
        base = gemmi.find_spacegroup_by_name(bare)
    if base is None:
        base = _full_symbols().get(_compact(bare))
    if base is None:
        return []
    table = [g for g in gemmi.spacegroup_table() if g.number == base.number]
    axes = _axes(code) | _axes(name.partition(":")[2])
    kin = [g for g in table if g.qualifier in axes]
    if not kin:  # a short symbol leaves the unique axis open: b, unless the cell says otherwise
        kin = [g for g in table if g.hm == base.hm]
        if not Setting.of("", kin[0].operations()).fits(lattice):
            kin = [g for g in table if _short(g.hm) == _short(base.hm)]
    return _chosen(kin, base, stated)


def _numbered(number: int, code: str) -> list[Setting]:
    if not 1 <= number <= 230:
        raise contradiction(f"there is no space group {number}")
    base = gemmi.find_spacegroup_by_number(number)
    table = [g for g in gemmi.spacegroup_table() if g.number == number]
    axes = _axes(code)
    kin = [g for g in table if (g.qualifier in axes if axes else g.hm == base.hm)]
    return _chosen(kin or [base], base, _suffix("", code)[1])


def _chosen(kin: Sequence[Any], base: Any, stated: str) -> list[Setting]:
    exts = {g.ext for g in kin}
    kin = [g for g in kin if not stated or stated not in exts or g.ext == stated] or [base]
    kin = sorted(kin, key=lambda g: g.xhm() != base.xhm())
    return [Setting.of(g.xhm(), g.operations()) for g in kin]


def _axes(code: str) -> set[str]:
    """Names of axes in gemmi's table that a coordinate-system code may stand for."""
    bare = code.strip().lower()
    return {bare, bare.lstrip("12")} - {"", "1", "2", "h", "r"}


def _compact(name: str) -> str:
    return "".join(name.split()).lower()


def _short(name: str) -> str:
    """``P 1 21 1`` as ``p21``."""
    return "".join(part for part in name.lower().split() if part != "1")


@cache
def _full_symbols() -> dict[str, Any]:
    """Groups of gemmi's table by full symbols; the first setting of each."""
    import spglib

    found: dict[str, Any] = {}
    with _quiet():
        for hall in range(1, 531):
            kind: Any = spglib.get_spacegroup_type(hall)
            operations = gemmi.symops_from_hall(kind.hall_symbol)
            name = _compact(kind.international_full.replace("_", ""))
            found.setdefault(name, gemmi.find_spacegroup_by_ops(operations))
    return found


@contextmanager
def _quiet() -> Iterator[None]:
    """spglib 2 announces an error style of its next release at every call: not a word of that."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Set OLD_ERROR_HANDLING")
        yield
