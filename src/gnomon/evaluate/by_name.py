"""Evaluators by name, and crystals relaxed by one: what a notebook asks for in a line."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from pydantic import ValidationError

from gnomon.chemistry.elemental import ground_state
from gnomon.crystals import Crystals
from gnomon.dynamics.settings import RelaxConfig
from gnomon.evaluate import Evaluations, Evaluator, Status
from gnomon.evaluate.registry import DEFAULT_EVALUATOR, NAMES, EvaluatorConfig, make_evaluator
from gnomon.evaluate.scheme import EnergyScheme
from gnomon.evaluate.table import evaluate_all
from gnomon.hull.phases import MissingElementError
from gnomon.io.objects import as_crystals, like
from gnomon.potential.weights import BUNDLED, bundled_path
from gnomon.run.listener import SILENT, Listener

NAMED = re.compile(r"(?P<name>[\w.-]+)(?P<options>\{.*\})? \([^()]*\)", re.DOTALL)
"""A checkpoint in the name of a scheme: the evaluator, its options, and which release it is."""


def of_scheme(scheme: str, listener: Listener = SILENT) -> Evaluator:
    """The evaluator that gives energies of this scheme: weights by name, or a calculator of ASE.

    A table names its scheme, and a table may come from anyone: no other calculator is made of it.

    Raises:
        ValueError: if none can be made, or the one of this name is of another release.
    """
    parts = EnergyScheme.parse(scheme)
    match = NAMED.fullmatch(parts.checkpoint)
    name = "" if match is None else match["name"]
    if name not in NAMES and not name.startswith("ase.calculators."):
        raise ValueError(f"no evaluator can be made from the name of the scheme {scheme!r}")
    config = EvaluatorConfig(
        name=name if name in NAMES else f"ase:{name}",
        options=json.loads((match and match["options"]) or "{}"),
        corrections="mp2020" if parts.corrections == "MP2020" else "none",
    )
    made = make_evaluator(config, RelaxConfig(), listener)
    if made.scheme != scheme:
        raise ValueError(f"the evaluator here is {made.scheme}, not {scheme}")
    return made


def related(scheme: str, other: str) -> str:
    """Whose labels two potentials share, by the cards of their files; empty where none are known.

    >>> teacher = "nequix-oam-1-pft (sha256 4ce693d68886), MP2020 corrections"
    >>> related("gnomon-1 (sha256 b43519c65e90), MP2020 corrections", teacher)
    'nequix-oam-1-pft (sha256 4ce693d68886)'
    >>> related("ase.calculators.emt.EMT (ase 3.29.0)", teacher)
    ''

    Args:
        scheme: of one potential.
        other: of the other.
    """
    own, others = (_labelled_by(EnergyScheme.parse(name).checkpoint) for name in (scheme, other))
    return next((name for name in own if name in others), "")


def _labelled_by(checkpoint: str) -> tuple[str, ...]:
    """A checkpoint, and the one whose labels it learned from; calculations have none."""
    name = checkpoint.partition(" (")[0]
    if name not in BUNDLED:
        return (checkpoint,) if checkpoint else ()
    from gnomon.potential.checkpoint import load

    card = load(bundled_path(name)).card
    return (checkpoint,) if card is None else (checkpoint, card.scheme)


def elements_in(symbols: Sequence[str], scheme: str, listener: Listener) -> dict[str, float]:
    """Energies (eV/atom) of elements in their ground states, by the evaluator of this scheme.

    Raises:
        MissingElementError: if one cannot be had: evaluate it by hand.
    """
    names, states = ", ".join(symbols), [ground_state(symbol) for symbol in symbols]
    todo = f"evaluate crystals of {names} with the same evaluator, and put them into the table"
    if unknown := [s for s, state in zip(symbols, states, strict=True) if state is None]:
        raise MissingElementError(f"no ground state of {', '.join(unknown)} is known: {todo}")
    try:
        judge = of_scheme(scheme, listener)
    except (ValueError, OSError) as error:
        raise MissingElementError(f"no energies of {names} ({error}): {todo}") from error
    listener.say(f"evaluating {names}, which the table lacks, with {judge.scheme}")
    crystals = Crystals.concatenate([state.crystal for state in states if state is not None])
    found = evaluate_all(crystals, judge, listener, "elements")
    failed = {
        s: m or t
        for s, t, m in zip(symbols, found.status, found.message, strict=True)
        if t != Status.CONVERGED
    }
    if failed:
        said = "; ".join(f"{symbol}: {why}" for symbol, why in failed.items())
        raise MissingElementError(f"no energies of all elements ({said}): {todo}")
    return dict(zip(symbols, found.energy_per_atom.tolist(), strict=True))


class Relaxed(NamedTuple):
    """What ``relax`` gives back.

    Attributes:
        relaxed: what was given, relaxed: ``Crystals``, a ``Structure``, an ``Atoms`` or a list.
        evaluations: n rows with energy, status and what went wrong, in the same order.
    """

    relaxed: Any
    evaluations: Evaluations


def evaluator(
    name: str = DEFAULT_EVALUATOR,
    *,
    options: Mapping[str, Any] | None = None,
    corrections: Literal["mp2020", "none"] | None = None,
    workers: int = 0,
    relax: RelaxConfig | None = None,
    trust_factory: bool = False,
) -> Evaluator:
    """The evaluator of this name, as on the command line.

    >>> evaluator("ase:ase.calculators.emt.EMT").scheme.partition(" (")[0]
    'ase.calculators.emt.EMT'

    Args:
        name: weights of a potential (``gnomon-2``, ``nequix-mp-1``, a file), ``gpaw``, or
            ``ase:module.Class`` of any ASE calculator.
        options: arguments of the ASE calculator, or settings of GPAW.
        corrections: ``mp2020`` adds the Materials Project's corrections, as potentials do unless
            ``none`` is asked for.
        workers: processes of a calculator; 0 takes one a core.
        relax: when a relaxation ends (``RelaxConfig``: eV/Å, steps, seconds) and what it keeps.
        trust_factory: call any function that makes the ASE calculator, not only the known ones.

    Raises:
        ValueError: if there is no evaluator of this name, or it refuses the options.
    """
    try:
        config = EvaluatorConfig(
            name=name,
            options=dict(options or {}),
            corrections=corrections,
            workers=workers,
            trust_factory=trust_factory,
        )
    except ValidationError as error:
        reasons = [one["msg"].removeprefix("Value error, ") for one in error.errors()]
        raise ValueError("; ".join(reasons)) from error
    return make_evaluator(config, relax or RelaxConfig())


def relax(given: Any, by: str | Evaluator = DEFAULT_EVALUATOR) -> Relaxed:
    """Relax positions and cells.  A crystal that fails comes back with a status that says so.

    >>> from ase.build import bulk
    >>> atoms, found = relax(bulk("Cu", a=3.7))
    >>> found.status.tolist(), round(float(atoms.get_volume()), 1)
    (['converged'], 11.9)
    >>> round(float(found.energy_per_atom[0]), 2)
    -4.09

    Args:
        given: ``Crystals``, a pymatgen ``Structure``, an ASE ``Atoms``, or a list of them.
        by: name of an evaluator, or what ``gnomon.evaluator`` returned.

    Returns:
        What was given, relaxed, and its evaluations: energies in eV/atom of their ``scheme``, the
        largest force left in eV/Å.

    Raises:
        ValueError: if there is no evaluator of this name.
        InputError: if what was given holds no crystals.
    """
    judge = evaluator(by) if isinstance(by, str) else by
    crystals = as_crystals(given)
    evaluations = evaluate_all(crystals, judge, SILENT)
    return Relaxed(like(evaluations.relaxed, given), evaluations)
