"""Stage two of a round: a network ranks the open candidates, the screen says which to evaluate."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float64, Shaped

from gnomon.crystals import Crystals
from gnomon.discover.breeding import by_objectives
from gnomon.discover.campaign import Campaign
from gnomon.discover.evaluate import spent
from gnomon.discover.inputs import Inputs
from gnomon.discover.level import Level
from gnomon.discover.prior import bundled_models, log_odds
from gnomon.discover.screen import Verdicts, screen, select
from gnomon.discover.settings import CampaignConfig
from gnomon.discover.wide.networks import network_of
from gnomon.discover.wide.ranking import evidence
from gnomon.discover.wide.shortlist import learned_weights, looked_up, scores_of
from gnomon.evaluate import Evaluator
from gnomon.generate.prototypes.occurrence import Occurrence
from gnomon.hull.convex import Hull
from gnomon.hull.phases import formation_energies
from gnomon.io import from_arrow
from gnomon.models import EnergyModel, Predictions
from gnomon.models.bundled import BUNDLED, STRUCTURAL
from gnomon.models.card import Labelled
from gnomon.run.files import sha256_of


@dataclass(frozen=True, eq=False)
class Ranking:
    """What is known about n candidates before they are evaluated; eV/atom.

    Attributes:
        merit: to rank by, lower first.
        model: what ranked them, for people to read.
        n_labels: converged compounds that it learned from, or could have.
        predictions: of a network of the campaign's own, or of the potential that screens; None
            without one.
        e_above_hull: predicted; None without such predictions.
        by_formula: whether compositions take turns.
        one_each: whether only the best of each composition is worth a try.
    """

    merit: Float64[np.ndarray, " n"]
    model: str
    n_labels: int
    predictions: Predictions | None = None
    e_above_hull: Float64[np.ndarray, " n"] | None = None
    by_formula: bool = True
    one_each: bool = False


def choose(
    number: int,
    config: CampaignConfig,
    campaign: Campaign,
    inputs: Inputs,
    evaluator: Evaluator,
) -> str:
    """Choose what the evaluator is to screen, and note for every other candidate why not."""
    table, notes = _open(number, campaign), list[str]()
    crystals, ids = from_arrow(table), table["id"].to_pylist()
    if number == 0:
        ranking = Ranking(np.zeros(len(ids)), "none: reference phases", 0)
        every = np.ones(len(ids), dtype=bool)
        verdicts = Verdicts(every, every, np.full(len(ids), "", dtype=object))
        selection = np.full(len(ids), "reference", dtype=object)
        ending = "ended: there are no reference phases"
    else:
        left = config.budget.evaluations - spent(campaign)[0]
        if inputs.database is None:
            ranking = _rank(number, config, campaign, evaluator, crystals, ids, left)
        else:
            hull = inputs.database.hull
            ranking = _rank_all(number, config, campaign, crystals, ids, left, hull)
        found = ranking.predictions
        trained = found is not None
        verdicts = screen(
            crystals,
            config.screen,
            known=inputs.known_formulas,
            predicted_e_above_hull=ranking.e_above_hull,
            uncertainty=None if found is None else found.iqr,
            unpredicted=None if found is None else found.reasons,
        )
        pool = verdicts
        if inputs.database is not None:  # the folder holds the best, of which no draw is random
            drawn = np.array([key in campaign.drawn for key in ids], bool)
            pool = replace(verdicts, eligible=verdicts.eligible & drawn)
        per_round = config.budget.per_round if trained else config.budget.first_round
        count = max(0, min(per_round, left))
        wanted, notes = by_objectives(
            crystals, ranking.merit, verdicts.kept, config.generate.objectives
        )
        share = round(config.screen.objective_share * count)
        selection = select(
            crystals.reduced_formulas if ranking.by_formula else crystals.ids,
            ranking.merit,
            replace(pool, wanted=tuple(wanted.tolist()), places=share),
            count=count,
            random_share=config.screen.random_share,
            one_each=ranking.one_each,
            rng=np.random.default_rng([config.seed, number]),
        )
        if not verdicts.kept.any():
            selection[:] = None  # a baseline alone finds nothing: the campaign ends
        ending = _ending(config, verdicts, left)
    campaign.store.append("screening", number, _verdict_rows(ids, verdicts, ranking, selection))
    n_selected = sum(how is not None for how in selection)
    message = f"{n_selected} of {len(ids)} open candidates selected"
    message = "; ".join([message, *notes])
    facts = {
        "model": ranking.model,
        "n_labels": ranking.n_labels,
        "message": message,
        "ending": ending,
    }
    campaign.store.finish(number, "screen", facts)
    return f"round {number}: {ranking.model}; {message}"


def _open(number: int, campaign: Campaign) -> pa.Table:
    """Candidates not evaluated yet; references are up for selection in round 0 only."""
    table = campaign.crystals
    if number > 0:
        table = table.filter(pc.greater(table["round"], 0))
    return table.filter(pc.invert(pc.is_in(table["id"], campaign.evaluations["id"])))


def _verdict_rows(
    ids: list[str],
    verdicts: Verdicts,
    ranking: Ranking,
    selection: Shaped[np.ndarray, " n"],
) -> pa.Table:
    passed_over = [bool(k) and how is None for k, how in zip(verdicts.kept, selection, strict=True)]
    reason = np.where(passed_over, "not among the best of this round", verdicts.reason)
    found, nothing = ranking.predictions, np.full(len(ids), np.nan)
    columns = {
        "predicted_formation_energy_per_atom": nothing if found is None else found.median,
        "uncertainty": nothing if found is None else found.iqr,
        "predicted_e_above_hull": nothing if found is None else ranking.e_above_hull,
    }
    return pa.table(
        {
            "id": pa.array(ids, pa.string()),
            "kept": verdicts.kept,
            "reason": pa.array(reason.tolist(), pa.string()),
            **{name: pa.array(c, pa.float64(), from_pandas=True) for name, c in columns.items()},
            "selection": pa.array(selection.tolist(), pa.string()),
        }
    )


def _rank(
    number: int,
    config: CampaignConfig,
    campaign: Campaign,
    evaluator: Evaluator,
    crystals: Crystals,
    ids: list[str],
    left: int,
) -> Ranking:
    """By the hull so far, with energies that are expected; before there are enough, by others'."""
    n_labels = int(campaign.level(0).placed.compound.sum())
    if left <= 0 or not len(crystals):
        return Ranking(np.zeros(len(ids)), "none: nothing is left to rank", n_labels)
    if n_labels < config.learn.min_labels:
        return _rank_first(config, campaign, crystals, ids, n_labels)
    if config.learn.estimates:
        from gnomon.evaluate.expected import estimated  # e3nn: 60 MB, which workers do without

        energies = estimated(evaluator, crystals)
        if energies is not None:
            return _rank_estimated(campaign.level(0), crystals, energies, n_labels)
    model, network = _train(number, config, campaign)
    predictions = network.predict(crystals)
    above = _above(campaign.hull, crystals, predictions)
    return Ranking(_last(above), model, n_labels, predictions, above, one_each=True)


