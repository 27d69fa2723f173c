"""Learn which ions replace each other from crystals that share a prototype (Hautier et al. 2011).

    p(X, X') = exp(sum_i lambda_i f_i(X, X')) / Z        (Inorg. Chem. 50, 656, eq. 3)

X and X' are two crystals of one prototype, position by position.  The lambdas maximise the log
likelihood of all such pairs less an L2 penalty.  The features of a position are indicators of one
pair of ions each, so Z factorises over positions, and the maximum is found exactly.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from jaxtyping import Float64
from scipy.optimize import brentq
from scipy.special import logsumexp, wrightomega

from gnomon.chemistry.oxidation import ions
from gnomon.crystals import Crystals
from gnomon.elements import element
from gnomon.generate.substitution.limits import skipped_table
from gnomon.generate.substitution.model import SubstitutionModel, ion_charge
from gnomon.run.listener import SILENT, Listener
from gnomon.structure.protostructures import (
    Protostructure,
    distinct_relabellings,
    protostructure,
)
from gnomon.structure.symmetry import SYMPREC

L2 = 1.0
"""Strength of the penalty, in pairs of ions.

Trained on formula hashes under 65 of the Materials Project, 65 to 74 are most likely with 0.3 to 1
(0.1 and 3 lose 0.03 and 0.04 of the conditional log likelihood of a pair, 10 loses 0.2)."""

PrototypeKey = tuple[bool, int, tuple[tuple[int, ...], ...]]
"""Whether a metal, the space group, and the letters of each element's orbits.

