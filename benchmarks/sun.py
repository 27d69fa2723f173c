"""Stable, unique and novel: generators at an equal number of evaluations.

    python benchmarks/sun.py --data DATA --work FOLDER --n 64 --weights nequix-oam-1-pft
    python benchmarks/sun.py --data DATA --work FOLDER --n 256 --weights gnomon-2

Candidates of up to 16 atoms are relaxed by a potential and placed, with the Materials Project's
corrections, on the hull of ``ground_states.parquet``; elements count as their measured ground
states have it in the same scheme.  Counted are those that are stable (at most 0 and 0.1 eV/atom
above), unique among those of their generator, and novel as relaxed: the same as no crystal of
DATA's ``materials_project/structures.parquet`` with a hash below 75, which are those that trained
the generator and the network that ranks.  What fails counts among the candidates.

``learned`` asks for stable crystals of two or more elements, at the temperature COLD, chosen for
its predecessor on draws of seed 100 by what ``structural-2`` said.  ``random``
gets the formulas of the learned ones, ``prototypes`` their systems; ``substitution`` and ``saps``
give a child of each of several training crystals, parents and children taken at random; of ``saps``
with one ion that gives way and one choice of sites for each number of them, or a parent has a
hundred thousand.

``by family``: the same counts for parts of the candidates that share no member.  ``hull without
rivals``: stable, unique and novel at 0, but the hull has no compound of the same elements.

``NAME-ranked``: of POOL times as many the best by ``structural-2``, as generated, those left out
that are the same as a crystal that trained.  So a campaign takes what it evaluates.

The generators take turns, PART candidates each, so that they have had equally many whenever it
stops; ``--seconds`` ends it after so many processor seconds, and it goes on from there.  What it
draws depends on ``--seed`` alone; settings were chosen on draws of another.
"""

import argparse
import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from generators import COLD, NAMES, decorated, everything, known, once
from gnomon.chemistry.cautions import of_metals
from gnomon.crystals import Crystals
from gnomon.discover.rates import wilson
from gnomon.dynamics.settings import RelaxConfig
from gnomon.elements import SYMBOLS, atomic_number
from gnomon.evaluate import Evaluator
from gnomon.evaluate.by_name import evaluator
from gnomon.evaluate.references import references
from gnomon.generate import Generator
from gnomon.generate.learned.generator import LearnedGenerator
from gnomon.generate.random.generator import RandomSearchGenerator
from gnomon.generate.registry import generator
from gnomon.generate.saps.generator import SapsGenerator
from gnomon.hull.phases import ON_HULL, formation_energies
from gnomon.structure.duplicates import find_known, group_duplicates
from placing import Places
from record import RESULTS, save

PART = 8
"""Crystals between two savings."""

POOL = 8
"""Candidates for each that is kept, where they are ranked."""

RANKED = "-ranked"

SUN, NEAR = "stable, unique and novel at 0", "at 0.1 eV/atom"


@dataclass(frozen=True, eq=False)
class Makers:
    """Candidates of each generator, of up to 16 atoms.

    Attributes:
        trained: crystals of hashes below 75.
        work: folder that keeps what is drawn.
        seed: of all draws.
    """

    trained: Crystals
    work: Path
    seed: int

    def make(self, name: str, n: int, each: int = 1) -> Crystals:
        """n times ``each`` of them; fewer where a generator does not give so many."""
        if name == "learned":
            return self._learned(n * each)
        if name == "random":
            made = [
                RandomSearchGenerator((f,), count=each, max_atoms=16)
                for f in self._drawn(n).reduced_formulas.tolist()
            ]
            return Crystals.concatenate([everything(one) for one in made])
        if name == "prototypes":
            systems = self._drawn(n).chemical_systems.tolist()
            return Crystals.concatenate([self._prototypes(s, each) for s in systems])
        return self._children(name, n * each)

    def _drawn(self, n: int) -> Crystals:
        """Those of the transformer that are candidates themselves."""
        return once(self.work / f"candidates-learned-{n}.parquet", lambda: (self._learned(n), {}))[
            0
        ]

    def _learned(self, n: int) -> Crystals:
        made = LearnedGenerator(stable=True, temperature=COLD, count=n, max_atoms=16)
        chunks = made.generate(Crystals.empty(), seed=self.seed)
        return Crystals.concatenate([chunk.crystals for chunk in chunks])

    def _prototypes(self, system: str, count: int) -> Crystals:
        several = decorated(tuple(system.split("-")))
        return several.take(np.random.default_rng(self.seed).permutation(len(several))[:count])

    def _children(self, name: str, n: int) -> Crystals:
        rng, made = np.random.default_rng(self.seed), []
        small = np.flatnonzero(self.trained.n_atoms <= 16)
        made_by: Generator = generator(name, max_atoms=16)
        if isinstance(made_by, SapsGenerator):
            made_by = replace(made_by, others=0, most=1)
        for parent in rng.permutation(small)[: 4 * n].tolist():
            chunks = made_by.generate(self.trained[parent], seed=0)
            several = Crystals.concatenate([chunk.crystals for chunk in chunks])
            if len(several):
                made.append(several[int(rng.integers(len(several)))])
            if len(made) == n:
                break
        return Crystals.concatenate(made)


