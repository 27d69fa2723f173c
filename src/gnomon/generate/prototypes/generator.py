"""Prototypes: the AFLOW library of crystal structures, decorated with the elements of a system.

The library is the one that pymatgen ships (Mehl et al., Comput. Mater. Sci. 136, S1 (2017)): 288
structures of one to five species, among them the elements' own (fcc, bcc, hcp, diamond, ...).
Elements come in a few common structures and in their measured ground state.
"""

import gzip
import importlib.util
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
from jaxtyping import Float64, Int64

from gnomon.chemistry.ground_states import (
    A6,
    BONDS,
    CLOSE_PACKED,
    COMMON,
    CONTACTS,
    FCC,
    GROUND_STATES,
    HCP,
    MEASURED,
    LabelAndCompound,
    MeasuredCell,
    atomic_volume,
    second_packing,
    sort_of,
)
from gnomon.crystals import Crystals
from gnomon.elements import COVALENT_RADII, SYMBOLS, atomic_number
from gnomon.generate import CHUNK, LINEAGE, Candidates
from gnomon.generate.chunks import rechunk
from gnomon.generate.registry import GeneratorSettings
from gnomon.structure.contacts import closest_distances, touching_scale
from gnomon.structure.symmetry import canonical_ids, primitive

COMPARISON_DISTANCE = 2.5
"""Å between the closest sites when two prototypes are compared: a usual bond length."""


