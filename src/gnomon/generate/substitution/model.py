"""Probabilities of ionic substitution, mined from known compounds (Hautier et al. 2011).

    p(X, X') = exp(sum_i lambda_i f_i(X, X')) / Z

where feature f_i says that ion a of the parent X' is ion b in the child X (Inorg. Chem. 50, 656,
eq. 3).  For a given parent the lists of ions factorise: p(X | X') is the product over the parent's
ions j of exp(lambda_ij) / Z_j, Z_j being the sum over i.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Float64, Int64

from gnomon.chemistry.oxidation import write_ion
from gnomon.elements import atomic_number
from gnomon.ragged import counted
from gnomon.run.files import file_of_package

Variant = Literal["hautier", "clamped", "gnome_with_identity", "gnome"]
"""How probabilities follow from lambda (see ``SubstitutionModel``)."""

UNSEEN = -5.0
"""lambda of a pair of ions that the training set never shows (Hautier's table, alpha)."""

THRESHOLD = 1e-3
"""Smallest probability of a list of ions (Hautier 2011 and Merchant et al. 2023)."""

_ION = re.compile(r"([A-Z][a-z]?)(?:(\d*)([+-])|0)")


@dataclass(frozen=True)
class Replacements:
    """Lists of ions that may replace a parent's, most probable first.

    Attributes:
        ions: (k, m), index into the model's species for each of the parent's m ions.
        probabilities: (k,), probability of each list given the parent.
    """

    ions: Int64[np.ndarray, "k m"]
    probabilities: Float64[np.ndarray, " k"]

    def take(self, index: Int64[np.ndarray, " i"] | Bool[np.ndarray, " k"]) -> "Replacements":
        """The lists at these positions, or where a mask is true."""
        return Replacements(self.ions[index], self.probabilities[index])


@dataclass(frozen=True, eq=False)
class SubstitutionModel:
    """Pair weights lambda between ions and the reading of them.

    ``hautier``: lambda as trained, Z_j over all ions, as pymatgen has it.
    ``clamped``: the same with lambda at least 0.
    ``gnome_with_identity``, ``gnome``: lambda at least 0, and probabilities counted only where the
    compositions differ (Merchant et al., Nature 624, 80 (2023), Methods): an unchanged ion has
    probability 1.  The paper does not say whether Z_j keeps the unchanged ion; the first keeps it,
    the second, the default, leaves it out.

    Attributes:
        species: ions such as ``Na+``, ``Fe2+``, ``O2-``.
        weights: symmetric matrix of lambda.
        variant: one of the four readings.

    Raises:
        ValueError: for an unknown variant, fewer than two ions, or weights that are not a symmetric
            matrix over the species.
    """

    species: tuple[str, ...]
    weights: Float64[np.ndarray, "n n"]
    variant: Variant = "gnome"

    def __post_init__(self) -> None:
        if self.variant not in get_args(Variant):
            allowed = ", ".join(get_args(Variant))
            raise ValueError(f"unknown variant {self.variant!r} (one of {allowed})")
        n = len(self.species)
        if n < 2:
            raise ValueError(f"a model needs at least two ions, got {list(self.species)}")
        if self.weights.shape != (n, n) or not np.array_equal(self.weights, self.weights.T):
            raise ValueError(f"weights must be a symmetric matrix over the {n} species")
        weights = np.array(self.weights)
        weights.setflags(write=False)
        object.__setattr__(self, "weights", weights)

    @classmethod
    def from_pairs(
        cls,
        pairs: Iterable[tuple[str, str, float]],
        variant: Variant = "gnome",
        unseen: float = UNSEEN,
    ) -> "SubstitutionModel":
        """A model from rows (ion, ion, lambda); pairs that are not listed get ``unseen``."""
        rows = [(ion_name(a), ion_name(b), float(weight)) for a, b, weight in pairs]
        species = tuple(sorted({ion for a, b, _ in rows for ion in (a, b)}))
        index = {ion: i for i, ion in enumerate(species)}
        weights = np.full((len(species), len(species)), unseen)
        for a, b, weight in rows:
            weights[index[a], index[b]] = weights[index[b], index[a]] = weight
        return cls(species, weights, variant)

    @classmethod
    @cache
    def pymatgen(cls, variant: Variant = "gnome") -> "SubstitutionModel":
        """The table trained by Hautier et al. that pymatgen ships: 230 ions, 6,683 pairs."""
        # the file is read as it is: pymatgen's own class is a singleton that any user may mutate
        table = file_of_package("pymatgen.core.structure_prediction", "data/lambda.json")
        rows = json.loads(table.read_text())
        pairs = [(a, b, float(weight)) for a, b, weight in rows if "D1+" not in (a, b)]
        return cls.from_pairs(pairs, variant)

    @cached_property
    def probabilities(self) -> Float64[np.ndarray, "n n"]:
        """Entry (i, j): probability of ion i where the parent has ion j."""
        clamped = self.weights if self.variant == "hautier" else np.maximum(self.weights, 0.0)
        boltzmann = np.exp(clamped)
        if self.variant == "gnome":
            np.fill_diagonal(boltzmann, 0.0)
        probabilities = boltzmann / boltzmann.sum(axis=0)
        if self.variant.startswith("gnome"):
            np.fill_diagonal(probabilities, 1.0)
        probabilities.setflags(write=False)
        return probabilities

    @cached_property
    def charges(self) -> Int64[np.ndarray, " n"]:
        """Charge of each ion, e."""
        return np.array([ion_charge(ion) for ion in self.species], dtype=np.int64)

    @cached_property
    def atomic_numbers(self) -> Int64[np.ndarray, " n"]:
        """Atomic number of each ion."""
        symbols = [_parts(ion)[0] for ion in self.species]
        return np.array([atomic_number(symbol) for symbol in symbols], dtype=np.int64)

    @cached_property
    def index(self) -> dict[str, int]:
        """Position of each ion in ``species``."""
        return {ion: i for i, ion in enumerate(self.species)}

    def among(self, species: Sequence[str]) -> "SubstitutionModel":
        """The same weights, between these ions only.

        Raises:
            ValueError: if one is not in the table, or they are fewer than two.
        """
        unknown = [ion for ion in species if ion not in self.index]
        if unknown:
            raise ValueError(f"ions {unknown} are not among the table's species")
        at = [self.index[ion] for ion in species]
        return SubstitutionModel(tuple(species), self.weights[np.ix_(at, at)], self.variant)

    def replacements(
        self,
        parent: Sequence[str],
        threshold: float = THRESHOLD,
        usable: Bool[np.ndarray, " n"] | None = None,
    ) -> Replacements:
        """All lists of ions with probability above the threshold, the parent's own left out.

        An ion may stand in several places, and charges need not balance.

        Args:
            parent: its ions.
            threshold: smallest probability.
            usable: ions that lists may hold, unchanged ones included; None for all.

        Raises:
            ValueError: if an ion of the parent is not in the table, or the threshold not positive.
        """
        unknown = [ion for ion in parent if ion not in self.index]
        if unknown or not parent:
            raise ValueError(f"ions {unknown} of {list(parent)} are not among the table's species")
        if not threshold > 0:
            raise ValueError(f"the threshold must be positive, got {threshold}")
        own = np.array([self.index[ion] for ion in parent], dtype=np.int64)
        columns = self.probabilities[:, own]
        if usable is not None:
            columns = np.where(usable[:, None], columns, 0.0)
        found = above_threshold(columns, threshold)
        changed = np.any(found.ions != own, axis=1)
        return found.take(changed)


def above_threshold(columns: Float64[np.ndarray, "n m"], threshold: float) -> Replacements:
    """All ways to pick one row a column whose product exceeds the threshold; branch and bound.

    A partial list is kept only while its product times the best that the other columns can give
    exceeds the threshold, which loses nothing.  Equal products come in order of their rows.
    """
    best = columns.max(axis=0)
    bounds = np.append(np.cumprod(best[::-1])[::-1][1:], 1.0)
    ions, product = np.zeros((1, 0), np.int64), np.ones(1)
    for column, bound in zip(columns.T, bounds, strict=True):
        order = np.argsort(-column, kind="stable")
        with np.errstate(divide="ignore"):
            needed = threshold / (product * bound) * (1 - 1e-12)  # the last digit may err
        kept = np.searchsorted(-column[order], -needed, side="left")
        parents, ranks = counted(kept)
        rows = order[ranks]
        ions = np.column_stack([ions[parents], rows])
        product = product[parents] * column[rows]
    ions, product = ions[product > threshold], product[product > threshold]
    order = np.lexsort((*ions.T[::-1], -product))
    return Replacements(ions[order], product[order])


def ion_name(ion: str) -> str:
    """Name of an ion without a charge number of one: ``Na1+`` → ``Na+``; ``Cu0+`` → ``Cu0``.

    Raises:
        ValueError: if the text names no ion.
    """
    symbol, charge = _parts(ion)
    return write_ion(atomic_number(symbol), charge)


def ion_charge(ion: str) -> int:
    """Charge of an ion in e: ``O2-`` → -2, ``Cu0`` → 0.

    Raises:
        ValueError: if the text names no ion.
    """
    return _parts(ion)[1]


def _parts(ion: str) -> tuple[str, int]:
    match = _ION.fullmatch(ion)
    if match is None:
        raise ValueError(f"{ion!r} is no ion (write it as in 'Na+', 'Fe2+', 'O2-', 'Cu0')")
    symbol, number, sign = match.groups()
    atomic_number(symbol)
    if sign is None:
        return symbol, 0
    return symbol, int(number or 1) * (1 if sign == "+" else -1)
