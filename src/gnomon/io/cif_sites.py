"""Elements of sites in CIFs, by their types, else by their labels and the formula."""

import re
import warnings

from gnomon.io.claims import Formula
from gnomon.io.objects import element_number
from gnomon.io.reasons import Reason, UnusableError, contradiction

HEAVIEST = 103
"""Atomic number beyond which a label names no element: ``Nh4`` is no nihonium."""

_MOLECULAR = frozenset(("H", "C", "N", "O", "S", "P", "Cl"))


def of_type(kind: str, formula: Formula | None) -> str:
    """The symbol in a type such as ``Al3+``; letters of either case, D and T included.

    Raises:
        UnusableError: for a vacancy, several atoms (``NH4``) and what is no element.
    """
    letters = re.match("[A-Za-z]*", kind)[0].capitalize()  # type: ignore[index]
    one = _is_element(letters) and element_number(letters) <= HEAVIEST
    several = Formula.parse(kind) if not one or re.search(r"\d[A-Z]", kind) else None
    if several is not None and len(several.amounts) > 1 and several.amounts.keys() <= _MOLECULAR:
        raise UnusableError(Reason.incomplete, f"the site {kind!r} stands for several atoms")
    if _is_vacancy(letters):
        raise UnusableError(Reason.unknown_element, f"the type {kind!r} is a vacancy")
    for symbol in (letters, letters[:2], letters[:1]):
        if _is_element(symbol):
            _check_rest(kind, symbol, formula)
            return symbol
    raise UnusableError(Reason.unknown_element, f"the type {kind!r} names no element")


def of_label(label: str, formula: Formula | None) -> str:
    """The symbol in a label such as ``CA1``: one of the formula's elements, where it is given."""
    letters = re.match("[A-Za-z]*", label)[0]  # type: ignore[index]
    readings = [s for s in (letters[:2].capitalize(), letters[:1].upper()) if _is_element(s)]
    # T is a tetrahedral site as often as tritium, and what is beyond lawrencium is none of both
    readings = [r for r in dict.fromkeys(readings) if r != "T" and element_number(r) <= HEAVIEST]
    if not readings or (_is_vacancy(letters) and not (formula and "V" in formula.amounts)):
        raise UnusableError(Reason.unknown_element, f"the site {label!r} names no element")
    plain = letters[1:2].islower() or len(readings) == 1
    if formula is None:
        if plain:
            _check_rest(label, readings[0], None)
            return readings[0]
        raise UnusableError(
            Reason.unknown_element,
            f"the site {label!r} may be {' or '.join(readings)}: neither types nor a formula tell",
        )
    known = [s for s in readings if s in formula.amounts or (s in "DT" and "H" in formula.amounts)]
    if not known:
        raise contradiction(f"the site {label!r} is none of {', '.join(formula.amounts)}")
    _check_rest(label, known[0], formula)
    if len(known) > 1 and not plain:
        warnings.warn(f"the site {label!r} may be {' or '.join(known)}", stacklevel=1)
    return known[0]


def _check_rest(name: str, symbol: str, formula: Formula | None) -> None:
    """Refuse words that begin as an element does, such as ``Tet1``, unless the formula has it."""
    letters = re.match("[A-Za-z]*", name)[0]  # type: ignore[index]
    rest = letters[len(symbol) :]
    plain = not rest or rest in _VALENCE or (len(rest) == 1 and rest.isupper())
    if plain and not (rest and letters.isupper() and len(symbol) > 1):
        return
    own = "H" if symbol in ("D", "T") else symbol
    if formula is None or own not in formula.amounts:
        detail = f"the site {name!r} is a word rather than {symbol}, and no formula tells"
        raise UnusableError(Reason.unknown_element, detail)
    if rest.islower():
        warnings.warn(f"the site {name!r} is read as {symbol}", stacklevel=1)


_VALENCE = ("val", "va")
"""Behind the symbols of Si and C in tables of scattering factors (``Cval``)."""


def _is_vacancy(letters: str) -> bool:
    return letters.lower() in ("va", "vac", "vacancy")


def _is_element(symbol: str) -> bool:
    try:
        return bool(element_number(symbol))
    except UnusableError:
        return False
