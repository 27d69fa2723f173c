"""Learn from known crystals which prototypes occur, and which elements stand for each other there.

The likeness p(z | k) maximises the probability of every known crystal given the others of its
prototype (those of its own formula left out),

    log p(z_1 ... z_m) = log (1/n) sum over k of product over i of p(z_i | k_i),

by expectation maximisation (Dempster, Laird and Rubin, J. R. Stat. Soc. B 39, 1 (1977)): a known
crystal takes its share of each other one, and the shares of all pairs of elements are counted.  It
starts from elements that are alike by electronegativity, covalent radius, group, Mendeleev number
and oxidation states, and these stay in the counts as if seen ``smoothing`` times: what few crystals
tell of, they tell.

Volumes follow from the elements within a prototype: of a crystal k of prototype t,

    log (V / N)_k = c_t + sum over elements of x_z a_z,

x being atom fractions, a_z the same for all prototypes (least squares).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Shaped
from pydantic import BaseModel, ConfigDict, Field

from gnomon.crystals import Crystals
from gnomon.elements import COVALENT_RADII, MAX_Z, electronegativities, element
from gnomon.generate.prototypes.occurrence import MAX_SPECIES, NONE, Known, kept
from gnomon.run.listener import SILENT, Listener
from gnomon.structure.labels import prototype_label
from gnomon.structure.protostructures import protostructure
from gnomon.structure.symmetry import idealised

RELAXED = 0.1
"""Tolerance of the symmetry of known crystals, Å: their forces are not quite zero."""

VOLUME_PENALTY = 0.3
"""On the squares of what logarithms of volumes differ from those of cubed covalent radii by."""

LAST = 103
"""The last element whose descriptors are tabulated."""

UNLIKE = 1e-3
"""Share of all elements, by how often they occur, in what stands for any: nothing is ruled out."""


class LikenessConfig(BaseModel):
    """How likeness is learned.

    Trained on formula hashes under 60 of the Materials Project, the true prototypes of 60 to 74 are
    most likely with these among widths of 0.5 to 1.2, 3 to 30 and 1 to 4 steps; it matters little.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: float = Field(
        default=0.8, gt=0, description="of the likeness that it starts from, standard deviations"
    )
    smoothing: float = Field(default=10.0, gt=0, description="crystals that this start counts as")
    steps: int = Field(default=2, ge=0, description="of expectation maximisation")


@dataclass(frozen=True)
class Likelihood:
    """How probable the elements of known crystals are, given others of their prototypes.

    Attributes:
        crystals: how many have another one of their prototype.
        unseen: how many have none, and are not in the mean.
        per_crystal: mean log probability.
        of_any: the same if all elements were alike but for how often they occur.
    """

    crystals: int
    unseen: int
    per_crystal: float
    of_any: float


def known_crystals(
    crystals: Crystals, listener: Listener = SILENT, *, max_atoms: int = 24
) -> Known:
    """Each compound by its prototype and elements, once; of 2 to ``MAX_SPECIES`` elements.

    Args:
        crystals: the first of equal ones is kept.
        listener: hears of progress.
        max_atoms: of a primitive cell that is kept.
    """
    rows: dict[tuple[str, tuple[int, ...]], Crystals | None] = {}
    for i, crystal in enumerate(crystals):
        listener.tick("finding prototypes", i, len(crystals))
        label = prototype_label(protostructure(crystal, RELAXED))
        key = label.text, tuple(label.elements.tolist())
        if label.text and 2 <= len(label.elements) <= MAX_SPECIES and key not in rows:
            rows[key] = _cell(crystal, label.text, max_atoms)
    labels = tuple(sorted({label for label, _ in rows}))
    at = {label: i for i, label in enumerate(labels)}
    species = np.zeros((len(rows), MAX_SPECIES), np.uint8)
    for i, (_, elements) in enumerate(rows):
        species[i, : len(elements)] = elements
    has = np.array([cell is not None for cell in rows.values()], dtype=bool)
    cells = Crystals.concatenate([cell for cell in rows.values() if cell is not None])
    of = np.array([at[label] for label, _ in rows], np.int64)
    return Known(labels, of, species, cells, np.where(has, np.cumsum(has) - 1, NONE))


def _cell(crystal: Crystals, label: str, max_atoms: int) -> Crystals | None:
    """The primitive cell, exactly as symmetric as the label says; None if it is too large."""
    cell = idealised(crystal, RELAXED)
    if int(cell.n_atoms[0]) > max_atoms:
        return None
    cell = kept(cell)
    return cell if prototype_label(protostructure(cell)).text == label else None


