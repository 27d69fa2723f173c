"""Any ASE calculator as an evaluator: positions and cell are relaxed, failures become statuses.

A calculator is named ``module.Class``, such as ``ase.calculators.emt.EMT`` (effective medium theory
for Al, Cu, Ag, Au, Ni, Pd and Pt: Jacobsen, Stoltze and Nørskov, Surf. Sci. 366, 394 (1996)).
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

from gnomon.crystals import Crystals
from gnomon.dynamics.result import Relaxation, Status
from gnomon.dynamics.settings import RelaxConfig
from gnomon.evaluate import Evaluations
from gnomon.evaluate.calculators import make_calculator
from gnomon.evaluate.registry import EVALUATORS, NAMES, EvaluatorConfig
from gnomon.evaluate.relaxing import relax_one
from gnomon.io import as_crystals
from gnomon.run.listener import SILENT, Listener
from gnomon.run.pool import Lost, Pool, processes

GRACE = 2.0
"""A worker is stopped at this factor of the time limit: the limit itself is kept between steps."""


class AseEvaluator:
    """Relaxes crystals with an ASE calculator in a pool of processes."""

    def __init__(
        self,
        calculator: str,
        options: dict[str, Any] | None = None,
        relax: RelaxConfig | None = None,
        workers: int = 1,
        trust: bool = False,
        title: str = "",
    ) -> None:
        """Of one calculator.

        Args:
            calculator: dotted name.
            options: its keyword arguments.
            relax: when to stop and what to keep.
            workers: processes.
            trust: call functions that nobody knows, too (``make_calculator``).
            title: of its energies; its name and options unless given.

        Raises:
            ValueError: if there is no such calculator or it refuses the options.
        """
        self.calculator, self.options, self.trust = calculator, options or {}, trust
        written = json.dumps(self.options, sort_keys=True) if self.options else ""
        self.title = title or f"{calculator}{written}"
        self.relax, self.workers = relax or RelaxConfig(), max(1, workers)
        make_calculator(calculator, self.options, trust)

    @property
    def scheme(self) -> str:
        """Title (calculator and options) and the version of the package that it comes from."""
        package = self.calculator.split(".", maxsplit=1)[0]
        release = getattr(importlib.import_module(package), "__version__", "unknown version")
        return f"{self.title} ({package} {release})"

    def evaluate(self, crystals: Any) -> Iterator[Evaluations]:
        """Yield results one by one, in the order of the crystals."""
        shared = (self.calculator, self.options, self.trust, self.relax)
        limit = GRACE * self.relax.max_seconds
        yield from in_pool(relax_by_name, shared, crystals, self.workers, limit, self.scheme)


def in_pool(
    function: Callable[..., Relaxation],
    shared: tuple[Any, ...],
    crystals: Any,
    workers: int,
    limit: float,
    scheme: str,
) -> Iterator[Evaluations]:
    """``function(*shared, crystal)`` of each crystal, in order, each in a process of a pool.

    A crystal that takes its process along, or more than ``limit`` seconds, is a row as well.
    """
    each = list(as_crystals(crystals))
    with Pool[Crystals, Relaxation](function, shared, workers, limit) as pool:
        for crystal, answer in zip(each, pool.run(each), strict=True):
            if isinstance(answer, Lost):
                status = Status.TIMEOUT if answer.timed_out else Status.EXPLODED
                result = Relaxation(crystal, status, answer.reason, seconds=answer.seconds)
            else:
                result = answer
            yield Evaluations.of([result], crystal.ids, scheme)


def relax_by_name(
    calculator: str, options: dict[str, Any], trust: bool, config: RelaxConfig, crystal: Crystals
) -> Relaxation:
    """Relax one crystal; every failure is a status."""
    written = json.dumps(options, sort_keys=True)
    return relax_one(crystal, lambda _: _ready_calculator(calculator, written, trust), config)


def _ready_calculator(name: str, options: str, trust: bool) -> Any:
    """A calculator that remembers no crystal; learned potentials take seconds to load, so kept."""
    calculator = _kept_calculator(name, options, trust)
    if hasattr(calculator, "reset"):
        calculator.reset()
        return calculator
    return make_calculator(name, json.loads(options), trust)


@lru_cache(maxsize=1)
def _kept_calculator(name: str, options: str, trust: bool) -> Any:
    return make_calculator(name, json.loads(options), trust)


def make(config: EvaluatorConfig, relax: RelaxConfig, listener: Listener) -> AseEvaluator:
    """The evaluator of the name ``ase:module.Class``."""
    name, workers = config.name.partition(":")[2], processes(config.workers)
    return AseEvaluator(name, config.options, relax, workers, config.trust_factory)


SEVENNET = {"model": "7net-l3i5", "device": "cpu"}
"""SevenNet-l3i5 (Park et al., J. Chem. Theory Comput. 20, 4857 (2024)), whose checkpoint lies in
the package sevenn, so that it needs no network."""


def make_sevennet(config: EvaluatorConfig, relax: RelaxConfig, listener: Listener) -> AseEvaluator:
    """The evaluator of the name ``sevennet``; its options are those of its calculator.

    Raises:
        ValueError: if its package is not installed.
    """
    if find_spec("sevenn") is None:
        raise ValueError("sevennet needs the package sevenn: pip install 'gnomon[sevennet]'")
    options = SEVENNET | config.options
    changed = {k: v for k, v in options.items() if k not in SEVENNET}  # a device changes no energy
    title = f"{options['model']}{json.dumps(changed, sort_keys=True) if changed else ''}"
    name, workers = "sevenn.calculator.SevenNetCalculator", processes(config.workers)
    return AseEvaluator(name, options, relax, workers, title=title)


def calculator_of(config: EvaluatorConfig) -> tuple[Any, str]:
    """An ASE calculator of a potential that evaluates, without corrections, and its scheme.

    Raises:
        ValueError: if there is none, or molecular dynamics with it would take years.
    """
    if config.kind in ("", *NAMES):
        from gnomon.potential.calculator import Calculator

        found = Calculator(config.name)
        return found, found.scheme
    if config.kind not in ("ase", "sevennet"):
        raise ValueError(
            f"{config.name} moves no atoms: name weights of a potential, or ase:module.Class"
        )
    made: AseEvaluator = EVALUATORS.get(config.kind)(config, RelaxConfig(), SILENT)
    return make_calculator(made.calculator, made.options, made.trust), made.scheme
