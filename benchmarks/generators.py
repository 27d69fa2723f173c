"""Generators by what they make: valid, unique, novel, obedient, and held-out crystals found again.

    python benchmarks/generators.py samples --data DATA --work FOLDER --n 10000
    python benchmarks/generators.py conditions --data DATA --work FOLDER
    python benchmarks/generators.py rediscovery --data DATA --work FOLDER --formulas 100
    python benchmarks/generators.py sun --data DATA --work FOLDER --n 1000 --weights gnomon-2

DATA holds ``materials_project/structures.parquet`` with ``formula_hash``: what is below 75 trained
the generator.  Everything is counted per draw, what came to nothing among them.

samples: draws without any condition.  Valid structure: no two atoms within 0.5 Å and at least
0.1 Å3 (Xie et al., CDVAE, ICLR 2022); sensible: what the generator itself lets through; valid
composition: SMACT's test (Davies et al., JOSS 4, 1361 (2019)).  Unique: of crystals that are the
same (``gnomon.structure.duplicates``) one; novel: the same as none of those that trained; those
that are a held-out crystal are counted apart.

conditions: how often a draw has what was asked for, by the network alone (no rules of elements or
amounts), and how many draws come to something where the rules hold.

rediscovery: held-out formulas (hash 75 to 84) with so many candidates each by every generator that
takes a formula; found if one is the same as the held-out crystal, as drawn.

sun: candidates relaxed by a potential and placed, with the Materials Project's corrections, on the
hull of ``ground_states.parquet``; elements count as their measured ground states have it in the
same scheme.  Stable (at most 0 and 0.1 eV/atom above), unique, and novel as relaxed: the same as no
crystal that trained.  ``random`` and ``prototypes`` get the compositions (random: the formulas) of
the learned ones; ``substitution`` and ``saps`` draw from children of training crystals taken at
random.  What fails counts among the candidates.

Every part keeps what is done in FOLDER and goes on from there.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gnomon.crystals import Crystals
from gnomon.dynamics.settings import RelaxConfig
from gnomon.elements import MAX_Z, parse_formula
from gnomon.evaluate import Evaluator
from gnomon.evaluate.by_name import evaluator
from gnomon.evaluate.references import references
from gnomon.generate.learned.generator import BATCH, LearnedGenerator, sensible
from gnomon.generate.random.generator import RandomSearchGenerator, whole_amounts
from gnomon.generate.registry import generator
from gnomon.hull.convex import Hull
from gnomon.hull.phases import (
    ON_HULL,
    Phases,
    formation_energies,
    missing_elements,
    phases_from_table,
)
from gnomon.io import from_arrow, to_arrow
from gnomon.models.wyckoff.rules import Orbits
from gnomon.models.wyckoff.sampling import Sharpness, sample
from gnomon.models.wyckoff.sequences import Conditions
from gnomon.structure.asymmetric_unit import expand
from gnomon.structure.duplicates import find_known, group_duplicates
from gnomon.structure.neighbors import neighbors
from record import RESULTS, save

PART = 32
"""Crystals between two savings."""

GROUPS = (225, 194, 62, 166, 139, 221, 14, 2)
"""Space groups that are asked for: those with most crystals, and two of low symmetry."""


def known(data: Path) -> tuple[Crystals, np.ndarray]:
    table = pq.read_table(data / "materials_project" / "structures.parquet")
    return from_arrow(table), table["formula_hash"].to_numpy()


def once(path: Path, make: Callable[[], tuple[Crystals, dict[str, Any]]]) -> tuple[Crystals, Any]:
    """Crystals and facts of a file, which is made unless it is there."""
    if not path.exists():
        crystals, facts = make()
        table = to_arrow(crystals).replace_schema_metadata({"facts": json.dumps(facts)})
        pq.write_table(table, path.with_suffix(".part"))
        path.with_suffix(".part").rename(path)
    table = pq.read_table(path)
    return from_arrow(table), json.loads(table.schema.metadata[b"facts"])


def drawn(made: LearnedGenerator, number: int, size: int) -> tuple[Crystals, dict[str, Any]]:
    start = time.process_time()
    units, _, _ = made.draws(0, number, size)
    crystals = Crystals.concatenate([expand(unit) for unit in units if unit is not None])
    good = sensible(crystals)
    seconds = time.process_time() - start
    return crystals, {"draws": size, "seconds": seconds, "sensible": good.tolist()}


def structure_valid(crystals: Crystals) -> np.ndarray:
    """At least 0.1 Å3, and no two atoms within 0.5 Å."""
    good = crystals.volumes >= 0.1
    found = neighbors(crystals, 0.5)
    good[crystals.crystal_index[found.receivers]] = False
    return good


def composition_valid(crystals: Crystals) -> np.ndarray:
    from smact.screening import smact_validity

    asked = {f: smact_validity(f) for f in set(crystals.reduced_formulas.tolist())}
    return np.array([asked[f] for f in crystals.reduced_formulas])


def samples(data: Path, work: Path, n: int) -> dict[str, Any]:
    made = LearnedGenerator(max_atoms=24)
    parts = []
    for number in range(-(-n // BATCH)):
        size = min(BATCH, n - number * BATCH)
        path = work / f"draws-{number:04d}.parquet"
        parts.append(once(path, lambda number=number, size=size: drawn(made, number, size)))
    crystals = Crystals.concatenate([c for c, _ in parts])
    good = np.concatenate([facts["sensible"] for _, facts in parts])
    seconds = [facts["seconds"] for _, facts in parts]
    structure, composition = structure_valid(crystals), composition_valid(crystals)
    both = np.flatnonzero(structure & composition & good)
    kept = crystals.take(both)
    _, firsts = np.unique(group_duplicates(kept).of, return_index=True)
    unique = kept.take(firsts)
    reference, hashes = known(data)
    trained = find_known(unique, reference[hashes < 75]) >= 0
    held = find_known(unique, reference[hashes >= 75]) >= 0
    return {
        "draws": n,
        "complete": len(crystals),
        "structure valid": int(structure.sum()),
        "composition valid": int(composition.sum()),
        "both valid": int((structure & composition).sum()),
        "sensible": int(good.sum()),
        "both valid and sensible": len(kept),
        "of these unique": len(unique),
        "of these the same as a training crystal": int(trained.sum()),
        "of these the same as a held-out crystal": int((held & ~trained).sum()),
        "of these novel": int((~trained & ~held).sum()),
        # programs are compiled in the first batch
        "draws a CPU second": round(BATCH * (len(seconds) - 1) / max(sum(seconds[1:]), 1e-9), 1),
    }


def conditions(data: Path, work: Path, seed: int = 0) -> dict[str, Any]:
    reference, hashes = known(data)
    rng = np.random.default_rng(seed)
    held = np.flatnonzero((hashes >= 75) & (reference.n_atoms <= 24))
    chosen = reference.reduced_formulas[rng.choice(held, 32, replace=False)].tolist()
    tries = [({"space_group": group}, 64) for group in GROUPS]
    tries += [({"elements": tuple(parse_formula(f)), "every": True}, 32) for f in chosen]
    tries += [({"formula": f}, 32) for f in chosen]
    counts: dict[str, dict[str, int]] = {}
    for i, (asked, size) in enumerate(tries):
        path = work / f"condition-{i:03d}.json"
        if not path.exists():
            made = LearnedGenerator(**asked, max_atoms=24)
            path.write_text(json.dumps(_hits(made, asked, size)))
        found = json.loads(path.read_text())
        total = counts.setdefault(next(iter(asked)), dict.fromkeys(found, 0))
        for name, value in found.items():
            total[name] += value
    return counts


def _hits(made: LearnedGenerator, asked: dict[str, Any], size: int) -> dict[str, int]:
    rng = np.random.default_rng(1)
    told, rules = made._asked(rng, size)
    units, _, _ = made.draws(2, 0, size)
    with_rules = Crystals.concatenate([expand(unit) for unit in units if unit is not None])
    every = np.ones((size, MAX_Z + 1), bool)
    free = Orbits(rules.known, every, ~every, np.zeros((size, MAX_Z + 1), np.int64), 24)
    groups = np.full(size, made.space_group, np.int64)
    alone = sample(made._model.network, Conditions(*told), free, groups, rng, Sharpness())
    units = [unit for unit in alone.units if unit is not None]
    crystals = Crystals.concatenate([expand(unit) for unit in units])
    if "formula" in asked:
        wanted = whole_amounts(made.formula)
        hits = [_amounts(one) == wanted for one in crystals]
    elif "elements" in asked:
        hits = [set(parse_formula(f)) == set(made.elements) for f in crystals.reduced_formulas]
    else:
        hits = [unit.space_group == made.space_group for unit in units]
    return {
        "draws": size,
        "hits of the network alone": int(np.sum(hits)),
        "complete where the rules hold": len(with_rules),
        "sensible where the rules hold": int(sensible(with_rules).sum()) if len(with_rules) else 0,
    }


def _amounts(crystal: Crystals) -> dict[int, int]:
    return whole_amounts(crystal.reduced_formulas[0])


def rediscovery(data: Path, work: Path, formulas: int, count: int, seed: int = 0) -> dict[str, Any]:
    reference, hashes = known(data)
    small = (hashes >= 75) & (reference.n_atoms <= 16)
    kinds = (reference.composition > 0).sum(axis=1)
    names = np.unique(reference.reduced_formulas[small & (kinds > 1)].astype(str))
    chosen = np.random.default_rng(seed).permutation(names)[:formulas].tolist()
    makers = {
        "learned": lambda f: LearnedGenerator(
            formula=f, stable=True, count=count, max_atoms=16, exclude=()
        ),
        "prototypes": lambda f: OfFormula(f, count),
        "random": lambda f: RandomSearchGenerator((f,), count=count, max_atoms=16),
    }
    found: dict[str, list[bool]] = {name: [] for name in makers}
    made: dict[str, int] = dict.fromkeys(makers, 0)
    for i, formula in enumerate(chosen):
        target = reference[(hashes >= 75) & (reference.reduced_formulas == formula)]
        for name, make in makers.items():
            path = work / f"found-{name}-{i:04d}.parquet"
            crystals, _ = once(path, lambda make=make, formula=formula: (_all(make(formula)), {}))
            made[name] += len(crystals)
            found[name].append(bool((find_known(crystals, target) >= 0).any()))
    return {
        "formulas": len(chosen),
        "candidates of each, at most": count,
        **{name: {"found": sum(f), "candidates": made[name]} for name, f in found.items()},
    }


def sun(data: Path, work: Path, n: int, weights: str, names: list[str]) -> dict[str, Any]:
    reference, hashes = known(data)
    trained = reference[hashes < 75]
    table = pq.read_table(data / "materials_project" / "ground_states.parquet")
    phases = phases_from_table(table, "Materials Project")
    hull = Hull(Phases.concatenate([phases, missing_elements(phases, reference.composition)]))
    judge = evaluator(weights, relax=RelaxConfig(max_steps=200, max_seconds=3600.0))
    measured = references(judge.scheme)
    if measured is None:
        raise SystemExit(f"no energies of elements by {judge.scheme}")
    elements = {
        s: r.fitted if r.measured is None else r.measured for s, r in measured.elements.items()
    }
    found = {}
    makers = candidates_of(trained, n)
    for name in names or makers:
        make = makers[name]
        crystals, _ = once(work / f"candidates-{name}-{n}.parquet", lambda make=make: (make(), {}))
        parts = []
        for first in range(0, len(crystals), PART):
            path = work / f"relaxed-{name}-{n}-{weights}-{first:05d}.parquet"
            some = crystals[first : first + PART]
            parts.append(once(path, lambda some=some: _relaxed(judge, some)))
            print(f"{name}: {min(first + PART, len(crystals))} of {len(crystals)}", flush=True)
        relaxed = Crystals.concatenate([c for c, _ in parts])
        energy = np.concatenate([facts["energy"] for _, facts in parts]).astype(np.float64)
        composition = relaxed.composition.astype(np.float64)
        there = np.isfinite(energy)
        there &= [set(s.split("-")) <= set(elements) for s in relaxed.chemical_systems]
        above = np.full(len(relaxed), np.nan)
        rows = np.flatnonzero(there)
        formed = formation_energies(composition[rows], energy[rows], elements)
        above[rows] = hull.e_above_hull(composition[rows], formed)
        _, firsts = np.unique(group_duplicates(relaxed).of, return_index=True)
        new = np.zeros(len(relaxed), bool)
        new[firsts] = find_known(relaxed.take(firsts), trained) < 0
        found[name] = {
            "candidates": len(crystals),
            "with an energy": len(rows),
            "unique and novel": int(new.sum()),
            "stable, unique and novel at 0": int((new & (above <= ON_HULL)).sum()),
            "at 0.1 eV/atom": int((new & (above <= 0.1)).sum()),
            "median above the hull": round(float(np.nanmedian(above)), 4),
            "CPU seconds": round(sum(facts["seconds"] for _, facts in parts), 1),
        }
    return {"weights": weights, "scheme": judge.scheme, **found}


def _relaxed(judge: Evaluator, crystals: Crystals) -> tuple[Crystals, dict[str, Any]]:
    start = time.process_time()
    parts = list(judge.evaluate(crystals))
    energy = np.concatenate([part.energy_per_atom for part in parts])
    relaxed = Crystals.concatenate([part.relaxed for part in parts])
    known_energy = [None if np.isnan(e) else float(e) for e in energy]
    return relaxed, {"energy": known_energy, "seconds": time.process_time() - start}


def candidates_of(trained: Crystals, n: int) -> dict[str, Callable[[], Crystals]]:
    """Makers of n candidates of each generator, of up to 16 atoms."""

    def learned() -> Crystals:
        return _all(LearnedGenerator(stable=True, count=n, max_atoms=16))

    def random() -> Crystals:
        formulas = learned().reduced_formulas.tolist()
        made = [_all(RandomSearchGenerator((f,), count=1, max_atoms=16)) for f in formulas]
        return Crystals.concatenate(made)

    def prototypes() -> Crystals:
        made = []
        for system in learned().chemical_systems.tolist():
            several = _all(generator("prototypes", system, max_atoms=16))
            kinds = (several.composition > 0).sum(axis=1)
            whole = np.flatnonzero(kinds == system.count("-") + 1)
            if len(whole):
                made.append(several[int(np.random.default_rng(0).choice(whole))])
        return Crystals.concatenate(made)

    def children(name: str) -> Crystals:
        rng, made = np.random.default_rng(0), []
        small = np.flatnonzero(trained.n_atoms <= 16)
        for parent in rng.permutation(small)[: 4 * n].tolist():
            chunks = generator(name, max_atoms=16).generate(trained[parent], seed=0)
            several = Crystals.concatenate([chunk.crystals for chunk in chunks])
            if len(several):
                made.append(several[int(rng.integers(len(several)))])
            if len(made) == n:
                break
        return Crystals.concatenate(made)

    return {
        "learned": learned,
        "substitution": lambda: children("substitution"),
        "prototypes": prototypes,
        "random": random,
        "saps": lambda: children("saps"),
    }


class OfFormula:
    """The first prototypes of a formula, as the generator orders them, the likeliest first."""

    def __init__(self, formula: str, count: int) -> None:
        """So many candidates of a formula."""
        self.formula, self.count = formula, count

    def generate(self, parents: Crystals, *, seed: int = 0) -> Iterator[Any]:
        """One chunk."""
        system = "-".join(parse_formula(self.formula))
        for chunk in generator("prototypes", system, max_atoms=16).generate(parents, seed=seed):
            own = chunk.crystals.reduced_formulas == self.formula
            yield chunk.take(own & (np.cumsum(own) <= self.count))


def _all(generator: Any) -> Crystals:
    chunks: Iterator[Any] = generator.generate(Crystals.empty(), seed=0)
    return Crystals.concatenate([chunk.crystals for chunk in chunks])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("part", choices=["samples", "conditions", "rediscovery", "sun"])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--n", type=int, default=10_000, help="draws of samples")
    parser.add_argument("--formulas", type=int, default=100, help="of rediscovery")
    parser.add_argument("--count", type=int, default=20, help="candidates of each formula")
    parser.add_argument("--generators", nargs="*", default=[], help="of sun; all if not given")
    parser.add_argument("--weights", default="gnomon-2", help="potential of sun")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    pa.set_cpu_count(1)
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "samples": lambda: samples(options.data, options.work, options.n),
        "conditions": lambda: conditions(options.data, options.work),
        "rediscovery": lambda: rediscovery(
            options.data, options.work, options.formulas, options.count
        ),
        "sun": lambda: sun(
            options.data, options.work, options.n, options.weights, options.generators
        ),
    }
    out = RESULTS / "generators.json"
    before = json.loads(out.read_text("utf-8")) if out.exists() else {}
    kept = {name: before[name] for name in parts if name in before}
    save(kept | {options.part: parts[options.part]()}, out)


if __name__ == "__main__":
    main()
