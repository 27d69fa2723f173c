"""Stage one of a round: the generators propose candidates that no round has proposed before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Shaped

from gnomon.crystals import Crystals
from gnomon.discover.breeding import population_of
from gnomon.discover.campaign import Campaign
from gnomon.discover.inputs import Inputs
from gnomon.discover.lineage import KNOWN
from gnomon.discover.settings import CampaignConfig
from gnomon.discover.wide.database import Database, composition_keys
from gnomon.discover.wide.drafts import elements_of
from gnomon.discover.wide.networks import teach
from gnomon.discover.wide.proposing import filter_of, propose_all
from gnomon.discover.wide.shortlist import shortlist
from gnomon.generate import Candidates
from gnomon.generate.evolution.generator import EvolutionGenerator
from gnomon.generate.from_file import FileGenerator
from gnomon.generate.registry import EVOLUTION, GENERATORS, GeneratorSettings
from gnomon.io import to_arrow
from gnomon.run.listener import SILENT, Listener
from gnomon.structure.symmetry import canonical_ids


def propose(
    number: int,
    config: CampaignConfig,
    campaign: Campaign,
    inputs: Inputs,
    listener: Listener = SILENT,
) -> str:
    """Propose candidates that no round has proposed before."""
    store, seen = campaign.store, set(campaign.crystals["canonical_id"].to_pylist())
    counts: dict[str, int] = {}
    notes: list[str] = []
    drawn: set[str] = set()
    facts: dict[str, Any] = {"candidates": counts, "notes": notes}
    if number == 0:
        sources = _references(config, inputs)
        facts["doubts"] = [asdict(doubt) for doubt in inputs.doubts]
    elif inputs.database is not None:
        if said := teach(number, campaign, inputs.database):
            listener.say(said)
        found = propose_all(
            number, config, campaign, inputs, _new_stable(number, campaign), listener
        )
        facts |= {"funnel": dict(found.counts), "lost": found.lost, "work": dict(found.facts)}
        notes += found.notes
        sources = chain(
            _shortlisted(number, config, campaign, inputs.database, drawn),
            _bred(number, config, campaign, inputs.database, notes),
        )
    else:
        sources = _proposals(number, config, campaign, inputs, notes)
    for name, chunk in sources:
        # ground states of elements and known phases are references, however large
        small = chunk.crystals.n_atoms <= (config.generate.max_atoms if number else np.inf)
        keys = canonical_ids(chunk.crystals)
        new = small.copy()
        for i in np.flatnonzero(small).tolist():
            new[i] = keys[i] not in seen
            seen.add(keys[i])
        counts[name] = counts.get(name, 0) + int(new.sum())
        if new.any():
            add(number, campaign, chunk.take(new), keys[new])
    if drawn:
        facts["drawn"] = sorted(drawn)
    store.finish(number, "generate", facts)
    total = ", ".join(f"{n} from {name}" for name, n in counts.items()) or "none"
    what = "reference phases" if number == 0 else "new candidates"
    return "; ".join([f"round {number}: {what}: {total}", *notes])


def add(
    number: int, campaign: Campaign, part: Candidates, canonical: Shaped[np.ndarray, " n"]
) -> None:
    """Write candidates with their lineage into the tables of a round."""
    table = structure_table(part.crystals)
    table = table.append_column("canonical_id", pa.array(canonical, pa.string()))
    campaign.store.append("crystals", number, table)
    campaign.store.append("lineage", number, part.lineage)


def _shortlisted(
    number: int, config: CampaignConfig, campaign: Campaign, database: Database, drawn: set[str]
) -> Iterator[tuple[str, Candidates]]:
    """The best of all known crystals' candidates; ``drawn`` takes the ids of the baseline."""
    for chunk, is_draw in shortlist(number, config, campaign, database):
        if is_draw:
            drawn.update(chunk.crystals.ids.tolist())
        yield str(chunk.lineage["generator"][0].as_py()), chunk


