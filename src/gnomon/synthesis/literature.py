"""Published solid-state syntheses: the text-mined set of Kononova et al., Sci. Data 6, 203 (2019).

The set states no licence, so it is read from where the user has it and nothing of it, no weights
either, is part of this package.  A synthesis is kept where its target and precursors have numbers
for amounts, the precursors bring every element that air and furnace do not, and no other.
"""

from __future__ import annotations

import ast
import json
import lzma
import operator
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gnomon.elements import SYMBOLS, atomic_number

Amounts = tuple[tuple[int, float], ...]
"""Atom fractions by atomic number, ascending, rounded: equal for equal compositions."""

FREE = frozenset(map(atomic_number, ("H", "C", "N", "O")))
"""Elements that air, furnace and burning bring and take."""

COLDEST, HOTTEST = 200.0, 2000.0
"""°C between which a heating temperature is believed."""

LONGEST = 500.0
"""Hours up to which a heating time is believed."""

_FIRST = re.compile("calcin|pre-?(fir|sint|heat|calc)|decomp")
_YEAR = re.compile(r"(?:^|[^0-9])((?:19|20)\d\d)[./)]")
_OPERATIONS: dict[type, Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


@dataclass(frozen=True)
class Synthesis:
    """One published synthesis.

    Attributes:
        doi: of the paper.
        year: as the DOI shows it, None where it does not.
        target: composition.
        formula: of the target, as written.
        precursors: compositions, sorted.
        temperature: highest heating temperature, °C; None where none is said.
        sintering: highest that is called sintering, likewise.
        calcination: highest that is called calcination or firing before another, likewise.
        hours: longest heating, None where none is said.
        atmosphere: such as ``air``; empty where none is said.
    """

    doi: str
    year: int | None
    target: Amounts
    formula: str
    precursors: tuple[Amounts, ...]
    temperature: float | None
    sintering: float | None
    calcination: float | None
    hours: float | None
    atmosphere: str


@dataclass(frozen=True)
class Literature:
    """The syntheses, how precursors are written, and why others were left out.

    Attributes:
        syntheses: without duplicates of paper, target, precursors and temperature.
        names: precursors as most papers write them, by composition.
        counts: syntheses that use each precursor.
        left_out: reasons to numbers of syntheses.
    """

    syntheses: tuple[Synthesis, ...]
    names: Mapping[Amounts, str]
    counts: Mapping[Amounts, int]
    left_out: Mapping[str, int]


def read_literature(path: Path) -> Literature:
    """Read the set, ``solid-state_dataset_2019-12-03.json`` or the same as ``.xz``.

    Raises:
        ValueError: if it is not that set.
    """
    data = path.read_bytes()
    try:
        records = json.loads(lzma.decompress(data) if path.suffix == ".xz" else data)["reactions"]
    except (ValueError, KeyError, TypeError, lzma.LZMAError) as error:
        raise ValueError(f"{path} is not the text-mined set of solid-state syntheses") from error
    found: dict[Any, Synthesis] = {}
    spelled: dict[Amounts, Counter[str]] = {}
    left_out: Counter[str] = Counter()
    for record in records:
        try:
            for one in _read(record, spelled):
                key = (one.doi, one.target, one.precursors, one.temperature)
                left_out["the same again"] += key in found
                found.setdefault(key, one)
        except _UnclearError as reason:
            left_out[str(reason)] += 1
    counts = Counter(p for one in found.values() for p in one.precursors)
    names = {p: texts.most_common(1)[0][0] for p, texts in spelled.items() if p in counts}
    return Literature(tuple(found.values()), names, counts, left_out)


class _UnclearError(Exception):
    """Why a synthesis is left out."""


def composition(contents: Mapping[str, float]) -> Amounts:
    """Atom fractions of amounts by element."""
    total = sum(contents.values())
    return tuple(
        sorted((atomic_number(s), round(n / total, 4)) for s, n in contents.items() if n > 0)
    )


def _read(record: Mapping[str, Any], spelled: dict[Amounts, Counter[str]]) -> Iterator[Synthesis]:
    target = record["target"]
    swaps = record["reaction"]["element_substitution"]
    amounts = composition(_contents(target, swaps))
    precursors = set()
    for one in record["precursors"]:
        found = composition(_contents(one, swaps))
        precursors.add(found)
        spelled.setdefault(found, Counter())[one["material_formula"]] += 1
    own = {z for z, _ in amounts}
    brought = {z for p in precursors for z, _ in p}
    if not own - FREE or len(own) < 2:
        raise _UnclearError("a target of nothing that a precursor must bring")
    if own - FREE - brought:
        raise _UnclearError("an element of the target is in no precursor")
    if brought - FREE - own:
        raise _UnclearError("an element of a precursor is not in the target")
    heating = [
        o["conditions"]
        for o in record["operations"]
        if o["type"] == "HeatingOperation" and o["conditions"]
    ]
    temperatures = list(_numbers(heating, "heating_temperature", COLDEST, HOTTEST))
    steps: dict[str, list[float]] = {"sintering": [], "calcination": []}
    for operation in record["operations"]:
        token = operation["token"].lower()
        step = "calcination" if _FIRST.search(token) else "sintering" if "sinter" in token else ""
        if step and operation["type"] == "HeatingOperation" and operation["conditions"]:
            said = _numbers([operation["conditions"]], "heating_temperature", COLDEST, HOTTEST)
            steps[step] += said
    hours = list(_numbers(heating, "heating_time", 0.0, LONGEST))
    gases = [gas for one in heating for gas in one["heating_atmosphere"]]
    year = _YEAR.search(record["doi"])
    yield Synthesis(
        record["doi"],
        int(year.group(1)) if year else None,
        amounts,
        written(amounts) if swaps else target["material_formula"],
        tuple(sorted(precursors)),
        max(temperatures, default=None),
        max(steps["sintering"], default=None),
        max(steps["calcination"], default=None),
        max(hours, default=None),
        gases[-1] if gases else "",
    )


def _numbers(
    heating: Sequence[Mapping[str, Any]], name: str, low: float, high: float
) -> Iterator[float]:
    for one in heating:
        for value in one[name]:
            if value["max_value"] is not None and low <= value["max_value"] <= high:
                yield float(value["max_value"])


def _contents(material: Mapping[str, Any], swaps: Mapping[str, str]) -> dict[str, float]:
    """Amounts by element of a material, variables at their first values."""
    variables = {
        name: float(said["values"][0])
        for name, said in material["amounts_vars"].items()
        if said["values"]
    }
    total: dict[str, float] = {}
    for part in material["composition"]:
        share = _value(part["amount"], variables)
        for symbol, amount in part["elements"].items():
            element = swaps.get(symbol, symbol)
            if element not in SYMBOLS[1:]:
                raise _UnclearError("an element that is not named")
            total[element] = total.get(element, 0.0) + share * _value(amount, variables)
    if not total or min(total.values()) < 0 or sum(total.values()) <= 0:
        raise _UnclearError("amounts that make no composition")
    return total


def _value(text: str, variables: Mapping[str, float]) -> float:
    """A number, or sums and products of numbers and variables."""

    def walk(node: ast.AST) -> float:
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
            return float(node.value)
        if isinstance(node, ast.Name) and node.id in variables:
            return variables[node.id]
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -walk(node.operand)
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS:
            return _OPERATIONS[type(node.op)](walk(node.left), walk(node.right))
        raise _UnclearError("an amount that is no number")

    try:
        return walk(ast.parse(text, mode="eval").body)
    except (SyntaxError, ZeroDivisionError) as error:
        raise _UnclearError("an amount that is no number") from error


def written(amounts: Amounts, most: int = 40) -> str:
    """A formula of atom fractions, in the smallest amounts that are nearly whole."""
    least = min(n for _, n in amounts)
    for factor in range(1, most):
        scaled = [n / least * factor for _, n in amounts]
        if all(abs(value - round(value)) < 0.02 for value in scaled):
            return "".join(
                f"{SYMBOLS[z]}{round(v) if round(v) > 1 else ''}"
                for (z, _), v in zip(amounts, scaled, strict=True)
            )
    return "".join(f"{SYMBOLS[z]}{n:.3g}" for z, n in amounts)
