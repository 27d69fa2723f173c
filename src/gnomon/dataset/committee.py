"""Which crystals potentials disagree on: labels of those teach most.

Potentials that learned from like data agree where that data was, and differ away from it: query by
committee (Seung, Opper and Sompolinsky, COLT 1992, 287; for potentials Smith et al., J. Chem. Phys.
148, 241733 (2018)).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from gnomon.crystals import Crystals
from gnomon.dataset.labellers import Labeller, Reasons
from gnomon.io.labels import Labels
from gnomon.potential.predict import LoadedPotential

AGREED = "the committee agrees"
"""Reason of crystals that are not labelled."""


@dataclass(frozen=True)
class DisputedLabeller:
    """Labels by another labeller, but only of crystals that a committee disputes.

    Attributes:
        labeller: who labels those.
        committee: two potentials or more.
        dispute: least ``disagreement``, eV/Å.
    """

    labeller: Labeller
    committee: Sequence[LoadedPotential]
    dispute: float

    @property
    def scheme(self) -> str:
        """That of the labels."""
        return self.labeller.scheme

    def label(self, crystals: Crystals) -> tuple[Labels, Reasons]:
        """Labels of each disputed crystal; ``AGREED`` for the others."""
        asked = np.flatnonzero(disagreement(crystals, self.committee) >= self.dispute)
        labels = Labels.none(len(crystals), int(crystals.offsets[-1]))
        reasons = np.full(len(crystals), AGREED, object)
        if len(asked):
            found, reasons[asked] = self.labeller.label(crystals.take(asked))
            labels.put(crystals.offsets, asked, found)
        return labels, reasons


def disagreement(
    crystals: Crystals, committee: Sequence[LoadedPotential]
) -> Float64[np.ndarray, " n"]:
    """How far the forces of a committee lie apart at each crystal, eV/Å.

    The larger of max_i (mean_k |F_ki - <F_i>|²)^½ over the atoms i, with means over the members k:
    the model deviation of DP-GEN (Zhang et al., Comput. Phys. Commun. 253, 107206 (2020)); and of
    the same of the stress (Frobenius norm) times (V / n)^⅔, the pull on a face of an atom's share
    of the cell.  Energies do not count: their zeros differ from member to member.

    Returns:
        (n,), infinite where a member does not know an element, or finds no number.
    """
    known = np.logical_and.reduce([member.knows(crystals) for member in committee])
    found = np.full(len(crystals), np.inf)
    if not known.any():
        return found
    part = crystals.take(np.flatnonzero(known))
    labels = [member.predict(part) for member in committee]
    pulls = np.maximum.reduceat(_spread([label.forces for label in labels]), part.offsets[:-1])
    face = (part.volumes / part.n_atoms) ** (2 / 3)
    pushes = _spread([label.stress.reshape(-1, 9) for label in labels]) * face
    apart = np.maximum(pulls, pushes)
    found[known] = np.where(np.isfinite(apart), apart, np.inf)
    return found


def _spread(vectors: Sequence[Float64[np.ndarray, "n d"]]) -> Float64[np.ndarray, " n"]:
    """Root mean squared distance of the members' vectors from their mean."""
    given = np.stack(vectors)
    squares: Float64[np.ndarray, " n"] = ((given - given.mean(axis=0)) ** 2).sum(axis=-1)
    return np.sqrt(squares.mean(axis=0))
