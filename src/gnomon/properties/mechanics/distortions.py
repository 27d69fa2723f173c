"""As few distortions of a crystal as tell its second derivatives, by its space group.

Coordinates q of a crystal are six of a symmetric strain (Mandel's order: xx yy zz, and yz xz xy
times the root of two) and three of each atom's displacement.  The space group acts on them by
orthogonal matrices D, with which the Hessian commutes.  Strains and displacements fall into
irreducible subspaces; a distortion has a part in one subspace of each kind (equal kinds have equal
characters), so that by Schur's lemma its images under the group tell the Hessian of all of them:

    H P = sum_g (D_g y) (D_g w)^T / |G|,    y = H v,    w = sum_k d_k v_k / |v_k|^2

with v_k the part of v in a subspace of d_k dimensions and P the projection on these subspaces.  As
many distortions are needed as the commonest kind has subspaces, each forth and back, unless an
operation turns it around.  Of rock salt one is enough, of a crystal without symmetry all 3 n + 3.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from gnomon.crystals import Crystals
from gnomon.dynamics.invariance import Invariance

VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))

MANDEL = np.sqrt([1, 1, 1, 2, 2, 2])
"""By what components in Voigt's order are multiplied, of strains and stresses alike."""

APART = 1e-7
"""Eigenvalues of a random matrix that commutes with the group are one if they are so close."""

SEED = 7
"""Of that matrix."""

SAME = 1e-5
"""Numbers that symmetry makes equal differ by less."""


def from_mandel(six: Float64[np.ndarray, "*n 6"]) -> Float64[np.ndarray, "*n 3 3"]:
    """Symmetric matrices of their six numbers."""
    full = np.zeros((*six.shape[:-1], 3, 3))
    for k, (i, j) in enumerate(VOIGT):
        full[..., i, j] = full[..., j, i] = six[..., k] / MANDEL[k]
    return full


def to_mandel(full: Float64[np.ndarray, "*n 3 3"]) -> Float64[np.ndarray, "*n 6"]:
    """The six numbers of symmetric matrices."""
    return np.stack([full[..., i, j] for i, j in VOIGT], axis=-1) * MANDEL


@dataclass(frozen=True, eq=False)
class Action:
    """The space group of one crystal, as it acts on strains and displacements.

    Attributes:
        strains: matrices on Mandel's six numbers.
        turns: of Cartesian vectors.
        images: atom ``images[k, i]`` is where operation k takes atom i.
    """

    strains: Float64[np.ndarray, "k 6 6"]
    turns: Float64[np.ndarray, "k 3 3"]
    images: Int64[np.ndarray, "k atoms"]

    @classmethod
    def of(cls, lattice: Float64[np.ndarray, "3 3"], invariance: Invariance) -> Action:
        """Of the operations of a crystal whose lattice (Å) obeys them."""
        turns = np.einsum("ji,kjm,nm->kin", lattice, invariance.rotations, np.linalg.inv(lattice))
        bases = from_mandel(np.eye(6))
        turned = np.einsum("kij,bjm,knm->kbin", turns, bases, turns)
        return cls(np.swapaxes(to_mandel(turned), 1, 2), turns, invariance.images)

    def __len__(self) -> int:
        return len(self.turns)

    def images_of(self, q: Float64[np.ndarray, "*n m"]) -> Float64[np.ndarray, "k *n m"]:
        """Where the operations take coordinates."""
        return np.array([self.image(k, q) for k in range(len(self))])

    def image(self, k: int, q: Float64[np.ndarray, "*n m"]) -> Float64[np.ndarray, "*n m"]:
        """Where operation k takes them."""
        moved = np.empty((*q.shape[:-1], self.images.shape[1], 3))
        moved[..., self.images[k], :] = q[..., 6:].reshape(moved.shape) @ self.turns[k].T
        strained = q[..., :6] @ self.strains[k].T
        return np.concatenate([strained, moved.reshape(*q.shape[:-1], -1)], axis=-1)

    def commuting(self, matrix: Float64[np.ndarray, "m m"]) -> Float64[np.ndarray, "m m"]:
        """The part of a matrix over all coordinates that commutes with the group."""
        total = np.zeros_like(matrix)
        for k in range(len(self)):
            total += self.image(k, self.image(k, matrix.T).T)
        return total / len(self)