def learn_volumes(known: Known) -> Float64[np.ndarray, " 119"]:
    """Logarithms of what each element takes of a crystal's volume, Å³ an atom.

    The cube of the covalent radius, in Å³, for elements that the crystals tell nothing of.
    """
    rows = known.cell != NONE
    cells, of = known.cells.take(known.cell[rows]), known.of[rows]
    n = np.maximum(np.bincount(of, minlength=len(known.labels)), 1)

    def within(values: Float64[np.ndarray, "k c"]) -> Float64[np.ndarray, "k c"]:
        """Less their mean over the crystals of the same prototype."""
        sums = np.zeros((len(n), values.shape[1]))
        np.add.at(sums, of, values)
        return values - (sums / n[:, None])[of]

    start = 3 * np.log(np.where(COVALENT_RADII > 0, COVALENT_RADII, 1.0))
    fractions = within(cells.fractions)
    left = within(np.log(cells.volumes / cells.n_atoms)[:, None])[:, 0] - fractions @ start
    normal = fractions.T @ fractions + VOLUME_PENALTY * np.eye(len(start))
    return np.asarray(start + np.linalg.solve(normal, fractions.T @ left), np.float64)


def learn_likeness(
    known: Known, config: LikenessConfig | None = None
) -> Float64[np.ndarray, "119 119"]:
    """p(z | k) for all pairs of elements, (z, k); columns sum to 1."""
    config = config or LikenessConfig()
    start = alike_by_descriptors(config.width)
    likeness = start
    for _ in range(config.steps):
        counts = config.smoothing * start
        for rows in known.by_label.values():
            species = known.species[rows]
            weights, others = _weights(likeness, species, species)
            share = weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-300)
            for column in species.T[: _width(species)]:
                np.add.at(counts, (column[:, None], column[None]), np.where(others, share, 0.0))
        likeness = counts / counts.sum(axis=0)
    return (1 - UNLIKE) * likeness + UNLIKE * known.frequency[:, None]


def likelihood(known: Known, likeness: Float64[np.ndarray, "119 119"], hidden: Known) -> Likelihood:
    """Mean log probability of the elements of crystals that taught nothing."""
    found, of_any = [], []
    for label, rows in hidden.by_label.items():
        if label not in known.by_label:
            continue
        ours, theirs = hidden.species[rows], known.species[known.by_label[label]]
        weights, others = _weights(likeness, ours, theirs)
        n = others.sum(axis=1)
        seen = n > 0
        found += np.log(weights.sum(axis=1)[seen] / n[seen]).tolist()
        by_frequency = known.frequency[ours[:, : _width(ours)]]
        of_any += np.log(by_frequency[seen]).sum(axis=1).tolist()
    mean = float(np.mean(found)) if found else np.nan
    base = float(np.mean(of_any)) if found else np.nan
    return Likelihood(len(found), len(hidden) - len(found), mean, base)


def alike_by_descriptors(width: float) -> Float64[np.ndarray, "119 119"]:
    """Columns of a Gaussian of the distance between elements' descriptors, which sum to 1.

    Elements beyond ``LAST`` are like themselves alone.
    """
    numbers = range(1, LAST + 1)
    chi = electronegativities()[1 : LAST + 1]
    states = [element(z).common_oxidation_states or (0,) for z in numbers]
    facts = np.array(
        [
            np.where(np.isfinite(chi), chi, np.nanmedian(chi)),
            np.log(COVALENT_RADII[1 : LAST + 1]),
            [element(z).group for z in numbers],
            [element(z).mendeleev_no for z in numbers],
            [max(q) for q in states],
            [min(q) for q in states],
        ],
        np.float64,
    )
    facts = (facts - facts.mean(axis=1, keepdims=True)) / facts.std(axis=1, keepdims=True)
    squares = np.sum((facts[:, :, None] - facts[:, None]) ** 2, axis=0)
    alike = np.eye(MAX_Z + 1)
    alike[1 : LAST + 1, 1 : LAST + 1] = np.exp(-squares / (2 * width**2))
    return alike / alike.sum(axis=0)


def _weights(
    likeness: Float64[np.ndarray, "119 119"],
    ours: Shaped[np.ndarray, "a s"],
    theirs: Shaped[np.ndarray, "b s"],
) -> tuple[Float64[np.ndarray, "a b"], Bool[np.ndarray, "a b"]]:
    """Product of p(z | k) over the positions, 0 for the same formula; which pairs are of two."""
    m = _width(ours)
    weights = likeness[ours[:, None, :m], theirs[None, :, :m]].prod(axis=2)
    others = np.any(np.sort(ours, axis=1)[:, None] != np.sort(theirs, axis=1)[None], axis=2)
    return np.where(others, weights, 0.0), others


def _width(species: Shaped[np.ndarray, "k s"]) -> int:
    """Positions of a prototype that these crystals, all of it, have."""
    return int((species[0] > 0).sum()) if len(species) else 0
