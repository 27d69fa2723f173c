"""Ranking before a campaign has labels of its own: what known crystals and networks let expect.

The log odds that a candidate is a stable phase are a weighted sum of

    log(1 + count), how often its prototype occurs in known crystals of like elements,
    the number of its elements,
    whether it is a salt whose charges do not balance,
    tanh(E / 0.1 eV/atom) for each network in the package.

E is the energy above the hull of the network's own predictions, the elements at zero: networks are
of other energy schemes than the campaign, which never meet.  Their energies say little of crystals
far above the hull, which the hyperbolic tangent takes for equal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float64

from gnomon.chemistry.oxidation import IONIC, oxidation_states
from gnomon.crystals import Crystals
from gnomon.generate.prototypes.occurrence import Occurrence
from gnomon.hull.convex import Hull
from gnomon.hull.phases import Phases, missing_elements
from gnomon.models import EnergyModel
from gnomon.models.bundled import BUNDLED
from gnomon.models.structural.augment import AugmentConfig, ScalableModel, predict_augmented
from gnomon.structure.labels import PrototypeLabel, prototype_label
from gnomon.structure.protostructures import protostructure

WEIGHTS = np.array([1.2, -1.7, -0.2, -0.6, -0.5])
"""Of the columns of ``evidence``: the most likely ones on systems of the Materials Project whose
formulas' hashes are below 75 (``python benchmarks/first_tries.py --fit``), rounded; measured with
the networks structural-1 and composition-1 at the volumes as proposed."""

SCALE = 0.1
"""eV/atom."""

VOLUMES = AugmentConfig(scalings=5, low=0.88, high=1.12)
"""The lowest energy over these counts: radii give volumes within 6 % at the median."""

AGAIN = np.log(10)
"""What each further candidate of one prototype with the same elements loses: as a rule it relaxes
into the same crystal as the one before."""


def bundled_models() -> list[EnergyModel]:
    """The networks in the package."""
    # JAX: seconds to import
    from gnomon.models.ensemble import load_model

    return [load_model(name) for name in BUNDLED]


def log_odds(
    crystals: Crystals, occurrence: Occurrence, models: Sequence[EnergyModel]
) -> Float64[np.ndarray, " n"]:
    """Log odds that each is a stable phase, up to a constant: higher is better.

    Args:
        crystals: n candidates, as proposed.
        occurrence: of prototypes in known crystals.
        models: the networks in the package.
    """
    labels = labels_of(crystals)
    counts = np.array([occurrence.count(label) for label in labels], dtype=np.float64)
    return one_after_the_other(evidence(crystals, counts, models) @ WEIGHTS, labels)


def one_after_the_other(
    odds: Float64[np.ndarray, " n"], labels: Sequence[PrototypeLabel]
) -> Float64[np.ndarray, " n"]:
    """Log odds less ``AGAIN`` for each better one of the same prototype and elements."""
    found = odds.copy()
    turns: Counter[tuple[str, tuple[int, ...]]] = Counter()
    for i in np.argsort(-odds, kind="stable").tolist():
        kind = labels[i].text, tuple(labels[i].elements.tolist())
        found[i] -= AGAIN * turns[kind]
        turns[kind] += bool(kind[0])
    return found


def labels_of(crystals: Crystals) -> list[PrototypeLabel]:
    """The prototype of each."""
    return [prototype_label(protostructure(crystal)) for crystal in crystals]


def evidence(
    crystals: Crystals, counts: Float64[np.ndarray, " n"], models: Sequence[EnergyModel]
) -> Float64[np.ndarray, "n c"]:
    """What speaks for and against each candidate, in the columns of ``WEIGHTS``.

    Args:
        crystals: n candidates.
        counts: how often the prototype of each occurs.
        models: the networks; what one cannot predict counts as far above its hull.
    """
    n_elements = (crystals.composition > 0).sum(axis=1)
    columns = [np.log1p(counts), n_elements, unbalanced(crystals)]
    for model in models:
        above = above_own_hull(model, crystals)
        columns.append(np.where(np.isfinite(above), np.tanh(above / SCALE), 1.0))
    return np.column_stack(columns).astype(np.float64)


def unbalanced(crystals: Crystals) -> Bool[np.ndarray, " n"]:
    """Which hold an element that makes no metals, in amounts that no common states balance."""
    return np.array(
        [
            any(z in IONIC for z, _ in counts) and oxidation_states(counts) is None
            for counts in crystals.reduced_counts
        ],
        dtype=bool,
    )


def expected_energies(model: EnergyModel, crystals: Crystals) -> Float64[np.ndarray, " n"]:
    """Energies that a model says candidates will have, eV/atom; NaN where it says none.

    Volumes of candidates are guessed: a model of structures is asked at several.
    """
    if isinstance(model, ScalableModel):
        return predict_augmented(model, crystals, VOLUMES).predictions.median
    return model.predict(crystals).median


def above_own_hull(model: EnergyModel, crystals: Crystals) -> Float64[np.ndarray, " n"]:
    """Energy above the hull of the model's own predictions, eV/atom; NaN where it has none."""
    energies = expected_energies(model, crystals)
    sure = np.flatnonzero(np.isfinite(energies))
    above = np.full(len(crystals), np.nan)
    if len(sure):
        composition = crystals.composition[sure]
        own = Phases(crystals.ids[sure], composition, energies[sure], model.scheme)
        elements = missing_elements(own.take([]), composition)  # whatever the network says of them
        hull = Hull(Phases.concatenate([own, elements]))
        above[sure] = hull.e_above_hull(composition, energies[sure])
    return above