@dataclass(frozen=True, eq=False)
class Judge:
    """A potential with the energies of elements in its scheme."""

    potential: Evaluator
    elements: dict[str, float]

    @classmethod
    def of(cls, weights: str) -> "Judge":
        """The potential of this name."""
        potential = evaluator(weights, relax=RelaxConfig(max_steps=200, max_seconds=3600.0))
        measured = references(potential.scheme)
        if measured is None:
            raise SystemExit(f"no energies of elements by {potential.scheme}")
        energies = measured.elements.items()
        return cls(
            potential, {s: r.fitted if r.measured is None else r.measured for s, r in energies}
        )

    def relaxed(self, crystals: Crystals) -> tuple[Crystals, dict[str, Any]]:
        """Crystals, formation energies (null where there is none) and processor seconds."""
        start = time.process_time()
        parts = list(self.potential.evaluate(crystals))
        energy = np.concatenate([part.energy_per_atom for part in parts])
        relaxed = Crystals.concatenate([part.relaxed for part in parts])
        seconds = time.process_time() - start
        systems = [set(s.split("-")) <= set(self.elements) for s in relaxed.chemical_systems]
        rows = np.flatnonzero(np.isfinite(energy) & systems)
        composition = relaxed.composition[rows].astype(np.float64)
        formed = formation_energies(composition, energy[rows], self.elements)
        told: list[float | None] = [None] * len(crystals)
        for row, value in zip(rows.tolist(), formed.tolist(), strict=True):
            told[row] = value
        return relaxed, {"formation": told, "seconds": seconds}


def sun(
    data: Path, work: Path, n: int, judge: Judge, names: list[str], seconds: float, seed: int
) -> dict[str, Any]:
    reference, hashes = known(data)
    makers, places = Makers(reference[hashes < 75], work, seed), Places(data, reference.composition)
    pools: dict[str, Crystals] = {}
    for name in names:
        plain = name.removesuffix(RANKED)

        def make(name: str = name, plain: str = plain) -> tuple[Crystals, dict[str, Any]]:
            if name == plain:
                return makers.make(plain, n), {}
            return places.best(makers.make(plain, n, POOL), makers.trained, n), {}

        start = time.process_time()
        pools[name], _ = once(work / f"candidates-{name}-{n}.parquet", make)
        print(f"{name}: {len(pools[name])}, {time.process_time() - start:.0f} CPU s", flush=True)
    done: dict[str, list[tuple[Crystals, dict[str, Any]]]] = {name: [] for name in names}
    start = time.process_time()
    label = judge.potential.scheme.partition(" ")[0]
    for first in range(0, n, PART):
        for name in names:
            some = pools[name][first : first + PART]
            path = work / f"relaxed-{name}-{n}-{label}-{first:05d}.parquet"
            if len(some) and (path.exists() or time.process_time() - start < seconds):
                done[name].append(once(path, lambda some=some: judge.relaxed(some)))
    parts = min(len(some) for some in done.values())
    return {
        "scheme": judge.potential.scheme,
        "asked": n,
        "of each, equally many": min(n, parts * PART),
        "equally many": {
            name: counted(some[:parts], makers.trained, places) for name, some in done.items()
        },
        "all": {name: counted(some, makers.trained, places) for name, some in done.items()},
    }


