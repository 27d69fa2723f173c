"""How often prototypes occur in known crystals of like elements.

A known crystal is a prototype's label and the elements on its positions.  For a candidate of the
same label, element z_i where the known crystal k has k_i, it counts as

    w_k = product over i of p(z_i | k_i) / p(z_i),

with p(z | k) the learned probability that element z stands where a crystal of the same prototype
has element k, and p(z) how often z occurs: a kernel estimate of a density over elements (Aitchison
and Aitken, Biometrika 63, 413 (1976)).  The sum of w over the known crystals of the label says how
often the prototype occurs in this chemistry.  Radii, electronegativities and valences come in
through p(z | k) (``learning``).

The cells of the known crystals are kept too, so that what is likely can be made (``likely``).
"""

from __future__ import annotations

import re
import zlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64, Integer, Shaped, UInt8

from gnomon.crystals import Crystals
from gnomon.elements import MAX_Z, reduced_formula
from gnomon.structure.labels import PrototypeLabel

BUNDLED = "prototypes-2"
"""What comes in the package, learned from the Materials Project; its card says from what."""

KIND = "prototypes"

AT_ONCE = 1 << 20
"""Pairs of elements that are looked up at a time."""

MAX_SPECIES = 5
"""Most elements of a crystal that is counted: those that are alike are tried in all orders."""

STEPS = 2**16
"""Steps a lattice vector is divided into where coordinates are kept: 1e-4 Å."""

NONE = -1
"""In place of the cell of a crystal whose cell is not kept."""


@dataclass(frozen=True, eq=False)
class Known:
    """Known crystals, each by its prototype and the elements on it.

    Attributes:
        labels: of prototypes (``gnomon.structure.labels``), distinct.
        of: (k,), the label of each crystal, as a position in ``labels``.
        species: (k, ``MAX_SPECIES``), atomic numbers in the order of the label, 0 beyond.
        cells: primitive cells, of those that are small.
        cell: (k,), the cell of each crystal, as a position in ``cells``, or ``NONE``.
    """

    labels: tuple[str, ...]
    of: Int64[np.ndarray, " k"]
    species: UInt8[np.ndarray, "k s"]
    cells: Crystals
    cell: Int64[np.ndarray, " k"]

    def __len__(self) -> int:
        """Number of crystals."""
        return len(self.of)

    @cached_property
    def by_label(self) -> dict[str, Int64[np.ndarray, " _"]]:
        """The crystals of each label."""
        rows: dict[str, list[int]] = defaultdict(list)
        for row, i in enumerate(self.of.tolist()):
            rows[self.labels[i]].append(row)
        return {label: np.array(found, np.int64) for label, found in rows.items()}

    @cached_property
    def reduced_formulas(self) -> Shaped[np.ndarray, " k"]:
        """Of the crystals."""
        amounts = [
            [int(n or 1) for n in re.findall("[A-Z]([0-9]*)", label.partition("_")[0])]
            for label in self.labels
        ]
        rows = zip(self.species.tolist(), self.of.tolist(), strict=True)
        counts = [tuple(sorted(zip(zs, amounts[i], strict=False))) for zs, i in rows]
        return np.array([reduced_formula(c) for c in counts], dtype=object)

    def without(self, reduced_formula: str) -> Known:
        """The crystals of other compositions."""
        return self.take(self.reduced_formulas != reduced_formula)

    def take(self, rows: Bool[np.ndarray, " k"]) -> Known:
        """Those where a mask is true."""
        return replace(self, of=self.of[rows], species=self.species[rows], cell=self.cell[rows])

    @cached_property
    def frequency(self) -> Float64[np.ndarray, " 119"]:
        """Share of each element among all positions, one more counted of each."""
        n = np.bincount(self.species[self.species > 0], minlength=MAX_Z + 1) + 1.0
        n[0] = 0.0
        return np.asarray(n / n.sum(), np.float64)


