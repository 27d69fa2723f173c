"""All that a round of a campaign without a system proposes, ranked: passes over shards.

Parents go through one pass, from drafts to the best candidate of each composition.  What begins
without a parent is made in passes before it: compositions of chemical systems, of which the
likeliest stay, and crystals of these; their drafts are ranked together with the parents'.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import UInt64

from gnomon.crystals import Crystals
from gnomon.discover.campaign import Campaign
from gnomon.discover.inputs import Inputs
from gnomon.discover.settings import CampaignConfig
from gnomon.discover.wide.cells import BEGINNING, Start, begun, starts
from gnomon.discover.wide.database import Database, composition_keys
from gnomon.discover.wide.drafts import Recipe, drafts, joined, rows_of_parents
from gnomon.discover.wide.filters import Filter
from gnomon.discover.wide.likely import (
    LOOKED,
    NEAR,
    SHARD,
    Asked,
    likeliest,
    likely,
    shards_of,
    systems,
)
from gnomon.discover.wide.networks import network_of
from gnomon.discover.wide.ranking import Ranker, ranked
from gnomon.elements import excluded
from gnomon.evaluate.registry import NAMES
from gnomon.generate.learned.generator import LearnedGenerator
from gnomon.generate.registry import EVOLUTION
from gnomon.io import to_arrow
from gnomon.io.tables import read_table
from gnomon.models.bundled import COMPOSITION, STRUCTURAL
from gnomon.run.listener import Listener
from gnomon.run.passes import Pass, Shards, run
from gnomon.run.passes.forecast import DryRunError
from gnomon.run.writing import write_bytes, write_parquet

NOT_OF_PARENTS = (*BEGINNING, EVOLUTION)
"""Generators that begin without a parent; and one that breeds what was evaluated, outside of all
passes."""

LEARNED = LearnedGenerator.name

NEARER = 0.05
"""eV/atom: how much further from the hull than the threshold a first look may see a candidate."""

TRIED = 1
"""Starts that a forecast tries, and as many before them that load and compile; each is long."""


@dataclass(frozen=True)
class Places:
    """Where a round keeps what its passes made.

    Attributes:
        root: of the campaign's folder.
        number: of the round.
    """

    root: Path
    number: int

    @property
    def folder(self) -> Path:
        """Of the round; for workers anywhere."""
        return self.root.absolute() / "work" / f"round={self.number:03d}"

    @property
    def parents(self) -> Path:
        """Their crystals."""
        return self.folder / "parents.parquet"

    @property
    def likeliest(self) -> Path:
        """Compositions that got crystals."""
        return self.folder / "compositions.parquet"

    @property
    def ranked(self) -> Path:
        """The best candidate of each composition."""
        return self.folder / "ranked"


def ranker_of(
    config: CampaignConfig, parents: Path | None = None, network: str = STRUCTURAL
) -> Ranker:
    """What drafts of some parents are ranked with; of the database's by default."""
    [database] = config.generate.parents
    return Ranker(
        database=str(database.absolute()),
        scheme=config.wide.scheme,
        phases=tuple(str(path.absolute()) for path in config.wide.phases),
        parents=str(parents or ""),
        structural=network,
        look=config.screen.threshold + NEARER,
        threshold=config.screen.threshold,
        random=config.wide.shortlist * config.budget.per_round,
        seed=config.seed,
    )


def filter_of(config: CampaignConfig, database: Database) -> Filter:
    """Which compositions are asked for."""
    wide = config.wide
    without = excluded(wide.elements or None, config.screen.exclude or None)
    elements = (symbol for symbol in wide.elements or database.elements if symbol not in without)
    return Filter(tuple(elements), wide.min_elements, wide.max_elements, wide.within)


def recipe_of(config: CampaignConfig, inputs: Inputs, known: Path) -> Recipe:
    """What a campaign proposes; the keys of known compositions are written to a file."""
    database = inputs.database
    assert database is not None
    keys = composition_keys(inputs.known.composition) if len(inputs.known) else database.keys[:0]
    _write_keys(known, np.concatenate([database.compositions, keys]))
    return Recipe(
        generators=tuple(n for n in config.generate.generators if n not in NOT_OF_PARENTS),
        filter=filter_of(config, database),
        max_atoms=config.generate.max_atoms,
        sanity=config.screen.sanity,
        known=str(known),
        prototypes=config.learn.prototypes,
        seed=config.seed,
    )


def _write_keys(path: Path, keys: UInt64[np.ndarray, " k"]) -> None:
    """Each key once, rising, where workers may read them."""
    data = BytesIO()
    np.save(data, np.unique(keys))
    write_bytes(path, data.getvalue())


@dataclass(frozen=True)
class Proposed:
    """What came of all passes of a round.

    Attributes:
        counts: of candidates, by what became of them.
        facts: seconds of each pass, and the memory of the largest worker.
        lost: records that were given up.
        notes: what is to be said.
    """

    counts: Mapping[str, int]
    facts: Mapping[str, Any]
    lost: int
    notes: tuple[str, ...] = ()


