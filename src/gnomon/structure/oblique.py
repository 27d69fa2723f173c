"""Changes of basis that re-letter triclinic and monoclinic Wyckoff positions.

A standard cell of these groups may be chosen in many ways, (a + c, b, c) for (a, b, c), and which
one is taken follows from lengths and angles.  Tables of equivalent letterings, pymatgen's among
them, hold the shifts of the origin only; here are the bases (affine normalisers: International
Tables A, section 3.5).
"""

import itertools
from functools import cache

import numpy as np
import spglib
from jaxtyping import Int64

SPECIAL: dict[int, str] = {
    2: "a 000 b 002 c 020 d 200 e 220 f 202 g 022 h 222",
    3: "a 0y0 b 0y2 c 2y0 d 2y2",
    5: "a 0y0 b 0y2",
    6: "a x0z b x2z",
    8: "a x0z",
    10: "a 000 b 020 c 002 d 200 e 220 f 022 g 202 h 222 i 0y0 j 2y0 k 0y2 l 2y2 m x0z n x2z",
    11: "a 000 b 200 c 002 d 202 e x1z",
    12: "a 000 b 020 c 002 d 022 e 110 f 112 g 0y0 h 0y2 i x0z",
    13: "a 000 b 220 c 020 d 200 e 0y1 f 2y1",
    14: "a 000 b 200 c 002 d 202",
    15: "a 000 b 020 c 110 d 112 e 0y1",
}
"""Special positions in quarters of the cell, a letter where the coordinate is free: International
Tables A (2016), unique axis b, cell choice 1."""

HALL = {2: 2, 3: 3, 5: 9, 6: 18, 8: 30, 10: 57, 11: 60, 12: 63, 13: 72, 14: 81, 15: 90}
"""spglib's numbers of these settings."""

Position = tuple[int | None, ...]
Operation = tuple[Int64[np.ndarray, "3 3"], Int64[np.ndarray, " 3"]]
"""A rotation, and a translation in quarters."""
Letters = dict[str, str]


@cache
def basis_changes(space_group: int) -> tuple[Letters, ...]:
    """What becomes of the letters of special positions under changes of basis.

    Bases with entries of -2 to 2 are tried; a longer change is a product of these.
    """
    if space_group not in SPECIAL:
        return ({},)
    words = SPECIAL[space_group].split()
    read = [tuple(int(c) if c.isdigit() else None for c in text) for text in words[1::2]]
    positions: dict[str, Position] = dict(zip(words[::2], read, strict=True))
    operations = _operations(space_group)
    letter_of = {
        _moved(position, rotation, translation): letter
        for letter, position in positions.items()
        for rotation, translation in operations
    }
    found = {}
    for basis in _bases(space_group):
        if not _kept(basis, operations):
            continue
        images = {letter: _moved(p, basis) for letter, p in positions.items()}
        if all(image in letter_of for image in images.values()):
            change = {letter: letter_of[image] for letter, image in images.items()}
            found[tuple(change.values())] = change
    return tuple(found.values())


def _operations(space_group: int) -> list[Operation]:
    found = spglib.get_symmetry_from_database(HALL[space_group])
    rotations = np.asarray(found["rotations"], np.int64)
    translations = np.rint(np.asarray(found["translations"]) * 4).astype(np.int64)
    return list(zip(rotations, translations, strict=True))


def _bases(space_group: int) -> list[Int64[np.ndarray, "3 3"]]:
    """Unimodular matrices: all small ones of three axes, or of a and c where b is unique."""
    bases = []
    if space_group <= 2:
        for i, j in itertools.permutations(range(3), 2):
            shear = np.eye(3, dtype=np.int64)
            shear[i, j] = 1
            bases.append(shear)
        return bases
    for p, q, r, s in itertools.product(range(-2, 3), repeat=4):
        if abs(p * s - q * r) == 1:
            bases.append(np.array([[p, 0, q], [0, 1, 0], [r, 0, s]]))
    return bases


def _kept(basis: Int64[np.ndarray, "3 3"], operations: list[Operation]) -> bool:
    """Whether x → basis x takes the group to itself."""
    inverse = np.rint(np.linalg.inv(basis)).astype(np.int64)
    own = {(r.tobytes(), (t % 4).tobytes()) for r, t in operations}
    moved = (((basis @ r @ inverse).tobytes(), ((basis @ t) % 4).tobytes()) for r, t in operations)
    return all(operation in own for operation in moved)


def _moved(
    position: Position,
    matrix: Int64[np.ndarray, "3 3"],
    shift: Int64[np.ndarray, " 3"] | None = None,
) -> Position:
    """The position after x → matrix x + shift; free coordinates mix among themselves alone."""
    known = np.array([0 if c is None else c for c in position])
    image = matrix @ known + (0 if shift is None else shift)
    return tuple(
        None if c is None else int(value) % 4 for c, value in zip(position, image, strict=True)
    )
