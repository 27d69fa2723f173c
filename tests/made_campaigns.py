"""Finished campaigns that nobody ran, of phases computed with EMT, and the text of their pages."""

import re
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from gnomon.crystals import Crystals
from gnomon.discover import Campaign
from gnomon.discover.propose import structure_table
from gnomon.run.store import SCHEMAS, Store

HOSTILE = "<script>alert('x')</script>"
"""A text that must never reach the page as markup."""

SCHEME = "ASE EMT"


def fcc(*symbols: str) -> Crystals:
    """A phase on the four sites of the conventional fcc cell, lattice constants averaged."""
    from ase.data import atomic_numbers

    a = np.mean([{"Au": 4.06, "Cu": 3.59, "Ni": 3.48}[s] for s in symbols])
    sites = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
    return Crystals.single(np.eye(3) * a, [atomic_numbers[s] for s in symbols], sites)


def with_lowest_emt_volume(crystal: Crystals) -> tuple[Crystals, float]:
    """The crystal at the volume of lowest EMT energy, and that energy in eV/atom."""
    from ase import Atoms
    from ase.calculators.emt import EMT
    from scipy.optimize import minimize_scalar

    lattice, numbers, frac = crystal.arrays(0)

    def energy(scale: float) -> float:
        atoms = Atoms(numbers, cell=lattice * scale, scaled_positions=frac, pbc=True)
        atoms.calc = EMT()
        return float(atoms.get_potential_energy()) / len(atoms)

    best = minimize_scalar(energy, bounds=(0.94, 1.06), method="bounded", options={"xatol": 1e-6})
    return crystal.with_lattice(crystal.lattice * best.x), float(best.fun)


PROTOTYPES: dict[str, tuple[str, ...]] = {
    "AFLOW A1 A_cF4_225_a: A=Au": ("Au", "Au", "Au", "Au"),
    "AFLOW A1 A_cF4_225_a: A=Cu": ("Cu", "Cu", "Cu", "Cu"),
    "AFLOW L1_2 A3B_cP4_221_a_c: A=Cu, B=Au": ("Au", "Cu", "Cu", "Cu"),
    "AFLOW L1_2 A3B_cP4_221_a_c: A=Au, B=Cu": ("Cu", "Au", "Au", "Au"),
    "AFLOW L1_0 AB_tP2_123_a_d: A=Cu, B=Au": ("Cu", "Cu", "Au", "Au"),
}

NICKEL: dict[str, tuple[str, ...]] = {
    "AFLOW A1 A_cF4_225_a: A=Ni": ("Ni", "Ni", "Ni", "Ni"),
    "Au→Ni": ("Cu", "Cu", "Ni", "Ni"),
    "AFLOW L1_2 A3B_cP4_221_a_c: A=Ni, B=Au": ("Au", "Ni", "Ni", "Ni"),
    "AFLOW L1_2 A3B_cP4_221_a_c: A=Cu, B=Ni": ("Ni", "Cu", "Cu", "Cu"),
    "Cu→Ni on one of two sites": ("Au", "Au", "Cu", "Ni"),
}

Rows = list[dict[str, Any]]

Tables = dict[str, Rows]
"""Rows of each table of a campaign."""


def campaign(prototypes: Mapping[str, tuple[str, ...]]) -> Tables:
    """A finished campaign of one round: all prototypes evaluated, and one that exploded."""
    made = Crystals.concatenate([fcc(*symbols) for symbols in prototypes.values()])
    relaxed = [with_lowest_emt_volume(crystal) for crystal in made]
    failed = fcc("Au", "Cu", "Au", "Au").scale_volume(0.2)
    candidates = Crystals.concatenate([made, failed])
    first = np.count_nonzero(candidates.composition, axis=1) == 1
    rounds = np.where(first, 0, 1).tolist()
    ids, n = candidates.ids.tolist(), len(candidates)
    crystals = structure_table(candidates).to_pylist()
    chosen = [key for key, number in zip(ids, rounds, strict=True) if number]
    return {
        "crystals": [
            {**row, "canonical_id": row["id"], "round": number}
            for row, number in zip(crystals, rounds, strict=True)
        ],
        "lineage": [
            {"id": key, "generator": "prototypes", "change": change, "round": number}
            for key, change, number in zip(ids, [*prototypes, HOSTILE], rounds, strict=True)
        ],
        "screening": [
            {"id": key, "kept": True, "reason": "", "selection": how, "round": 1}
            for key, how in zip(chosen, ["ranked"] * (len(chosen) - 1) + ["random"], strict=True)
        ]
        + [
            {"id": f"rejected-{i}", "kept": False, "reason": reason, "round": 1}
            for i, reason in enumerate(["atoms closer than 0.5 Å", HOSTILE])
        ],
        "evaluations": [
            evaluation(key, crystal, energy, number)
            for key, (crystal, energy), number in zip(ids, relaxed, rounds, strict=False)
        ]
        + [
            {
                "id": ids[n - 1],
                "status": "exploded",
                "message": HOSTILE,
                "scheme": SCHEME,
                "steps": 12,
                "round": 1,
            }
        ],
    }


def evaluation(key: str, relaxed: Crystals, energy: float, number: int) -> dict[str, Any]:
    """The row of a converged evaluation."""
    (row,) = structure_table(relaxed).to_pylist()
    return {
        **row,
        "id": key,
        "relaxed_id": row["id"],
        "status": "converged",
        "message": "",
        "energy_per_atom": energy,
        "scheme": SCHEME,
        "steps": 12,
        "fmax": 0.001,
        "seconds": 0.5,
        "round": number,
    }


def written(folder: Path, tables: Tables, system: str = "Au-Cu") -> Campaign:
    """The campaign of these rows, as a folder."""
    store = Store(folder)
    for name, rows in tables.items():
        for number in sorted({row["round"] for row in rows}):
            of_round = [row for row in rows if row["round"] == number]
            table = pa.Table.from_pylist(of_round, schema=SCHEMAS[name])
            store.append(name, number, table.drop_columns("round"))
    facts = {"model": "none: ranked without a network", "n_labels": 0, "message": "", "ending": ""}
    store.finish(1, "screen", facts)
    provenance = {
        "system": system,
        "scheme": SCHEME,
        "versions": {"gnomon": "0.1.0", "ase": "3.26"},
        "config": {"generators": ["prototypes", HOSTILE]},
    }
    store.write_facts("provenance.json", provenance)
    return Campaign(folder)


def of_formula(tables: Tables, formula: str) -> str:
    """The id of the first candidate of a formula."""
    return next(r["id"] for r in tables["crystals"] if r["reduced_formula"] == formula)


def with_twin(tables: Tables, formula: str, number: int) -> Tables:
    """Another candidate, made in some round, that relaxed to the same phase of a formula."""
    key = of_formula(tables, formula)
    same = {name: [row for row in rows if row["id"] == key] for name, rows in tables.items()}
    return {
        name: [*rows, *({**row, "id": "twin", "round": number} for row in same[name])]
        for name, rows in tables.items()
    }


def without(tables: Tables, formula: str) -> Tables:
    """The same campaign, had nobody proposed this formula."""
    key = of_formula(tables, formula)
    return {name: [row for row in rows if row["id"] != key] for name, rows in tables.items()}


class Page(HTMLParser):
    """Collects the text, the tags and what would be fetched; the text of scripts is left out."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: list[str] = []
        self.fetched: list[str] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.open.append(tag)
        if tag != "a":
            self.fetched += [v or "" for k, v in attrs if k in ("src", "href", "srcset", "data")]

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self.open):
            self.words.append(data)


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", " ".join(Page(page).words))