def _bred(
    number: int, config: CampaignConfig, campaign: Campaign, database: Database, notes: list[str]
) -> Iterator[tuple[str, Candidates]]:
    """Children of what a campaign without a system has evaluated, of compositions asked for."""
    if EVOLUTION not in config.generate.generators:
        return
    population, said = population_of(campaign, config.generate.objectives)
    notes += said
    wanted = filter_of(config, database)
    # without a first generation: there are too many compositions for random cells
    most = config.generate.max_atoms
    generator = EvolutionGenerator(wanted.elements, most, population=population)
    for chunk in generator.generate(Crystals.empty(), seed=config.seed + number):
        keys = composition_keys(chunk.crystals.composition)
        new = ~np.isin(keys, database.compositions) & wanted.passed(elements_of(chunk.crystals))
        yield EVOLUTION, chunk.take(new)


def _references(config: CampaignConfig, inputs: Inputs) -> Iterator[tuple[str, Candidates]]:
    """The elements in their measured and other common structures, and the known crystals."""
    for symbol in config.elements:
        settings = GeneratorSettings((symbol,), config.generate.max_atoms, (), frozenset())
        generator = GENERATORS.get("prototypes")(settings)
        for chunk in generator.generate(Crystals.empty(), seed=config.seed):
            yield generator.name, chunk
    inside = [set(s.split("-")) <= set(config.elements) for s in inputs.known.chemical_systems]
    known = inputs.known[np.array(inside, dtype=bool)]
    if len(known):
        yield KNOWN, Candidates.of(known, KNOWN, ["as given"] * len(known))


def _proposals(
    number: int, config: CampaignConfig, campaign: Campaign, inputs: Inputs, notes: list[str]
) -> Iterator[tuple[str, Candidates]]:
    """What the generators make of the parents: the user's in round 1, then the new stable finds.

    Candidates that another program made come in round 1.
    """
    parents = inputs.parents if number == 1 else _new_stable(number, campaign)
    settings = GeneratorSettings(
        config.elements,
        config.generate.max_atoms,
        config.screen.exclude,
        inputs.known_formulas,
        config.learn.prototypes,
        ask=config.generate.ask,
    )
    given = config.generate
    if EVOLUTION in given.generators:
        population, said = population_of(campaign, given.objectives)
        notes += said
        settings = replace(settings, population=population)
    generators = [GENERATORS.get(name)(settings) for name in given.generators]
    if number == 1 and given.candidates:
        made = FileGenerator(given.candidates, given.label, config.elements, given.max_atoms)
        generators.append(made)
    for generator in generators:
        name = generator.name
        if skipped := getattr(generator, "skipped", None):
            missing = skipped(parents)
            if len(missing):
                reasons = sorted(set(missing["reason"].to_pylist()))
                notes.append(
                    f"{name}: {len(missing)} of {len(parents)} parents left out ({reasons[0]}"
                    + (" and other reasons)" if len(reasons) > 1 else ")")
                )
        taken = 0
        for chunk in generator.generate(parents, seed=config.seed + number):
            part = chunk.take(np.arange(len(chunk.crystals)) < given.max_candidates - taken)
            taken += len(part.crystals)
            yield name, part
            if taken >= given.max_candidates:
                notes.append(f"{name}: stopped at {taken} candidates (generate.max_candidates)")
                break


def _new_stable(number: int, campaign: Campaign) -> Crystals:
    """Compounds that the round before found on the hull, as relaxed."""
    placed = campaign.placed
    new = placed.found.rounds == number - 1
    return placed.found.relaxed[new & placed.compound & placed.stable]


def structure_table(crystals: Crystals) -> pa.Table:
    """Crystals as rows with id, formula, system, atoms and structure."""
    table = to_arrow(crystals)
    table = table.append_column("chemical_system", pa.array(crystals.chemical_systems, pa.string()))
    return table.append_column("n_atoms", pa.array(crystals.n_atoms))
