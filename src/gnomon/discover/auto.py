"""What decides where nobody says: settled when a campaign begins, and kept in its settings."""

from __future__ import annotations

from importlib.util import find_spec

from pydantic import ValidationError

from gnomon.discover.settings import AUTO, CampaignConfig, LevelConfig, settings_of
from gnomon.evaluate import Evaluator
from gnomon.evaluate.registry import make_evaluator
from gnomon.evaluate.sharded import Sharded
from gnomon.potential.weights import BUNDLED, PUBLISHED, fetch
from gnomon.run.http import Patience
from gnomon.run.listener import SILENT, Listener
from gnomon.run.store import Store
from gnomon.run.writing import StoreError

DECIDES = "nequix-oam-1-pft"
"""The best of the published weights (Matbench-Discovery's F1 0.848 on a sample of WBM crystals)."""

PATIENCE = Patience(silence=5.0, seconds=60.0, attempts=2, pause=0.5)
"""With the server of the weights: without a network a campaign begins all the same."""

HOW_TO = (
    f"begin with `--decide NAME`, or with a potential in the package after `gnomon weights fetch "
    f"{DECIDES}` (2.8 MB) or `pip install 'gnomon[sevennet]'`, for a level that does"
)


def settled(config: CampaignConfig, store: Store, listener: Listener = SILENT) -> CampaignConfig:
    """The settings with their levels named: those of the folder, if a campaign was begun there.

    Raises:
        StoreError: if what decided the campaign is not there any more.
    """
    if config.decide.levels != AUTO:
        return config
    if not store.exists:
        levels = _best(listener) if config.evaluator.name in BUNDLED else ()
    else:
        kept = settings_of(store.provenance)["decide"]["levels"]
        try:
            levels = tuple(LevelConfig.model_validate(level) for level in kept)
        except ValidationError as error:
            names = ", ".join(level["name"] for level in kept)
            reason = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise StoreError(f"{store.root} is decided by {names}: {reason}") from error
    return config.model_copy(update={"decide": config.decide.model_copy(update={"levels": levels})})


def _best(listener: Listener) -> tuple[LevelConfig, ...]:
    """The best potential that can be had."""
    try:
        fetch(PUBLISHED[DECIDES], listener=listener, patience=PATIENCE)
    except OSError as error:
        listener.say(str(error).splitlines()[0])
    else:
        return (LevelConfig(name=DECIDES),)
    return (LevelConfig(name="sevennet"),) if find_spec("sevenn") else ()


def deciding(config: CampaignConfig, listener: Listener = SILENT) -> tuple[Evaluator, ...]:
    """The evaluators that decide, one level after the other; the levels are settled.

    Raises:
        ValueError: if one of them cannot be made.
    """
    levels = config.decide.levels
    assert not isinstance(levels, str), "settle the levels first"
    return tuple(make_evaluator(one, one.relax or config.relax, listener) for one in levels)


def divided(
    config: CampaignConfig,
    evaluators: tuple[Evaluator, ...],
    store: Store,
    listener: Listener = SILENT,
) -> tuple[Evaluator, ...]:
    """The evaluators of all levels, their work divided into shards where the settings say so."""
    if not config.run.shard_evaluations:
        return evaluators
    levels = config.decide.levels
    assert not isinstance(levels, str), "settle the levels first"
    relaxes = (config.relax, *(one.relax or config.relax for one in levels))
    place, engine = store.root.absolute() / "work" / "evaluate", config.run.engine()
    return tuple(
        Sharded(own, relax, evaluator.scheme, engine, place, listener)
        for evaluator, own, relax in zip(
            evaluators, (config.evaluator, *levels), relaxes, strict=True
        )
    )


def told(schemes: tuple[str, ...]) -> str:
    """The levels of a campaign in a line."""
    if not schemes[1:]:
        return f"nothing decides what {schemes[0]} predicts: {HOW_TO}"
    return f"{schemes[0]} screens; {', then '.join(schemes[1:])} decides"
