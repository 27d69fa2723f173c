"""The active-learning loop: generate → predict → keep → evaluate → hull → learn, round by round.

Round 0 evaluates the reference phases: the elements in all prototypes of one species, and the known
crystals of the system.  Every stage reads the campaign's folder and adds to it; a stage that had
not finished when a process died is done again, evaluations go on after the last shard.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float64

from gnomon.campaign import Evaluated, begin, evaluated, phases_of, references_of, structure_table
from gnomon.config import CampaignConfig
from gnomon.crystals import Crystals
from gnomon.evaluate import Evaluator
from gnomon.evaluate.table import rows_of
from gnomon.generate import Candidates
from gnomon.generate.registry import GeneratorSettings, make_generator
from gnomon.hull import ON_HULL, Hull
from gnomon.io import from_arrow, read
from gnomon.listener import Listener
from gnomon.models import EnergyModel
from gnomon.screen import Verdicts, screen, select
from gnomon.store import Store
from gnomon.symmetry import canonical_ids

SHARD = 16
"""Evaluations in a shard: what a kill may cost."""

KNOWN = "known"
"""Generator name of crystals that the user gave as known."""


@dataclass(frozen=True, eq=False)
class Inputs:
    """Crystals that the user gave, read once."""

    parents: Crystals
    known: Crystals

    @property
    def known_formulas(self) -> frozenset[str]:
        """Compositions that are not new."""
        return frozenset(self.known.reduced_formulas.tolist())


def discover(config: CampaignConfig, store: Store, evaluator: Evaluator, listener: Listener) -> str:
    """Run a campaign, or go on with it, to the end of its budget; returns why it ended.

    Raises:
        StoreError: if the folder is in use, belongs to another campaign or cannot be written.
        InputError: if a file of parents or known crystals cannot be read.
    """
    deadline = time.monotonic() + 60.0 * config.budget.minutes
    with store.locked():
        begin(store, config, evaluator.scheme)
        inputs = _read_inputs(config, listener)
        for number in range(config.budget.rounds + 1):
            ending = step(number, config, store, evaluator, inputs, listener, deadline)
            if ending:
                listener.say(ending)
                return ending
        ending = f"ended after {config.budget.rounds} rounds, the budget"
        listener.say(ending)
        return ending


def step(
    number: int,
    config: CampaignConfig,
    store: Store,
    evaluator: Evaluator,
    inputs: Inputs,
    listener: Listener,
    deadline: float,
) -> str:
    """One round, from whatever state it is in; returns why the campaign ends here, or nothing."""
    if store.finished(number, "generate") is None:
        for table in ("crystals", "lineage"):
            store.discard(table, number)
        listener.say(_generate(number, config, store, inputs))
    if store.finished(number, "screen") is None:
        store.discard("screening", number)
        listener.say(_screen(number, config, store, inputs, evaluator.scheme))
    selected = _selected(store, number)
    if not len(selected):
        return str((store.finished(number, "screen") or {}).get("ending", "nothing to evaluate"))
    if store.finished(number, "evaluate") is None:
        if not _evaluate(number, store, evaluator, selected, listener, deadline):
            return (
                f"ended in round {number}: the budget of minutes is used (the same command goes on)"
            )
        listener.say(_summarise(number, config, store))
    return ""


# --- generate -------------------------------------------------------------------------------------


def _generate(number: int, config: CampaignConfig, store: Store, inputs: Inputs) -> str:
    """Propose candidates that no round has proposed before."""
    seen = set(store.table("crystals")["canonical_id"].to_pylist())
    counts: dict[str, int] = {}
    notes: list[str] = []
    sources = (
        _references(config, inputs)
        if number == 0
        else _proposals(number, config, store, inputs, notes)
    )
    for name, chunk in sources:
        small = chunk.crystals.n_atoms <= (config.generate.max_atoms if name != KNOWN else np.inf)
        keys = canonical_ids(chunk.crystals)
        new = np.zeros(len(keys), dtype=bool)
        for i, key in enumerate(keys):
            new[i] = bool(small[i]) and key not in seen
            if new[i]:
                seen.add(key)
        counts[name] = counts.get(name, 0) + int(new.sum())
        if new.any():
            table = structure_table(chunk.crystals[new])
            table = table.append_column("canonical_id", pa.array(keys[new], pa.string()))
            store.append("crystals", number, table)
            store.append("lineage", number, chunk.lineage.filter(pa.array(new)))
    store.finish(number, "generate", {"candidates": counts, "notes": notes})
    total = ", ".join(f"{n} from {name}" for name, n in counts.items()) or "none"
    what = "reference phases" if number == 0 else "new candidates"
    return "; ".join([f"round {number}: {what}: {total}", *notes])


def _references(config: CampaignConfig, inputs: Inputs) -> Iterator[tuple[str, Candidates]]:
    """The elements in all prototypes of one species, and the known crystals of the system."""
    for symbol in config.system:
        settings = GeneratorSettings((symbol,), config.generate.max_atoms, (), frozenset())
        generator = make_generator("prototypes", settings)
        for chunk in generator.generate(Crystals.empty(), seed=config.seed):
            yield generator.name, chunk
    inside = [set(s.split("-")) <= set(config.system) for s in inputs.known.chemical_systems]
    known = inputs.known[np.array(inside, dtype=bool)]
    if len(known):
        yield KNOWN, Candidates(known, _given(known))


def _given(crystals: Crystals) -> pa.Table:
    n = len(crystals)
    return pa.table(
        {
            "id": crystals.ids.tolist(),
            "parent_id": pa.nulls(n, pa.string()),
            "generator": [KNOWN] * n,
            "change": ["as given"] * n,
            "score": pa.nulls(n, pa.float64()),
        }
    )


def _proposals(
    number: int, config: CampaignConfig, store: Store, inputs: Inputs, notes: list[str]
) -> Iterator[tuple[str, Candidates]]:
    """What the generators make of the parents: the user's in round 1, then the new stable finds."""
    parents = inputs.parents if number == 1 else _new_stable(number, config, store)
    settings = GeneratorSettings(
        config.system, config.generate.max_atoms, config.screen.exclude, inputs.known_formulas
    )
    for name in config.generate.generators:
        generator = make_generator(name, settings)
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
            room = config.generate.max_candidates - taken
            part = Candidates(chunk.crystals[:room], chunk.lineage.slice(0, room))
            taken += len(part.crystals)
            yield name, part
            if taken >= config.generate.max_candidates:
                notes.append(f"{name}: stopped at {taken} candidates (generate.max_candidates)")
                break