@dataclass(frozen=True, eq=False)
class Distortion:
    """One distortion.

    Attributes:
        q: coordinates: strain (1, Mandel), displacements (Å).
        dual: w above.
        back: the operation that turns it around, or None.
    """

    q: Float64[np.ndarray, " m"]
    dual: Float64[np.ndarray, " m"]
    back: int | None

    @property
    def count(self) -> int:
        """Cells to be evaluated: forth and back, unless symmetry knows of the way back."""
        return 2 if self.back is None else 1

    def cells(self, crystal: Crystals) -> Crystals:
        """The crystal so distorted, once or twice."""
        lattice, numbers, frac_coords = crystal.arrays(0)
        made = []
        for sign in (1.0, -1.0)[: self.count]:
            stretch = np.eye(3) + sign * from_mandel(self.q[:6])
            places = frac_coords @ lattice + sign * self.q[6:].reshape(-1, 3)
            fractions = places @ np.linalg.inv(lattice)
            made.append(Crystals.single(lattice @ stretch, numbers, fractions % 1.0))
        return Crystals.concatenate(made)


def distortions(action: Action, strain: float, distance: float) -> list[Distortion]:
    """Distortions whose images span all strains and all displacements but translations.

    Args:
        action: of the space group.
        strain: size of each part of a distortion that strains.
        distance: Å; by which each part that displaces moves its farthest atom.
    """
    kinds: dict[tuple[float, ...], list[Float64[np.ndarray, "m d"]]] = {}
    for subspace in _irreducible(action):
        character = np.einsum("dm,kdm->k", subspace.T, action.images_of(subspace.T))
        kinds.setdefault(tuple(np.round(character, 3) + 0.0), []).append(subspace)
    trivial = len(kinds.get((1.0,) * len(action), ()))
    made = []
    for j in range(max(map(len, kinds.values()))):
        subspaces = [members[j] for members in kinds.values() if len(members) > j]
        turned = None if j < trivial else next(_turned_around(action, subspaces), None)
        back, vectors = turned or (None, [subspace[:, 0] for subspace in subspaces])
        parts = [_sized(v, strain, distance) for v in vectors]
        duals = [s.shape[1] * p / (p @ p) for s, p in zip(subspaces, parts, strict=True)]
        made.append(Distortion(np.sum(parts, axis=0), np.sum(duals, axis=0), back))
    return made


def hessian(
    action: Action,
    made: list[Distortion],
    answers: list[list[Float64[np.ndarray, " m"]]],
) -> Float64[np.ndarray, "m m"]:
    """Second derivatives by all coordinates, from the gradients in distorted crystals.

    Args:
        action: of the space group.
        made: distortions.
        answers: of each, the gradient in each of its ``cells``.
    """
    total = np.zeros((len(made[0].q),) * 2)
    for one, gradients in zip(made, answers, strict=True):
        back = gradients[1] if one.back is None else action.images_of(gradients[0])[one.back]
        change = (gradients[0] - back) / 2
        total += action.images_of(change).T @ action.images_of(one.dual) / len(action)
    return (total + total.T) / 2


def _irreducible(action: Action) -> Iterator[Float64[np.ndarray, "m d"]]:
    """Orthonormal bases of irreducible subspaces, of strains and then of displacements."""
    size = 6 + 3 * action.images.shape[1]
    drawn = np.random.default_rng(SEED).normal(size=(size, size))
    drawn = drawn @ drawn.T / size + np.eye(size)
    drawn[:6, 6:] = drawn[6:, :6] = 0.0
    drawn = action.commuting(drawn)
    shift = np.tile(np.eye(3), (1, size // 3 - 2))
    still = np.eye(size - 6) - shift.T @ shift / shift.shape[1] * 3
    drawn[6:, 6:] = still @ drawn[6:, 6:] @ still
    for begin, end in ((0, 6), (6, size)):
        values, vectors = np.linalg.eigh(drawn[begin:end, begin:end])
        cuts = np.flatnonzero(np.diff(values) > APART * values[-1]) + 1
        for part in np.split(np.arange(end - begin), cuts):
            if len(part) and values[part[0]] > SAME:
                whole = np.zeros((size, len(part)))
                whole[begin:end] = vectors[:, part]
                yield whole


def _turned_around(
    action: Action, subspaces: list[Float64[np.ndarray, "m d"]]
) -> Iterator[tuple[int, list[Float64[np.ndarray, " m"]]]]:
    """Operations that turn around a vector of each subspace, and these vectors."""
    for k in range(len(action)):
        vectors = []
        for subspace in subspaces:
            matrix = subspace.T @ action.image(k, subspace.T).T
            _, sizes, right = np.linalg.svd(matrix + np.eye(len(matrix)))
            if sizes[-1] > SAME:
                break
            vectors.append(subspace @ right[-1])
        else:
            yield k, vectors


def _sized(
    vector: Float64[np.ndarray, " m"], strain: float, distance: float
) -> Float64[np.ndarray, " m"]:
    """A pure strain or displacement, made so large."""
    if np.any(vector[:6]):
        return strain * vector / np.linalg.norm(vector[:6])
    moved = np.linalg.norm(vector[6:].reshape(-1, 3), axis=1).max()
    return distance * vector / moved