def counted(
    parts: list[tuple[Crystals, dict[str, Any]]], trained: Crystals, places: Places
) -> dict[str, Any]:
    """What came out of the candidates of one generator."""
    relaxed = Crystals.concatenate([crystals for crystals, _ in parts])
    formed = np.concatenate([np.array(facts["formation"], np.float64) for _, facts in parts])
    above, n = places.above(relaxed, formed), len(relaxed)
    _, firsts = np.unique(group_duplicates(relaxed).of, return_index=True)
    new = np.zeros(n, bool)
    new[firsts] = find_known(relaxed.take(firsts), trained) < 0
    stable, every, rare = new & (above <= ON_HULL), families(relaxed), rare_earths(relaxed)
    rivals = places.compounds_of_same_elements(relaxed)
    return {
        **rates(new, above, np.ones(n, bool)),
        "with an energy": int(np.isfinite(above).sum()),
        "median above the hull": round(float(np.nanmedian(above)), 4),
        "hull without rivals": int((stable & (rivals == 0)).sum()),
        "without rare earths": rates(new & ~rare, above, ~rare),
        "by family": {name: counts(new & own, above, own) for name, own in every.items()},
        **of_processor(parts),
    }


def of_processor(parts: list[tuple[Crystals, dict[str, Any]]]) -> dict[str, Any]:
    """What those cost that a processor relaxed; others, an accelerator's, have no seconds."""
    counted = [(len(c), facts["seconds"]) for c, facts in parts if facts["seconds"] is not None]
    n, seconds = (sum(column) for column in zip(*counted, strict=True)) if counted else (0, 0.0)
    return {"relaxed on a processor": n, "CPU seconds": round(seconds, 1)}


def counts(new: np.ndarray, above: np.ndarray, own: np.ndarray) -> dict[str, int]:
    """Of some candidates, with those among them that are unique and novel."""
    return {
        "candidates": int(own.sum()),
        "unique and novel": int(new.sum()),
        SUN: int((new & (above <= ON_HULL)).sum()),
        NEAR: int((new & (above <= 0.1)).sum()),
    }


def rates(new: np.ndarray, above: np.ndarray, own: np.ndarray) -> dict[str, Any]:
    """``counts``, the last two with intervals."""
    found = counts(new, above, own)
    return found | {name: rate(found[name], found["candidates"]) for name in (SUN, NEAR)}


def families(crystals: Crystals) -> dict[str, np.ndarray]:
    """Which crystals are of which kind, each of one."""
    divalent, rare, metals = (
        holding(crystals, "Eu", "Yb"),
        rare_earths(crystals),
        of_metals(crystals),
    )
    return {
        "with Yb or Eu": divalent,
        "metals with another rare earth": rare & ~divalent & metals,
        "metals without rare earths": ~rare & metals,
        "others with another rare earth": rare & ~divalent & ~metals,
        "others without rare earths": ~rare & ~metals,
    }


def rare_earths(crystals: Crystals) -> np.ndarray:
    """Which hold Sc, Y or an element from La to Lu."""
    return holding(crystals, "Sc", "Y", *SYMBOLS[57:72])


def holding(crystals: Crystals, *symbols: str) -> np.ndarray:
    """Which hold one of these elements."""
    return (crystals.composition[:, [atomic_number(s) for s in symbols]] > 0).any(axis=1)


def rate(k: int, n: int) -> dict[str, Any]:
    """k, and the 95 % interval of its share."""
    found = wilson(k, n)
    return {"k": k, "low": round(found.low, 3), "high": round(found.high, 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--n", type=int, default=1000, help="candidates of each generator")
    parser.add_argument("--weights", default="gnomon-2", help="potential")
    every = [name + end for end in ("", RANKED) for name in NAMES]
    parser.add_argument("--generators", nargs="*", choices=every, default=list(NAMES))
    parser.add_argument("--seconds", type=float, default=np.inf, help="of processor, to relax")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    pa.set_cpu_count(1)
    found = sun(
        options.data,
        options.work,
        options.n,
        Judge.of(options.weights),
        options.generators,
        options.seconds,
        options.seed,
    )
    out = RESULTS / "sun.json"
    before = json.loads(out.read_text("utf-8")) if out.exists() else {}
    kept = {name: value for name, value in before.items() if isinstance(value, dict)}
    save({**kept, f"{options.weights}, {options.n} asked": found}, out)


if __name__ == "__main__":
    main()