def _new_stable(number: int, config: CampaignConfig, store: Store) -> Crystals:
    """Compounds that the round before found on the hull, as relaxed."""
    found = evaluated(store)
    phases = phases_of(found, references_of(found, config.system), _scheme(store))
    above = Hull(phases).e_above_hull(phases.composition, phases.formation_energy_per_atom)
    compound = (found.relaxed.composition > 0).sum(axis=1) > 1
    return found.relaxed[(found.rounds == number - 1) & compound & (above <= ON_HULL)]


# --- screen ---------------------------------------------------------------------------------------


def _screen(number: int, config: CampaignConfig, store: Store, inputs: Inputs, scheme: str) -> str:
    """Choose what to evaluate, and note for every other candidate why not."""
    table = store.table("crystals")
    done = set(store.table("evaluations")["id"].to_pylist())
    first = 0 if number == 0 else 1  # references are not up for selection again
    open_rows = [
        i
        for i, (key, r) in enumerate(
            zip(table["id"].to_pylist(), table["round"].to_pylist(), strict=True)
        )
        if key not in done and r >= first
    ]
    table = table.take(open_rows)
    crystals = from_arrow(table)
    ids = table["id"].to_pylist()
    if number == 0:
        every = np.ones(len(crystals), dtype=bool)
        verdicts = Verdicts(every, every, np.full(len(crystals), "", dtype=object))
        columns = _Columns.none(len(crystals))
        selection = np.full(len(crystals), "reference", dtype=object)
        facts = {
            "model": "none: reference phases",
            "n_labels": 0,
            "message": "",
            "ending": "no reference phases",
        }
    else:
        columns, facts = _predict(number, config, store, crystals, scheme)
        verdicts = screen(
            crystals,
            config.screen,
            known=inputs.known_formulas,
            predicted_e_above_hull=columns.e_above_hull,
            uncertainty=columns.uncertainty,
            unpredicted=columns.unpredicted,
        )
        count, ending = _room(number, config, store, verdicts)
        merit = _merit(store, ids, columns)
        selection = select(
            crystals.reduced_formulas,
            merit,
            verdicts,
            count=count,
            random_share=config.screen.random_share,
            one_each=columns.e_above_hull is not None,
            rng=np.random.default_rng([config.seed, number]),
        )
        if not (selection == "ranked").any():
            selection[:] = None
        facts["ending"] = ending
    reason = verdicts.reason.copy()
    passed_over = verdicts.kept & (selection == None)  # noqa: E711  (element-wise)
    reason[passed_over] = "not among the best of this round"
    store.append(
        "screening",
        number,
        pa.table(
            {
                "id": ids,
                "kept": verdicts.kept,
                "reason": reason.tolist(),
                "predicted_formation_energy_per_atom": columns.optional(columns.formation_energy),
                "uncertainty": columns.optional(columns.uncertainty),
                "predicted_e_above_hull": columns.optional(columns.e_above_hull),
                "selection": selection.tolist(),
            }
        ),
    )
    n_selected = int((selection != None).sum())  # noqa: E711
    facts["message"] = f"{n_selected} of {len(ids)} open candidates selected"
    store.finish(number, "screen", facts)
    return f"round {number}: {facts['model']}; {facts['message']}"


