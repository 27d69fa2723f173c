"""Properties that crystals are drawn for: named, in a unit, known to the network by their range."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int8
from pydantic import BaseModel, ConfigDict

NAME = r"[A-Za-z_]\w*"
"""Of a property."""

ASK = re.compile(rf"\s*({NAME})\s*(>=|<=|=|>|<)\s*(\S+?)\s*")
"""A name, a sign and a number."""


class Property(BaseModel):
    """A property as a network knows it: which of its ranges a crystal is in.

    >>> gap = Property(name="band_gap", unit="eV", scheme="PBE", edges=(0, 2))
    >>> gap.words
    ('up to 0 eV', 'above 0 to 2 eV', 'above 2 eV')
    >>> gap.buckets(np.array([0.0, 1.0, 2.0, 3.0, np.nan])).tolist()
    [1, 2, 2, 3, 0]
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """By which it is asked for."""
    unit: str
    scheme: str
    """Where the values that taught it are from."""
    edges: tuple[float, ...]
    """Upper bounds of all ranges but the last, in the unit; each belongs to the range below it."""

    def buckets(self, values: Float64[np.ndarray, " n"]) -> Int8[np.ndarray, " n"]:
        """The range of each value, from 1 on; 0 where it is not known."""
        return bucket(values, self.edges)

    @property
    def words(self) -> tuple[str, ...]:
        """All ranges, the lowest first."""
        if not self.edges:
            return (f"any {self.unit}",)
        inner = zip(self.edges, self.edges[1:], strict=False)
        return (
            f"up to {self.edges[0]:g} {self.unit}",
            *(f"above {low:g} to {high:g} {self.unit}" for low, high in inner),
            f"above {self.edges[-1]:g} {self.unit}",
        )

    def within(self, low: float, high: float) -> tuple[int, ...]:
        """Ranges, from 1 on, that hold a number of low to high, both included."""
        lower, upper = (-math.inf, *self.edges), (*self.edges, math.inf)
        return tuple(
            k + 1
            for k, (below, top) in enumerate(zip(lower, upper, strict=True))
            if max(low, math.nextafter(below, math.inf)) <= min(high, top)
        )


def bucket(values: Float64[np.ndarray, " n"], edges: Sequence[float]) -> Int8[np.ndarray, " n"]:
    """Bucket of each value, from 1 on; 0 where it is not known."""
    found = 1 + np.searchsorted(np.asarray(edges, np.float64), values, side="left")
    return np.where(np.isfinite(values), found, 0).astype(np.int8)


@dataclass(frozen=True)
class Ask:
    """What is asked of a property: numbers of low to high, both included, in its unit.

    Attributes:
        name: of the property.
        low, high: infinite where there is no bound.
    """

    name: str
    low: float
    high: float


def parse_ask(text: str) -> Ask:
    """What ``band_gap>2``, ``band_gap<=1`` or ``band_gap=0`` asks for.

    >>> parse_ask("band_gap>=2"), parse_ask("band_gap = 0")
    (Ask(name='band_gap', low=2.0, high=inf), Ask(name='band_gap', low=0.0, high=0.0))

    Raises:
        ValueError: if it is no name, sign and number.
    """
    found = ASK.fullmatch(text)
    try:
        number = float(found[3]) if found else math.nan
    except ValueError:
        number = math.nan
    if found is None or not math.isfinite(number):
        raise ValueError(
            f"{text!r} asks for no property: write its name, one of = > < >= <= and a number in "
            "its unit, as in 'band_gap>2'"
        )
    name, sign = found[1], found[2]
    low = {">": math.nextafter(number, math.inf)}.get(sign, number)
    high = {"<": math.nextafter(number, -math.inf)}.get(sign, number)
    return Ask(name, -math.inf if "<" in sign else low, math.inf if ">" in sign else high)


def asked_of(texts: Sequence[str], known: Sequence[Property]) -> dict[str, tuple[int, ...]]:
    """The ranges of each property that is asked for; several asks of one hold together.

    >>> gap = Property(name="band_gap", unit="eV", scheme="PBE", edges=(0, 1, 2))
    >>> asked_of(["band_gap>0", "band_gap<=2"], [gap])
    {'band_gap': (2, 3)}

    Args:
        texts: as ``parse_ask`` takes them.
        known: what can be asked for.

    Raises:
        ValueError: for a property that is not known, or asks of one that no number obeys.
    """
    by_name = {one.name: one for one in known}
    found: dict[str, tuple[int, ...]] = {}
    bounds: dict[str, tuple[float, float]] = {}
    for text in texts:
        ask = parse_ask(text)
        if ask.name not in by_name:
            raise ValueError(f"{text!r} asks for what the weights do not know: {told(known)}")
        low, high = bounds.get(ask.name, (-math.inf, math.inf))
        bounds[ask.name] = max(low, ask.low), min(high, ask.high)
    for name, (low, high) in bounds.items():
        found[name] = by_name[name].within(low, high)
        if not found[name]:
            several = " and ".join(text for text in texts if parse_ask(text).name == name)
            raise ValueError(f"no number obeys {several}; {told(known)}")
    return found


def told(known: Sequence[Property]) -> str:
    """What can be asked for, in words."""
    if not known:
        return "they were taught no property"
    each = (f"{one.name} ({'; '.join(one.words)})" for one in known)
    return f"ask for {', or for '.join(each)}"