@dataclass
class _Passes:
    """The passes of a round, one after the other; in a dry run what each would take is kept."""

    config: CampaignConfig
    places: Places
    listener: Listener
    done: dict[str, Shards] = field(default_factory=dict)
    foretold: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def run(self, step: Pass, tables: Iterator[pa.Table], given: str, out: str) -> Shards | None:
        """Run a pass over tables that lie in one folder of the round, into another."""
        shards = Shards.write(self.places.folder / given, tables)
        place = self.places.folder / out
        try:
            found = run(step, shards, place, self.config.run.foretold(), self.listener)
        except DryRunError as told:
            self.foretold.append(str(told))
            return None
        self.done[step.name] = found
        return found

    def proposed(self) -> Proposed:
        """What came of them.

        Raises:
            DryRunError: in a dry run.
        """
        if self.foretold:
            raise DryRunError("\n".join(self.foretold))
        counts = Counter[str]()
        seconds: dict[str, dict[str, float]] = {"seconds": {}, "cpu_seconds": {}}
        for name, shards in self.done.items():
            counts.update(shards.counts)
            for kind, found in seconds.items():
                of = shards.facts[kind]
                found.update(of if len(of) > 1 else {name: sum(of.values())})
        peak = max(shards.facts["peak_bytes"] for shards in self.done.values())
        del counts[LOOKED], counts[NEAR]  # of compositions, not of candidates
        lost = sum(len(shards.lost) for shards in self.done.values())
        return Proposed(dict(counts), {**seconds, "peak_bytes": peak}, lost, tuple(self.notes))


def propose_all(
    number: int,
    config: CampaignConfig,
    campaign: Campaign,
    inputs: Inputs,
    found: Crystals,
    listener: Listener,
) -> Proposed:
    """Everything that a round's parents give, ranked: the database's in round 1, then the finds.

    Raises:
        DryRunError: where nothing is to be done.
    """
    places = Places(campaign.store.root, number)
    assert inputs.database is not None
    parents = inputs.database.crystals if number == 1 else found
    if number > 1:
        write_parquet(places.parents, to_arrow(parents))
    recipe = recipe_of(config, inputs, places.folder / "known.npy")
    network = network_of(number, campaign)
    ranker = ranker_of(config, places.parents if number > 1 else None, network)
    passes = _Passes(config, places, listener)
    tables = rows_of_parents(to_arrow(parents), config.wide.shard)
    if names := tuple(name for name in config.generate.generators if name in BEGINNING):
        made = _made(names, number, passes, recipe, ranker)
        tables = joined(tables, iter(()) if made is None else made.tables())
    step = Pass(
        name="propose",
        map=partial(drafts, recipe=recipe),
        key="composition",
        reduce=partial(ranked, ranker=ranker),
        buckets=config.wide.buckets,
    )
    passes.run(step, tables, "parents", places.ranked.name)
    return passes.proposed()


def _made(
    names: tuple[str, ...], number: int, passes: _Passes, recipe: Recipe, ranker: Ranker
) -> Shards | None:
    """Drafts of generators that begin without a parent; none in a dry run."""
    config, wide = passes.config, passes.config.wide
    every_formula = bool(wide.within)
    formulas = []
    if every_formula or {*names} - {LEARNED}:
        formulas = _likely(number, passes, recipe, ranker)
    quick = config.evaluator.kind in ("", *NAMES) and wide.cell_steps > 0
    weights = config.evaluator.name
    start = Start(
        recipe,
        seed=config.seed + number,
        cells=wide.cells,
        potential=(weights if config.evaluator.kind else str(Path(weights).absolute()))
        if quick
        else "",
        relax=config.relax.model_copy(update={"max_steps": wide.cell_steps, "max_seconds": 1e6}),
        ask=config.generate.ask,
    )
    step = Pass(name="crystals", map=partial(begun, start=start), sample=TRIED)
    return passes.run(step, starts(names, formulas, wide.draws, every_formula), "starts", "begun")


def _likely(number: int, passes: _Passes, recipe: Recipe, ranker: Ranker) -> list[str]:
    """Formulas that get crystals in a round: the likeliest that no round before had."""
    config, folder = passes.config, passes.places.folder
    keys = [np.load(recipe.known)]
    for before in range(1, number):
        rows = read_table(Places(passes.places.root, before).likeliest)
        keys.append(rows["composition"].to_numpy())
    _write_keys(folder / "asked.npy", np.concatenate(keys))
    most = config.wide.compositions
    asked = Asked(
        recipe.filter, max(2, recipe.max_atoms // 2), str(folder / "asked.npy"), ranker, most
    )
    rng = np.random.default_rng([config.seed, number])
    every = systems(recipe.filter, config.wide.systems, rng)
    step = Pass(name="compositions", map=partial(likely, asked=asked))
    found = passes.run(step, shards_of(every), "systems", "likely")
    if found is None:  # a dry run: others of the kind stand in for them
        some = likely(next(shards_of(every[:: max(len(every) // SHARD, 1)])), asked)
        names: list[str] = some["reduced_formula"].to_pylist()
        return [names[i % len(names)] for i in range(most)] if names else []
    best = likeliest(found.tables(), most)
    write_parquet(passes.places.likeliest, best)
    passes.notes.append(
        f"{found.counts[LOOKED]:,} compositions of {len(every):,} chemical systems looked at by "
        f"{COMPOSITION}, {found.counts[NEAR]:,} near the hull, {len(best)} get crystals"
    )
    formulas: list[str] = best["reduced_formula"].to_pylist()
    return formulas
