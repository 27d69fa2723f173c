"""Generators by what they make: valid, unique, novel, obedient, and held-out crystals found again.

    python benchmarks/generators.py samples --data DATA --work FOLDER --n 10000
    python benchmarks/generators.py conditions --data DATA --work FOLDER
    python benchmarks/generators.py shifts --data DATA --work FOLDER
    python benchmarks/generators.py sharpness --data DATA --work FOLDER
    python benchmarks/generators.py rediscovery --data DATA --work FOLDER --formulas 100

DATA holds ``materials_project/structures.parquet`` with ``formula_hash``: what is below 75 trained
the generator.  Everything is counted per draw, what came to nothing among them.

samples: draws without any condition.  Valid structure: no two atoms within 0.5 Å and at least
0.1 Å3 (Xie et al., CDVAE, ICLR 2022); sensible: what the generator itself lets through; valid
composition: SMACT's test (Davies et al., JOSS 4, 1361 (2019)).  Unique: of crystals that are the
same (``gnomon.structure.duplicates``) one; novel: the same as none of those that trained; those
that are a held-out crystal are counted apart.

conditions: how often a draw has what was asked for: elements and formulas by the network alone (no
rules that make it obey), space groups, which symmetry builds in, by spglib at its default tolerance
(a draw may come out more symmetric); and how many draws come to something where the rules hold.

shifts: conditions that are no rules, stability and the ranges of properties: energies above the
hull (``structural-2``), bulk moduli (``bulk-modulus-1``) and band gaps (``band-gap-1``, none where
``is-metal-1`` tells of a metal) of sensible draws, as drawn; the training rows had their moduli and
gaps from the same networks.

sharpness: the same counts as samples at several temperatures and shares of the likely, with and
without asking for stable crystals, on draws of another seed, and how many of what is valid, unique
and novel ``structural-2`` places near the hull, as drawn.

rediscovery: held-out formulas (hash 75 to 84) with so many candidates each by every generator, none
of them relaxed; found if one is the same as a held-out crystal of the formula.  Parents, and all
that the generators learned from, have hashes below 75.

Every part keeps what is done in FOLDER and goes on from there.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.stats import spearmanr

from gnomon.chemistry.prototypes import prototypes
from gnomon.crystals import Crystals
from gnomon.elements import MAX_Z, atomic_number, parse_formula
from gnomon.generate.learned.generator import BATCH, LearnedGenerator, sensible
from gnomon.generate.prototypes.generator import PrototypeGenerator
from gnomon.generate.prototypes.likely import likely
from gnomon.generate.prototypes.occurrence import Occurrence
from gnomon.generate.random.generator import RandomSearchGenerator, whole_amounts
from gnomon.io import from_arrow, to_arrow
from gnomon.models.bundled import GENERATOR
from gnomon.models.wyckoff.model import WyckoffModel
from gnomon.models.wyckoff.properties import Property
from gnomon.models.wyckoff.rules import Orbits
from gnomon.models.wyckoff.sampling import Sharpness, sample
from gnomon.models.wyckoff.sequences import Conditions
from gnomon.structure.asymmetric_unit import expand
from gnomon.structure.duplicates import find_known, group_duplicates
from gnomon.structure.neighbors import neighbors
from gnomon.structure.symmetry import space_groups
from hidden_candidates import (
    SAPS,
    Rest,
    by_partial_substitution,
    by_substitution,
    distinct,
    generator_of,
    of_formula,
    table_of,
)
from placing import Places
from record import RESULTS, save

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))
from train_generator import band_gaps, bulk_moduli

NAMES = ("learned", "substitution", "saps", "prototypes", "random")
"""Generators that are compared."""

GROUPS = (225, 194, 62, 166, 139, 221, 14, 2)
"""Space groups that are asked for: those with most crystals, and two of low symmetry."""


COLD = 0.35
"""Temperature of draws that keep to what is likely: ``sun.py``'s, and at which the highest range of
each property is asked for once more."""

SHARP = ((0.5, 0.98, False), (1, 0.98, False), (1, 0.9, False), (0.5, 0.98, True), (1, 0.9, True))
"""Temperature, share of the likely, and whether stable crystals are asked for."""


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


def drawn(
    made: LearnedGenerator, number: int, size: int, seed: int = 0
) -> tuple[Crystals, dict[str, Any]]:
    start = time.process_time()
    units, _, _ = made.draws(seed, number, size)
    crystals = Crystals.concatenate([expand(unit) for unit in units if unit is not None])
    good = sensible(crystals)
    seconds = time.process_time() - start
    return crystals, {"draws": size, "seconds": seconds, "sensible": good.tolist()}


def in_parts(made: LearnedGenerator, path: Path, n: int) -> list[tuple[Crystals, dict[str, Any]]]:
    """So many draws, each batch of them in a file of its own."""
    parts = []
    for number in range(-(-n // BATCH)):
        size = min(BATCH, n - number * BATCH)
        file = path.with_name(f"{path.name}-{number:04d}.parquet")
        parts.append(once(file, lambda number=number, size=size: drawn(made, number, size)))
    return parts


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
    parts = in_parts(LearnedGenerator(max_atoms=24), work / "draws", n)
    crystals = Crystals.concatenate([c for c, _ in parts])
    good = np.concatenate([facts["sensible"] for _, facts in parts])
    whole = [facts["seconds"] for _, facts in parts if facts["draws"] == BATCH]
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
        # the median batch, as programs are compiled in the first one of each process
        "draws a CPU second": round(BATCH / float(np.median(whole)), 1) if whole else None,
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
            path.write_text(json.dumps(_hits(made, size)))
        found = json.loads(path.read_text())
        total = counts.setdefault(next(iter(asked)), dict.fromkeys(found, 0))
        for name, value in found.items():
            total[name] += value
    return counts


def _hits(made: LearnedGenerator, size: int) -> dict[str, int]:
    units, _, _ = made.draws(2, 0, size)
    with_rules = Crystals.concatenate([expand(unit) for unit in units if unit is not None])
    good = sensible(with_rules) if len(with_rules) else np.zeros(0, bool)
    found = {
        "draws": size,
        "complete where the rules hold": len(with_rules),
        "sensible where the rules hold": int(good.sum()),
    }
    if made.space_group:
        there = space_groups(with_rules.take(np.flatnonzero(good)))
        return found | {"of these in the group by spglib": int((there == made.space_group).sum())}
    return found | {"hits of the network alone": _hits_alone(made, size)}


def _hits_alone(made: LearnedGenerator, size: int) -> int:
    """Draws that have the elements or the formula without rules that make them."""
    rng = np.random.default_rng(1)
    told, rules = made._asked(rng, size)
    every = np.ones((size, MAX_Z + 1), bool)
    free = Orbits(rules.known, every, ~every, np.zeros((size, MAX_Z + 1), np.int64), 24)
    sharp = Sharpness(made.temperature, made.top_p, made.number_temperature)
    groups = np.zeros(size, np.int64)
    alone = sample(made._model.network, Conditions(*told), free, groups, rng, sharp)
    units = [unit for unit in alone.units[0] if unit is not None]
    crystals = Crystals.concatenate([expand(unit) for unit in units])
    if made.formula is not None:
        wanted = whole_amounts(made.formula)
        return sum(_amounts(one) == wanted for one in crystals)
    formulas = crystals.reduced_formulas
    return sum(set(parse_formula(f)) == set(made.elements or ()) for f in formulas)


def _amounts(crystal: Crystals) -> dict[int, int]:
    return whole_amounts(crystal.reduced_formulas[0])


def shifts(data: Path, work: Path, n: int) -> dict[str, Any]:
    """What draws are like by the package's networks, by what was asked."""
    reference, _ = known(data)
    places = Places(data, reference.composition)
    model = WyckoffModel.load(GENERATOR)
    assert model.card is not None
    properties = {one.name: one for one in model.card.properties}
    asks: dict[str, dict[str, Any]] = {"nothing": {}, "stable": {"stable": True}}
    for one in properties.values():
        asks |= {
            f"{one.name} {words}": {"ask": asks_of(one, k)} for k, words in enumerate(one.words)
        }
        last = {"ask": asks_of(one, len(one.edges)), "temperature": COLD}
        asks[f"{one.name} {one.words[-1]}, temperature {COLD}"] = last
    found: dict[str, Any] = {}
    pairs: dict[str, list[tuple[int, float]]] = {name: [] for name in properties}
    for name, conditions in asks.items():
        made = LearnedGenerator(**conditions, max_atoms=16)
        parts = in_parts(made, work / f"shift-{name.replace(' ', '-').replace('/', '-')}", n)
        good = np.concatenate([facts["sensible"] for _, facts in parts])
        some = Crystals.concatenate([c for c, _ in parts]).take(np.flatnonzero(good))
        above = places.above(some, places.network.predict(some).median)
        found[name] = {
            "draws": n,
            "sensible": len(some),
            "placed at 0.1 eV/atom or below": int((above <= 0.1).sum()),
            "median above the hull": round(float(np.nanmedian(above)), 3),
        }
        for judged, values in {p: JUDGES[p](some) for p in properties}.items():
            one, there = properties[judged], np.isfinite(values)
            counts = np.bincount(one.buckets(values), minlength=len(one.words) + 1)[1:]
            found[name][f"median {judged}, {one.unit}"] = round(float(np.median(values[there])), 2)
            found[name][f"in each range of {judged}"] = counts.tolist()
            if judged in made.ranges and made.temperature != COLD:
                pairs[judged] += [(made.ranges[judged][0], v) for v in values[there].tolist()]
    for judged, both in pairs.items():
        found[f"Spearman of range and value, {judged}"] = round(float(spearmanr(both)[0]), 3)
    return found