def _rank_first(
    config: CampaignConfig, campaign: Campaign, crystals: Crystals, ids: list[str], n_labels: int
) -> Ranking:
    """By what other crystals tell, or by the generators' own preference."""
    few = f"{n_labels} labels of the {config.learn.min_labels} that are needed"
    if config.learn.prior:
        occurrence = Occurrence.load(config.learn.prototypes)
        merit = -log_odds(crystals, occurrence, bundled_models())
        names = ", ".join([config.learn.prototypes, *BUNDLED])
        said = f"{names}, which learned from other data: {few}"
        return Ranking(merit, said, n_labels, by_formula=False)
    lineage = campaign.lineage.select(["id", "score"]).to_pylist()
    score = {row["id"]: row["score"] or 0.0 for row in lineage}
    merit = -np.array([score[key] for key in ids], dtype=np.float64)
    return Ranking(merit, f"none: ranked by the generators, {few}", n_labels)


def _rank_estimated(
    screening: Level, crystals: Crystals, energies: Float64[np.ndarray, " n"], n_labels: int
) -> Ranking:
    """By the energies that the potential that screens has for candidates as proposed."""
    composition = crystals.composition
    references = screening.fitted or screening.placed.references
    formation = formation_energies(composition, energies, references)
    reasons = np.where(np.isfinite(formation), "", "not known to the potential").astype(object)
    predictions = Predictions(formation[None], reasons)
    above = _above(screening.hull, crystals, predictions)
    said = f"{screening.scheme}, of candidates as proposed, at the best of five volumes"
    return Ranking(_last(above), said, n_labels, predictions, above)