@dataclass(frozen=True, eq=False)
class _Columns:
    """Predictions for n candidates, None without a network."""

    n: int
    formation_energy: Float64[np.ndarray, " n"] | None
    uncertainty: Float64[np.ndarray, " n"] | None
    e_above_hull: Float64[np.ndarray, " n"] | None
    unpredicted: np.ndarray | None

    @classmethod
    def none(cls, n: int) -> _Columns:
        return cls(n, None, None, None, None)

    def optional(self, values: np.ndarray | None) -> pa.Array:
        """A column in which NaN and no network are null."""
        if values is None:
            return pa.nulls(self.n, pa.float64())
        return pa.array(values, pa.float64(), from_pandas=True)


def _predict(
    number: int, config: CampaignConfig, store: Store, crystals: Crystals, scheme: str
) -> tuple[_Columns, dict[str, object]]:
    """Train on all labels and predict; without enough labels say so."""
    found = evaluated(store)
    references = references_of(found, config.system)
    phases = phases_of(found, references, scheme)
    n_labels, needed = len(found.ids), config.learn.min_labels
    if n_labels < needed:
        model = (
            f"none: ranked by simplicity, {n_labels} labels of the {needed} needed for a network"
        )
        return _Columns.none(len(crystals)), {"model": model, "n_labels": n_labels}
    model, predictor = _train(
        number, config, store, found, phases.formation_energy_per_atom, scheme
    )
    predictions = predictor.predict(crystals)
    energy = predictions.median
    sure = np.isfinite(energy)
    above = np.full(len(crystals), np.nan)
    if sure.any():
        above[sure] = Hull(phases).e_above_hull(crystals.composition[sure], energy[sure])
    columns = _Columns(len(crystals), energy, predictions.iqr, above, predictions.reasons)
    return columns, {"model": model, "n_labels": n_labels}


def _train(
    number: int,
    config: CampaignConfig,
    store: Store,
    found: Evaluated,
    formation_energy: Float64[np.ndarray, " n"],
    scheme: str,
) -> tuple[str, EnergyModel]:
    """An ensemble from the campaign's own labels: crystals as proposed and as relaxed.

    A candidate is met unrelaxed, so the network learns the energy that a crystal relaxes to.
    """
    from gnomon.models.ensemble import load_model  # noqa: PLC0415  (JAX: seconds to import)
    from gnomon.models.train import TrainConfig, train  # noqa: PLC0415

    path = store.model_path(number)
    card = train(
        Crystals.concatenate([found.initial, found.relaxed]),
        np.concatenate([formation_energy, formation_energy]),
        TrainConfig.small(seed=config.seed),
        out=path,
        scheme=scheme,
        data_name=f"{config.name}, rounds 0 to {number - 1}",
    )
    text = f"ensemble of {card.members} networks"
    if card.validation is not None:
        text += f", validation MAE {1000 * card.validation.mae:.0f} meV/atom"
    sha = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    return f"{text} (sha256 {sha})", load_model(path)


