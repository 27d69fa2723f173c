"""Evaluators by name, and crystals relaxed by one: what a notebook asks for in a line."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from pydantic import ValidationError

from gnomon.dynamics.settings import RelaxConfig
from gnomon.evaluate import Evaluations, Evaluator
from gnomon.evaluate.registry import DEFAULT_EVALUATOR, EvaluatorConfig, make_evaluator
from gnomon.evaluate.table import evaluate_all
from gnomon.io.objects import as_crystals, like
from gnomon.run.listener import SILENT


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
        name: weights of a potential (``gnomon-1``, ``nequix-mp-1``, a file), ``gpaw``, or
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