def _above(hull: Hull, crystals: Crystals, predictions: Predictions) -> Float64[np.ndarray, " n"]:
    """Above a hull by what is predicted, eV/atom; NaN where nothing is."""
    sure = predictions.predicted
    above = np.full(len(crystals), np.nan)
    if sure.any():
        above[sure] = hull.e_above_hull(crystals.composition[sure], predictions.median[sure])
    return above


def _rank_all(
    number: int,
    config: CampaignConfig,
    campaign: Campaign,
    crystals: Crystals,
    ids: list[str],
    left: int,
    hull: Hull,
) -> Ranking:
    """By odds from all evidence, whose weights learned from the rounds before."""
    n_labels = spent(campaign)[0]
    if left <= 0 or not len(crystals):
        return Ranking(np.zeros(len(ids)), "none: nothing is left to rank", n_labels)
    network = network_of(number, campaign)
    rows, predictions = looked_up(crystals, scores_of(campaign, ids), config, network, hull)
    odds = evidence(rows) @ learned_weights(config, campaign)
    above = rows["predicted_e_above_hull"].to_numpy(zero_copy_only=False)
    name = STRUCTURAL if network == STRUCTURAL else f"{STRUCTURAL}, taught by rounds before,"
    told = f"odds from {name} and {config.learn.prototypes}"
    if n_labels:
        told += f", weighed anew by {n_labels} evaluations"
    return Ranking(-odds, told, n_labels, predictions, above, one_each=True)


def _last(above: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    """Energies to rank by: what cannot be predicted comes last."""
    return np.where(np.isfinite(above), above, np.inf)


def _train(number: int, config: CampaignConfig, campaign: Campaign) -> tuple[str, EnergyModel]:
    """An ensemble from the campaign's own labels: crystals as proposed and as relaxed.

    A candidate is met unrelaxed, so the network learns the energy that a crystal relaxes to.  Its
    labels are energies of the level that answers; of phases that this has not decided, those that
    it is expected to find: few are decided, and all near the hull.
    """
    from gnomon.models.ensemble import train_into
    from gnomon.models.structural.train import TrainConfig, train

    placed, labels = campaign.level(0).placed, campaign.expected_energies
    at = pc.index_in(pa.array(placed.found.ids, pa.string()), campaign.crystals["id"])
    data = Labelled(
        Crystals.concatenate([from_arrow(campaign.crystals.take(at)), placed.found.relaxed]),
        np.concatenate([labels, labels]),
        name=f"{config.name}, rounds 0 to {number - 1}",
        scheme=campaign.scheme,
    )
    with campaign.store.making(campaign.store.model_name(number)) as path:
        model = train_into(path, train, data, TrainConfig.small(seed=config.seed))
        checksum = sha256_of(path)
    text = f"ensemble of {model.members} networks"
    if model.card is not None and model.card.validation is not None:
        text += f", validation MAE {1000 * model.card.validation.mae:.0f} meV/atom"
    return f"{text} (sha256 {checksum[:12]}...)", model


def _ending(config: CampaignConfig, verdicts: Verdicts, left: int) -> str:
    """Why the campaign ends in this round, if it selects nothing."""
    if left <= 0:
        return f"ended: the budget of {config.budget.evaluations} evaluations is used"
    if not verdicts.eligible.any():
        return "ended: every candidate has been evaluated or ruled out"
    return (
        "ended: no open candidate is predicted within "
        f"{config.screen.threshold:g} eV/atom of the hull"
    )