def _room(number: int, config: CampaignConfig, store: Store, verdicts: Verdicts) -> tuple[int, str]:
    """How many evaluations this round may take, and why the campaign ends if it takes none."""
    spent = pc.sum(pc.greater(store.table("evaluations")["round"], 0)).as_py() or 0
    room = min(config.budget.per_round, config.budget.evaluations - spent)
    if room <= 0:
        return 0, f"ended: the budget of {config.budget.evaluations} evaluations is used"
    if not verdicts.eligible.any():
        return room, "ended: every candidate has been evaluated or ruled out"
    return room, (
        "ended: no open candidate is predicted within "
        f"{config.screen.threshold:g} eV/atom of the hull"
    )


def _merit(store: Store, ids: list[str], columns: _Columns) -> Float64[np.ndarray, " n"]:
    """What to rank by, lower first: predicted e_above_hull, else the generators' own preference."""
    if columns.e_above_hull is not None:
        return np.where(np.isfinite(columns.e_above_hull), columns.e_above_hull, np.inf)
    lineage = store.table("lineage")
    score = dict(zip(lineage["id"].to_pylist(), lineage["score"].to_pylist(), strict=True))
    return np.array([-(score[key] or 0.0) for key in ids], dtype=np.float64)


# --- evaluate -------------------------------------------------------------------------------------


def _selected(store: Store, number: int) -> pa.Table:
    """Rows of the candidates selected in a round, in the order of the screening."""
    chosen = store.table("screening", number)
    chosen = chosen.filter(pc.is_valid(chosen["selection"]))["id"].to_pylist()
    crystals = store.table("crystals")
    position = {key: i for i, key in enumerate(crystals["id"].to_pylist())}
    return crystals.take([position[key] for key in chosen])


def _evaluate(
    number: int,
    store: Store,
    evaluator: Evaluator,
    selected: pa.Table,
    listener: Listener,
    deadline: float,
) -> bool:
    """Evaluate what this round has not evaluated yet; False if time ran out before the end."""
    done = set(store.table("evaluations", number)["id"].to_pylist())
    left = selected.filter(pa.array([key not in done for key in selected["id"].to_pylist()]))
    crystals, ids = from_arrow(left), left["id"].to_pylist()
    total, start = len(selected), 0
    listener.tick(f"round {number}: evaluating", total - len(ids), total)
    results = evaluator.evaluate(crystals, chunk=SHARD)
    for part in results:
        stop = start + len(part.relaxed)
        store.append("evaluations", number, rows_of(ids[start:stop], part, evaluator.scheme))
        start = stop
        listener.tick(f"round {number}: evaluating", total - len(ids) + start, total)
        if time.monotonic() > deadline and start < len(ids):
            return False
    store.finish(number, "evaluate", {"evaluated": total})
    return True


def _summarise(number: int, config: CampaignConfig, store: Store) -> str:
    """One line on what the round brought."""
    found = evaluated(store)
    statuses = store.table("evaluations", number)["status"].to_pylist()
    phases = phases_of(found, references_of(found, config.system), _scheme(store))
    above = Hull(phases).e_above_hull(phases.composition, phases.formation_energy_per_atom)
    compound = (phases.composition > 0).sum(axis=1) > 1
    stable = sorted(set(found.relaxed[(above <= ON_HULL) & compound].reduced_formulas))
    converged = sum(status == "converged" for status in statuses)
    names = ", ".join(stable) if stable else "no compound"
    return f"round {number}: {converged} of {len(statuses)} converged; on the hull: {names}"


def _scheme(store: Store) -> str:
    return str(store.provenance["scheme"])


def _read_inputs(config: CampaignConfig, listener: Listener) -> Inputs:
    batches = []
    for paths in (config.generate.parents, config.generate.known):
        if not paths:
            batches.append(Crystals.empty())
            continue
        result = read(list(paths))
        if len(result.rejects):
            first = result.rejects.slice(0, 1).to_pylist()[0]
            listener.say(
                f"{len(result.rejects)} records left out, the first: {first['source']}: "
                f"{first['reason']}"
            )
        batches.append(result.crystals)
    return Inputs(*batches)