The anonymous formula follows from the letters.  Metals and ionic compounds of one prototype are no
pairs: NaCl and a nitride of a metal without charges say nothing about what replaces a chloride.
"""


@dataclass(frozen=True)
class Labelled:
    """Crystals whose prototype and ions are known.

    Attributes:
        prototypes: of each crystal.
        ions: of each crystal, position by position: the same for all crystals of a prototype.
        skipped: the other crystals, and why (schema ``SKIPPED``).
    """

    prototypes: list[PrototypeKey]
    ions: list[tuple[str, ...]]
    skipped: pa.Table

    def with_ions(self, species: frozenset[str]) -> "Labelled":
        """Those all of whose ions are among these."""
        rows = [i for i, found in enumerate(self.ions) if species.issuperset(found)]
        return Labelled(
            [self.prototypes[i] for i in rows], [self.ions[i] for i in rows], self.skipped
        )


@dataclass(frozen=True, eq=False)
class IonPairs:
    """How often two ions stand at one position of two crystals of a prototype.

    Attributes:
        species: ions, sorted.
        counts: (n, n), symmetric; every pair of crystals is seen from both sides, so an unchanged
            ion counts twice.
        crystal_pairs: pairs of crystals.
    """

    species: tuple[str, ...]
    counts: Float64[np.ndarray, "n n"]
    crystal_pairs: int


@dataclass(frozen=True)
class Likelihood:
    """Mean log likelihood of a pair of crystals.

    Attributes:
        joint: log p(X, X'), what training maximises.
        conditional: log p(X | X'), what substitution uses; both directions.
        crystal_pairs: how many pairs.
    """

    joint: float
    conditional: float
    crystal_pairs: int


def label(crystals: Crystals, symprec: float = SYMPREC, listener: Listener = SILENT) -> Labelled:
    """Prototype and ions of each crystal: neutral in metals, see ``gnomon.chemistry.oxidation``."""
    prototypes, found, reasons = [], [], [""] * len(crystals)
    for i, (counts, crystal) in enumerate(zip(crystals.reduced_counts, crystals, strict=True)):
        listener.tick("finding prototypes", i, len(crystals))
        own = ions(counts)
        if own is None:
            reasons[i] = "no common oxidation states, one for each element, balance the charges"
            continue
        structure = protostructure(crystal, symprec)
        if structure.space_group == 0:
            reasons[i] = f"no symmetry found within {symprec} Å"
            continue
        key, order = _prototype(structure, own)
        prototypes.append(key)
        found.append(tuple(own[j] for j in order))
    return Labelled(prototypes, found, skipped_table(crystals, reasons))


def ion_pairs(labelled: Labelled, species: Sequence[str] | None = None) -> IonPairs:
    """Count pairs of ions over all pairs of crystals of one prototype.

    Crystals of one prototype and composition count once.

    Args:
        labelled: crystals.
        species: ions to count, all that occur if not given; it must hold all that occur.
    """
    groups: dict[PrototypeKey, set[tuple[str, ...]]] = defaultdict(set)
    for prototype, row in zip(labelled.prototypes, labelled.ions, strict=True):
        groups[prototype].add(row)
    names = tuple(sorted({ion for row in labelled.ions for ion in row} | set(species or ())))
    index = {ion: i for i, ion in enumerate(names)}
    counts = np.zeros((len(names), len(names)))
    pairs = 0
    for group in groups.values():
        pairs += len(group) * (len(group) - 1) // 2
        for position in zip(*group, strict=True):
            seen = Counter(position)
            at = np.array([index[ion] for ion in seen])
            n = np.array(list(seen.values()), dtype=np.float64)
            counts[np.ix_(at, at)] += np.outer(n, n) - np.diag(n)
    return IonPairs(names, counts, pairs)


def fit_weights(counts: Float64[np.ndarray, "n n"], l2: float) -> Float64[np.ndarray, "n n"]:
    """The lambdas at the minimum of minus the log likelihood plus l2/2 times the sum of squares.

    With N the sum of the counts N_ab, the gradient vanishes where

        lambda_ab + (N / (l2 Z)) exp(lambda_ab) = N_ab / l2,

    which Wright's omega function solves for a given Z; Z is then the root of one equation.

    Raises:
        ValueError: if l2 is not positive or there is nothing to learn from.
    """
    if not l2 > 0:
        raise ValueError(f"l2 must be positive, got {l2}")
    if not counts.sum() > 0:
        raise ValueError("no two crystals share a prototype: there is nothing to learn from")
    values, inverse, times = np.unique(counts, return_inverse=True, return_counts=True)

    def solved(log_z: float) -> Float64[np.ndarray, " u"]:
        return values / l2 - wrightomega(values / l2 + np.log(counts.sum() / l2) - log_z)

    def residual(log_z: float) -> float:
        return float(logsumexp(solved(log_z), b=times)) - log_z

    log_z = brentq(residual, -1e3, 1e3, xtol=1e-12)
    return solved(log_z)[inverse].reshape(counts.shape)


def train(labelled: Labelled, l2: float = L2) -> SubstitutionModel:
    """A table of lambdas, in Hautier's own reading.

    Lambdas are determined up to a constant; it is chosen so that a pair of ions seen once has 0:
    then clamping at 0 (GNoME) lifts what was never seen, and nothing else.

    Raises:
        ValueError: if l2 is not positive or no two crystals share a prototype.
    """
    pairs = ion_pairs(labelled)
    weights = fit_weights(pairs.counts, l2)
    seen = pairs.counts > 0
    weights = weights - weights[seen].min()
    return SubstitutionModel(pairs.species, weights, "hautier")


def log_likelihood(model: SubstitutionModel, labelled: Labelled) -> Likelihood:
    """Mean log likelihood of the pairs of crystals, in Hautier's own reading of the table.

    Raises:
        ValueError: if an ion is not in the table, or no two crystals share a prototype.
    """
    pairs = ion_pairs(labelled)
    missing = sorted(set(pairs.species) - set(model.species))
    if missing:
        raise ValueError(f"the table has no {', '.join(missing[:5])}: leave out such crystals")
    if not pairs.crystal_pairs:
        raise ValueError("no two crystals share a prototype")
    at = [model.index[ion] for ion in pairs.species]
    joint = model.weights - logsumexp(model.weights)
    conditional = model.weights - logsumexp(model.weights, axis=0)
    total = 2 * pairs.crystal_pairs  # counts see each pair from both sides
    return Likelihood(
        float((pairs.counts * joint[np.ix_(at, at)]).sum() / total),
        float((pairs.counts * conditional[np.ix_(at, at)]).sum() / total),
        pairs.crystal_pairs,
    )


def compare(
    first: SubstitutionModel, second: SubstitutionModel, labelled: Labelled
) -> tuple[Likelihood, Likelihood]:
    """Likelihoods of two tables on the same pairs, over the same ions: those that both know.

    Probabilities are those given that the ions are among these, so that a table that knows more
    ions is not at a disadvantage.

    Raises:
        ValueError: if no two crystals of common ions share a prototype.
    """
    common = tuple(sorted(set(first.species) & set(second.species)))
    inside = labelled.with_ions(frozenset(common))
    return log_likelihood(first.among(common), inside), log_likelihood(second.among(common), inside)


def _prototype(structure: Protostructure, own: Iterable[str]) -> tuple[PrototypeKey, list[int]]:
    """Key of a prototype, and the elements in the order of its positions.

    Positions that a change of origin exchanges (both of rock salt) are told apart by what stands on
    them: the ion of higher charge first, then by Pettifor's scale.
    """
    ranks = [
        # then Pettifor's scale of similarity (J. Phys. C 19, 285 (1986); noble gases first)
        (-ion_charge(ion), float(element(z).mendeleev_no))
        for ion, z in zip(own, structure.elements.tolist(), strict=True)
    ]
    ways = []
    for new in distinct_relabellings(structure.space_group, structure.orbits).tolist():
        lettered = [tuple(sorted(new[letter] for letter in o.tolist())) for o in structure.orbits]
        order = sorted(range(len(ranks)), key=lambda j: (lettered[j], ranks[j]))
        ways.append((tuple(lettered[j] for j in order), [ranks[j] for j in order], order))
    letters, _, order = min(ways)
    metal = all(charge == 0 for charge, _ in ranks)
    return (metal, structure.space_group, letters), order