@dataclass(frozen=True)
class Prototype:
    """A crystal structure without its elements.

    Attributes:
        label: AFLOW's label, such as ``AB3_cP4_221_a_c``.
        compound: reduced formula of the compound in the library, such as ``Cu3Au``.
        crystal: primitive cell, a batch of one; atomic number i + 1 stands for letter i of the
            label, so these numbers name no elements.
        distances: (m, m), shortest distances between the species, Å.
        decorations: rows of the species' permutations that give different crystals, from this and
            from all simpler prototypes: letter i takes element ``row[i]`` of a sorted choice.
    """

    label: str
    compound: str
    crystal: Crystals
    distances: Float64[np.ndarray, "m m"]
    decorations: Int64[np.ndarray, "d m"]

    @property
    def n_atoms(self) -> int:
        """Atoms in the primitive cell."""
        return int(self.crystal.n_atoms[0])

    @property
    def simplicity(self) -> float:
        """Small cells first, of equals those of high symmetry: what nature prefers, too."""
        return simplicity(self.n_atoms, self.label)

    def choices(self, numbers: Sequence[int]) -> Iterator[Int64[np.ndarray, "k m"]]:
        """Elements for the letters, every choice in every decoration, ``CHUNK`` rows at most.

        Rows come as they are needed: four of eighty elements are 1.6 million choices.

        Args:
            numbers: atomic numbers to choose from, ascending.
        """
        n_species = self.decorations.shape[1]
        every = itertools.combinations(numbers, n_species)
        some = max(1, CHUNK // len(self.decorations))
        while chosen := list(itertools.islice(every, some)):
            yield np.array(chosen)[:, self.decorations].reshape(-1, n_species)

    def decorate(self, elements: Int64[np.ndarray, "k m"]) -> Crystals:
        """Crystals in which letter i is ``elements[:, i]``, scaled until covalent spheres touch."""
        lattice, letters, frac_coords = self.crystal.arrays(0)
        k, n = len(elements), len(letters)
        scale = touching_scale(self.distances, COVALENT_RADII[elements])
        return Crystals(
            lattice=lattice * scale[:, None, None],
            atomic_numbers=elements[:, letters.astype(np.int64) - 1].reshape(-1),
            frac_coords=np.tile(frac_coords, (k, 1)),
            offsets=np.arange(k + 1) * n,
        )


def simplicity(n_atoms: int, label: str) -> float:
    """Minus the atoms of the primitive cell, plus a thousandth of the label's space group."""
    return -n_atoms + int(label.split("_")[2]) / 1000


@dataclass(frozen=True)
class ElementalStructure:
    """A crystal of one element at a sensible size.

    Attributes:
        crystal: primitive cell, a batch of one.
        label: AFLOW's label.
        origin: where the cell comes from, for people to read.
    """

    crystal: Crystals
    label: str
    origin: str

    @property
    def simplicity(self) -> float:
        """As of a prototype."""
        return simplicity(int(self.crystal.n_atoms[0]), self.label)


@dataclass(frozen=True)
class PrototypeGenerator:
    """Every inequivalent decoration of every prototype with the elements of a chemical system.

    A system of k elements takes all prototypes of 2 to k species and of each element its
    ``elemental_structures``, so that its subsystems come along.  Cells of compounds are primitive
    and scaled isotropically until the closest contact equals the sum of covalent radii (Cordero
    2008).

    Attributes:
        system: element symbols, such as ``("Au", "Cu")``.
        max_atoms: the largest primitive cell used, but for the ground states of the elements.

    Raises:
        ValueError: for an unknown or a repeated element, an empty system or ``max_atoms`` < 1.
    """

    system: tuple[str, ...]
    max_atoms: int = 24
    name: ClassVar[str] = "prototypes"

    def __post_init__(self) -> None:
        for symbol in self.system:
            atomic_number(symbol)
        if not self.system or len(set(self.system)) != len(self.system):
            raise ValueError(f"a system takes each element once, at least one; got {self.system}")
        if self.max_atoms < 1:
            raise ValueError(f"max_atoms must be at least 1, got {self.max_atoms}")

    def generate(self, parents: Crystals, *, seed: int = 0) -> Iterator[Candidates]:
        """Yield all candidates, simple cells first; parents and seed have no influence."""
        yield from rechunk(self._decorated(), CHUNK)

    def _decorated(self) -> Iterator[Candidates]:
        numbers = np.array(sorted(atomic_number(s) for s in self.system))
        for z in numbers.tolist():
            for structure in elemental_structures(SYMBOLS[z], self.max_atoms):
                yield Candidates(structure.crystal, self._elemental_lineage(structure))
        for n_species in range(2, len(numbers) + 1):
            for prototype in prototypes(n_species, self.max_atoms):
                for elements in prototype.choices(numbers.tolist()):
                    crystals = prototype.decorate(elements)
                    yield Candidates(crystals, self._lineage(prototype, elements, crystals))

    def _elemental_lineage(self, structure: ElementalStructure) -> pa.Table:
        return self._rows(structure.crystal, [structure.origin], structure.simplicity)

    def _lineage(
        self, prototype: Prototype, elements: Int64[np.ndarray, "k m"], crystals: Crystals
    ) -> pa.Table:
        start = f"AFLOW {prototype.label} ({prototype.compound}): "
        changes = [
            start + ", ".join(f"{chr(ord('A') + i)}={SYMBOLS[z]}" for i, z in enumerate(row))
            for row in elements.tolist()
        ]
        return self._rows(crystals, changes, prototype.simplicity)

    def _rows(self, crystals: Crystals, changes: list[str], score: float) -> pa.Table:
        return pa.table(
            {
                "id": crystals.ids.tolist(),
                "parent_id": [None] * len(crystals),
                "generator": [self.name] * len(crystals),
                "change": changes,
                "score": [score] * len(crystals),
            },
            schema=LINEAGE,
        )


def make(settings: GeneratorSettings) -> PrototypeGenerator:
    """The generator of a campaign."""
    return PrototypeGenerator(settings.system, settings.max_atoms)


def elemental_structures(symbol: str, max_atoms: int) -> list[ElementalStructure]:
    """Structures worth trying for an element, its ground state among them, small cells first.

    The ground state comes whatever its size, all others up to ``max_atoms``.  Molecular elements
    come as molecules, noble gases in close packings only.

    Raises:
        ValueError: for an unknown element.
    """
    sort, own = sort_of(symbol), ground_state(symbol)
    found = [_in_prototype(symbol, structure) for structure in _tried(symbol, sort)]
    if symbol in BONDS and own is not None:
        volume = float(own.crystal.volumes[0] / own.crystal.n_atoms[0]) * 2
        found.append(_measured(symbol, second_packing(symbol, volume)))
    if sort == "packed":
        found.append(_measured(symbol, A6))
    found = [s for s in found if s.crystal.n_atoms[0] <= max_atoms]
    if own is not None and all(s.origin != own.origin for s in found):
        found.append(own)
    return sorted(found, key=lambda s: (int(s.crystal.n_atoms[0]), s.label))


def ground_state(symbol: str) -> ElementalStructure | None:
    """The crystal of the element's measured ground state; None where it is not known.

    Raises:
        ValueError: for an unknown element.
    """
    atomic_number(symbol)
    if symbol in MEASURED:
        return _measured(symbol, MEASURED[symbol])
    if symbol in GROUND_STATES:
        return _in_prototype(symbol, GROUND_STATES[symbol])
    return None


def _tried(symbol: str, sort: str) -> tuple[LabelAndCompound, ...]:
    if sort == "molecular":
        return (GROUND_STATES["Se"],) if symbol == "S" else ()  # sulfur has chains, too
    return (FCC, HCP) if sort == "noble gas" else COMMON


def _in_prototype(symbol: str, structure: LabelAndCompound) -> ElementalStructure:
    """As measured where the library's crystal is this element, else at the measured volume of a
    close-packed element, else with touching spheres.
    """
    label, compound = structure
    [prototype] = [p for p in _library(1) if (p.label, p.compound) == structure]
    z = atomic_number(symbol)
    if symbol in CONTACTS:
        factor = CONTACTS[symbol] / prototype.distances[0, 0]
        numbers = np.full(prototype.n_atoms, z)
        crystal = prototype.crystal.with_atomic_numbers(numbers).scale_volume(float(factor**3))
    elif compound == symbol:
        crystal = prototype.crystal.with_atomic_numbers(np.full(prototype.n_atoms, z))
    else:
        crystal = _sized(symbol, prototype.decorate(np.array([[z]])), structure in CLOSE_PACKED)
    return ElementalStructure(crystal, label, f"AFLOW {label} ({compound}): A={symbol}")


def _measured(symbol: str, cell: MeasuredCell) -> ElementalStructure:
    crystal = cell.crystal(symbol)
    if cell is A6 and symbol != "In":
        z = atomic_number(symbol)
        _, distances = closest_distances(crystal)
        scale = float(touching_scale(distances, COVALENT_RADII[[[z]]])[0])
        crystal = _sized(symbol, crystal.scale_volume(scale**3), close_packed=True)
    return ElementalStructure(crystal, cell.label, f"{cell.label} ({cell.source}): A={symbol}")


def _sized(symbol: str, touching: Crystals, close_packed: bool) -> Crystals:
    volume = atomic_volume(symbol)
    if volume is None or not close_packed:
        return touching
    return touching.scale_volume(volume * touching.n_atoms / touching.volumes)


@cache
def prototypes(n_species: int, max_atoms: int) -> tuple[Prototype, ...]:
    """Prototypes of ``n_species`` species and up to ``max_atoms`` atoms, small cells first.

    Decorations that are the same crystal up to its size are left out, within a prototype (CuPd and
    PdCu in B2) and between prototypes.  Equality does not depend on the elements, so it is found
    once with stand-ins of equal radius and holds for every system.
    """
    seen: set[str] = set()
    found = []
    for prototype in sorted(_library(n_species), key=lambda p: (p.n_atoms, p.label)):
        if prototype.n_atoms > max_atoms:
            break
        keys = _comparison_ids(prototype)
        new = [i for i, key in enumerate(keys) if key not in seen and key not in keys[:i]]
        seen.update(keys)
        if new:
            found.append(replace(prototype, decorations=prototype.decorations[new]))
    return tuple(found)


def _comparison_ids(prototype: Prototype) -> list[str]:
    """Canonical ids of all decorations, stand-ins for elements, scaled to one closest contact."""
    lattice, letters, frac_coords = prototype.crystal.arrays(0)
    same_size = lattice * (COMPARISON_DISTANCE / prototype.distances.min())
    stand_ins = prototype.decorations[:, letters.astype(np.int64) - 1] + 1
    decorated = [Crystals.single(same_size, row, frac_coords) for row in stand_ins]
    return [str(i) for i in canonical_ids(Crystals.concatenate(decorated))]


@cache
def _library(n_species: int) -> list[Prototype]:
    """The library's structures of so many species, each with all permutations of its species."""
    permutations = np.array(list(itertools.permutations(range(n_species))))
    found = []
    for entry in json.loads(gzip.decompress(_library_file().read_bytes())):
        lattice, sites = entry["snl"]["lattice"]["matrix"], entry["snl"]["sites"]
        symbols = [site["species"][0]["element"] for site in sites]
        names = sorted(set(symbols))  # AFLOW's letters follow the alphabet of the symbols
        if len(names) != n_species:
            continue
        frac_coords = [site["abc"] for site in sites]
        compound = Crystals.single(lattice, [atomic_number(s) for s in symbols], frac_coords)
        cell = primitive(
            compound.with_atomic_numbers(np.array([names.index(s) + 1 for s in symbols]))
        )
        _, distances = closest_distances(cell)
        label, formula = entry["tags"]["aflow"], str(compound.reduced_formulas[0])
        found.append(Prototype(label, formula, cell, distances, permutations))
    return found


def _library_file() -> Path:
    # the folder is found without importing it: its __init__ parses every structure of the library
    spec = importlib.util.find_spec("pymatgen.analysis.prototypes")
    if spec is None or not spec.submodule_search_locations:
        raise ValueError("pymatgen >= 2026.10 is needed for its AFLOW prototypes: reinstall it")
    return Path(spec.submodule_search_locations[0]) / "aflow_prototypes.json.gz"
