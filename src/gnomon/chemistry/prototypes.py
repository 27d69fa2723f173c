"""Prototypes: crystal structures without their elements, and the AFLOW library of them.

The library is the one that pymatgen ships (Mehl et al., Comput. Mater. Sci. 136, S1 (2017)): 288
structures of one to five species, among them the elements' own (fcc, bcc, hcp, diamond, ...).
"""

import gzip
import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from jaxtyping import Float64, Int64

from gnomon.crystals import Crystals
from gnomon.elements import COVALENT_RADII, atomic_number
from gnomon.run.files import file_of_package
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
        library: where it comes from, empty for a crystal of one's own.
        names: what else the library calls it, such as ``B1, Halite, Rock Salt``.
    """

    label: str
    compound: str
    crystal: Crystals
    distances: Float64[np.ndarray, "m m"]
    decorations: Int64[np.ndarray, "d m"]
    library: str = ""
    names: str = ""

    @property
    def type_name(self) -> str:
        """The structure type for people: ``NaCl type (B1, Halite, Rock Salt)``."""
        return f"{self.compound} type" + (f" ({self.names})" if self.names else "")

    @property
    def origin(self) -> str:
        """Library, label and compound, for people to read."""
        return f"{self.library} {self.label} ({self.compound})".lstrip()

    @property
    def n_atoms(self) -> int:
        """Atoms in the primitive cell."""
        return int(self.crystal.n_atoms[0])

    @property
    def simplicity(self) -> float:
        """Small cells first, of equals those of high symmetry: what nature prefers, too."""
        return simplicity(self.n_atoms, self.label)

    def choices(self, numbers: Sequence[int], at_once: int) -> Iterator[Int64[np.ndarray, "k m"]]:
        """Elements for the letters, every choice in every decoration, some at a time.

        Rows come as they are needed: four of eighty elements are 1.6 million choices.

        Args:
            numbers: atomic numbers to choose from, ascending.
            at_once: rows at most, but all decorations of a choice come together.
        """
        n_species = self.decorations.shape[1]
        every = itertools.combinations(numbers, n_species)
        some = max(1, at_once // len(self.decorations))
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


@cache
def prototypes(n_species: int, max_atoms: int) -> tuple[Prototype, ...]:
    """Prototypes of ``n_species`` species and up to ``max_atoms`` atoms, small cells first.

    Decorations that are the same crystal up to its size are left out, within a prototype (CuPd and
    PdCu in B2) and between prototypes.  Equality does not depend on the elements, so it is found
    once with stand-ins of equal radius and holds for every system.
    """
    seen: set[str] = set()
    found = []
    for prototype in sorted(aflow(n_species), key=lambda p: (p.n_atoms, p.label)):
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
def aflow(n_species: int) -> tuple[Prototype, ...]:
    """The library's structures of so many species, each with all permutations of its species."""
    permutations = np.array(list(itertools.permutations(range(n_species))))
    found = []
    library = file_of_package("pymatgen.analysis.prototypes", "aflow_prototypes.json.gz")
    for entry in json.loads(gzip.decompress(library.read_bytes())):
        lattice, sites = entry["snl"]["lattice"]["matrix"], entry["snl"]["sites"]
        symbols = [site["species"][0]["element"] for site in sites]
        letters = sorted(set(symbols))  # AFLOW's letters follow the alphabet of the symbols
        if len(letters) != n_species:
            continue
        frac_coords = [site["abc"] for site in sites]
        compound = Crystals.single(lattice, [atomic_number(s) for s in symbols], frac_coords)
        cell = primitive(
            compound.with_atomic_numbers(np.array([letters.index(s) + 1 for s in symbols]))
        )
        _, distances = closest_distances(cell)
        label, formula = entry["tags"]["aflow"], str(compound.reduced_formulas[0])
        names = _names(entry["tags"])
        found.append(Prototype(label, formula, cell, distances, permutations, "AFLOW", names))
    return tuple(found)


def _names(tags: Mapping[str, str]) -> str:
    """Strukturbericht symbol and mineral, as plain text, where there are any."""
    given = (tags["strukturbericht"], tags["mineral"])
    plain = (re.sub(r'[\\$"{}]', "", text) for text in given)
    return ", ".join(text for text in plain if text not in ("", "None"))