def asks_of(one: Property, k: int) -> tuple[str, ...]:
    """What asks for one range, counted from 0."""
    above = (f"{one.name}>{one.edges[k - 1]!r}",) if k else ()
    below = (f"{one.name}<={one.edges[k]!r}",) if k < len(one.edges) else ()
    return above + below


JUDGES: dict[str, Callable[[Crystals], np.ndarray]] = {
    "bulk_modulus": bulk_moduli,
    "band_gap": band_gaps,
}
"""The networks that the training rows had their values from."""


def sharpness(data: Path, work: Path, n: int) -> dict[str, Any]:
    """Draws by how far they keep to what is likely."""
    reference, hashes = known(data)
    trained, places = reference[hashes < 75], Places(data, reference.composition)
    found = {}
    for temperature, top_p, stable in SHARP:
        name = f"temperature {temperature:g}, top_p {top_p:g}" + ", stable" * stable
        path = work / f"sharp-{name}.json"
        if not path.exists():
            made = LearnedGenerator(
                stable=stable, temperature=temperature, top_p=top_p, max_atoms=16 if stable else 24
            )
            path.write_text(json.dumps(_near(made, n, trained, places)))
        found[name] = json.loads(path.read_text())
    return found


def _near(made: LearnedGenerator, n: int, trained: Crystals, places: Places) -> dict[str, int]:
    parts = [drawn(made, number, BATCH, seed=100) for number in range(n // BATCH)]
    crystals = Crystals.concatenate([c for c, _ in parts])
    good = np.concatenate([facts["sensible"] for _, facts in parts])
    kept = crystals.take(
        np.flatnonzero(structure_valid(crystals) & composition_valid(crystals) & good)
    )
    unique = kept.take(np.unique(group_duplicates(kept).of, return_index=True)[1])
    novel = unique.take(np.flatnonzero(find_known(unique, trained) < 0))
    above = places.above(novel, places.network.predict(novel).median)
    return {
        "draws": n,
        "both valid and sensible": len(kept),
        "of these unique": len(unique),
        "of these not the same as a training crystal": len(novel),
        "of these at 0.1 eV/atom": int((above <= 0.1).sum()),
        "of these at 0": int((above <= 0).sum()),
    }


def rediscovery(
    data: Path, work: Path, formulas: int, count: int, names: list[str], seed: int = 0
) -> dict[str, Any]:
    reference, hashes = known(data)
    small = (hashes >= 75) & (reference.n_atoms <= 16)
    kinds = (reference.composition > 0).sum(axis=1)
    every = np.unique(reference.reduced_formulas[small & (kinds > 1)].astype(str))
    chosen = np.random.default_rng(seed).permutation(every)[:formulas].tolist()
    rest = Rest(reference[hashes < 75])
    found: dict[str, list[bool]] = {name: [] for name in names}
    made: dict[str, int] = dict.fromkeys(names, 0)
    for i, formula in enumerate(chosen):
        target = reference[(hashes >= 75) & (reference.reduced_formulas == formula)]
        for name in names:
            path = work / f"found-{name}-{i:04d}.parquet"

            def make(name: str = name, formula: str = formula) -> tuple[Crystals, dict[str, Any]]:
                return candidates(name, formula, count, rest), {}

            crystals, _ = once(path, make)
            made[name] += len(crystals)
            found[name].append(bool((find_known(crystals, target) >= 0).any()))
    return {
        "formulas": len(chosen),
        "candidates of each, at most": count,
        **{name: {"found": sum(f), "candidates": made[name]} for name, f in found.items()},
    }


def candidates(name: str, formula: str, count: int, rest: Rest) -> Crystals:
    """So many candidates of a formula, the likeliest first where a generator has an order."""
    if name == "learned":
        return everything(
            LearnedGenerator(formula=formula, stable=True, count=count, max_atoms=16, exclude=())
        )
    if name == "random":
        return everything(RandomSearchGenerator((formula,), count=count, max_atoms=16))
    if name == "prototypes":
        several = decorated(tuple(parse_formula(formula)))
        some = several.take(np.flatnonzero(several.reduced_formulas == formula))
        return some.take(np.unique(group_duplicates(some).of, return_index=True)[1][:count])
    target = tuple(sorted(whole_amounts(formula).items()))
    find = by_partial_substitution if name == SAPS else by_substitution
    parents = rest.crystals.take(find(rest, target, table_of(name)).rows)
    chunks = generator_of(name, target).generate(parents, seed=0)
    return distinct(of_formula(chunks, formula)).crystals[:count]


def decorated(elements: tuple[str, ...]) -> Crystals:
    """Prototypes of up to 16 atoms with all of these elements, likely ones first.

    As the generator makes them, but for those of fewer elements, and without looking for what the
    library has of the same prototype as a known crystal.
    """
    numbers = [atomic_number(element) for element in elements]
    made = PrototypeGenerator(elements, 16, given=prototypes(len(elements), 16))
    known = likely(Occurrence.load(), sorted(numbers), 16, made.most).crystals
    return Crystals.concatenate([known, everything(made)])


def everything(generator: Any) -> Crystals:
    """All that a generator without parents makes."""
    chunks: Iterator[Any] = generator.generate(Crystals.empty(), seed=0)
    return Crystals.concatenate([chunk.crystals for chunk in chunks])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument(
        "part", choices=["samples", "conditions", "shifts", "sharpness", "rediscovery"]
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument(
        "--n", type=int, default=10_000, help="draws of samples; shifts take 512 at most"
    )
    parser.add_argument("--formulas", type=int, default=100, help="of rediscovery")
    parser.add_argument("--count", type=int, default=20, help="candidates of each formula")
    parser.add_argument(
        "--generators", nargs="*", choices=NAMES, default=list(NAMES), help="of rediscovery"
    )
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    pa.set_cpu_count(1)
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "samples": lambda: samples(options.data, options.work, options.n),
        "conditions": lambda: conditions(options.data, options.work),
        "shifts": lambda: shifts(options.data, options.work, min(options.n, 512)),
        "sharpness": lambda: sharpness(options.data, options.work, 1024),
        "rediscovery": lambda: rediscovery(
            options.data, options.work, options.formulas, options.count, options.generators
        ),
    }
    out = RESULTS / "generators.json"
    before = json.loads(out.read_text("utf-8")) if out.exists() else {}
    kept = {name: before[name] for name in parts if name in before}
    found = parts[options.part]()
    old = kept.get(options.part, {})
    if options.part == "rediscovery" and old.get("formulas") == found["formulas"]:
        found = old | found  # of generators that were not asked for now
    save(kept | {options.part: found}, out)


if __name__ == "__main__":
    main()