@dataclass(frozen=True, eq=False)
class Occurrence:
    """Counts prototypes in known crystals, weighed by the likeness of elements.

    Attributes:
        known: the crystals.
        likeness: (119, 119), entry (z, k) is p(z | k); columns sum to 1.
        frequency: (119,), p(z).
        volumes: (119,), logarithms of what each element takes of a crystal's volume, Å³ an atom.
        card: what it was learned from, for people to read.
    """

    known: Known
    likeness: Float64[np.ndarray, "119 119"]
    frequency: Float64[np.ndarray, " 119"]
    volumes: Float64[np.ndarray, " 119"]
    card: dict[str, Any]

    def count(self, label: PrototypeLabel) -> float:
        """How often a prototype occurs with such elements; 0 for more than ``MAX_SPECIES``."""
        return float(self.counts(label.text, label.orders[None])[0])

    def counts(self, label: str, orders: Integer[np.ndarray, "k o m"]) -> Float64[np.ndarray, " k"]:
        """The same of k crystals of one prototype, each by its elements in all their o orders."""
        rows = self.known.by_label.get(label)
        if rows is None:
            return np.zeros(len(orders))
        species = self.known.species[rows, : orders.shape[2]]
        most = max(1, AT_ONCE // max(1, orders[0].size * len(rows)))
        parts = [
            self.ratio[orders[i : i + most, :, None], species].prod(axis=3).sum(axis=(1, 2))
            for i in range(0, len(orders), most)
        ]
        return np.concatenate(parts) if parts else np.zeros(0)

    @cached_property
    def ratio(self) -> Float64[np.ndarray, "119 119"]:
        """p(z | k) / p(z), entry (z, k)."""
        ratio = np.zeros_like(self.likeness)
        ratio[1:] = self.likeness[1:] / self.frequency[1:, None]
        return ratio

    def save(self, path: Path) -> None:
        """Write everything to a file, which appears whole or not at all."""
        from gnomon.learn.model_file import write_model_file  # loads JAX

        arrays = {
            "labels": np.frombuffer(zlib.compress("\n".join(self.known.labels).encode()), np.uint8),
            "of": self.known.of.astype(np.uint16),
            "species": self.known.species,
            "likeness": self.likeness.astype(np.float16),
            "frequency": self.frequency,
            "volumes": self.volumes,
            "cell": self.known.cell.astype(np.int32),
            **_packed(self.known.cells),
        }
        write_model_file(path, {"kind": KIND, "card": self.card}, arrays)

    @classmethod
    @cache
    def load(cls, name_or_path: str | Path = BUNDLED) -> Occurrence:
        """What ``save`` wrote, or the one in the package by its name.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if it is no file of this kind.
        """
        from gnomon.learn.model_file import ModelFileError, read_model_file  # loads JAX

        file = read_model_file(_path(name_or_path))
        if file.about.get("kind") != KIND:
            raise ModelFileError(
                f"{file.path} holds no counts of prototypes but a model of the kind "
                f"{file.about.get('kind')}: `gnomon model train prototypes` makes one"
            )
        arrays = {name.strip("[']"): array for name, array in file.arrays.items()}
        labels = zlib.decompress(arrays["labels"].tobytes()).decode().split("\n")
        of, cell = arrays["of"].astype(np.int64), arrays["cell"].astype(np.int64)
        known = Known(tuple(labels), of, arrays["species"], _unpacked(arrays), cell)
        likeness = arrays["likeness"].astype(np.float64)
        return cls(known, likeness, arrays["frequency"], arrays["volumes"], file.about["card"])


def kept(crystals: Crystals) -> Crystals:
    """Crystals as they come back from a file."""
    return _unpacked(_packed(crystals))


def _packed(crystals: Crystals) -> dict[str, np.ndarray]:
    steps = np.rint(crystals.frac_coords % 1.0 * STEPS).astype(np.int64) % STEPS
    return {
        "lattice": crystals.lattice.astype(np.float32),
        "atoms": crystals.n_atoms.astype(np.uint16),
        "atomic_numbers": crystals.atomic_numbers,
        "steps": steps.astype(np.uint16),
    }


def _unpacked(arrays: Mapping[str, np.ndarray]) -> Crystals:
    return Crystals(
        lattice=arrays["lattice"].astype(np.float64),
        atomic_numbers=arrays["atomic_numbers"],
        frac_coords=arrays["steps"] / STEPS,
        offsets=np.concatenate([[0], np.cumsum(arrays["atoms"], dtype=np.int64)]),
    )


def _path(name_or_path: str | Path) -> Path:
    if str(name_or_path) != BUNDLED:
        if not Path(name_or_path).is_file():
            raise FileNotFoundError(
                f"no file {name_or_path}: name {BUNDLED}, or a file of "
                "`gnomon model train prototypes`"
            )
        return Path(name_or_path)
    return Path(str(resources.files("gnomon.generate.prototypes") / f"data/{BUNDLED}.gnomon"))
