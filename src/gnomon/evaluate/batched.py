"""A potential as an evaluator: batched relaxation, cell and positions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gnomon.dynamics.relax import SKIN, relax
from gnomon.dynamics.settings import RelaxConfig
from gnomon.evaluate import Evaluations
from gnomon.evaluate.registry import EvaluatorConfig
from gnomon.io import as_crystals
from gnomon.learn.compilation import cache_compilations
from gnomon.potential.batch import Shape
from gnomon.potential.predict import LoadedPotential, load_potential
from gnomon.run.listener import Listener


class BatchedEvaluator:
    """Relaxes crystals in batches with a potential; an ``Evaluator``."""

    def __init__(
        self,
        potential: LoadedPotential,
        relax: RelaxConfig | None = None,
        *,
        capacity: Shape | None = None,
        skin: float = SKIN,
    ) -> None:
        """Also lets JAX keep compiled programs on disk (``cache_compilations``).

        Args:
            potential: with its name, which is part of the energy scheme.
            relax: when to stop and what to keep (``dynamics.relax.relax``).
            capacity: size of a batch (by default that of ``relax``).
            skin: Å.
        """
        self.potential, self.relax = potential, relax or RelaxConfig()
        self.capacity, self.skin = capacity, skin
        cache_compilations()

    @property
    def scheme(self) -> str:
        """That of the weights: how a crystal was relaxed does not change what energies mean."""
        return self.potential.scheme

    def evaluate(self, crystals: Any) -> Iterator[Evaluations]:
        """Yield results one by one, in the order of the crystals; others are in work meanwhile."""
        batch = as_crystals(crystals)
        results = relax(batch, self.potential, self.relax, capacity=self.capacity, skin=self.skin)
        for i, result in enumerate(results):
            yield Evaluations.of([result], batch.ids[i : i + 1], self.scheme)


def make(config: EvaluatorConfig, relax: RelaxConfig, listener: Listener) -> BatchedEvaluator:
    """The evaluator of weights by name or path."""
    return BatchedEvaluator(load_potential(config.name, listener=listener), relax)
