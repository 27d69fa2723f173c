"""Rivals of a find in its composition: which compete at the higher level, and what they change."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest

from gnomon.crystals import Crystals
from gnomon.discover import Campaign, discover
from gnomon.discover.placed import RELAXED_SYMPREC
from gnomon.discover.settings import load_config
from gnomon.evaluate import Evaluations
from gnomon.run.listener import SILENT
from gnomon.run.store import Store
from gnomon.structure.symmetry import space_groups
from gnomon.verify.output import sentence
from gnomon.verify.plan import plan
from gnomon.verify.verdicts import Verdict
from tests.conftest import EMT
from tests.small_campaigns import remembered
from tests.verified import ROUND_OFF, Mixing, run


class Preferring(Mixing):
    """Energies of the composition, but AlNi pays so much (eV/atom) for the structure of CsCl."""

    def __init__(self, scheme: str, cost: float) -> None:
        super().__init__(scheme)
        self.cost = cost

    def _results(self, part: Crystals) -> Evaluations:
        cscl = (part.reduced_formulas == "AlNi") & (space_groups(part) == 221)
        found = super()._results(part)
        return replace(found, energy_per_atom=found.energy_per_atom + self.cost * cscl)


def test_a_structure_that_lies_lower_at_the_higher_level_takes_the_place_of_the_find(
    tmp_path: Path,
) -> None:
    """The potential has CsCl 3 meV/atom below its rival, the higher level has it above by as much.

    As with CuAu, whose find was called stable although another structure of the campaign, 3
    meV/atom higher there, was never asked for.
    """
    overrides: dict[str, Any] = {
        "system": "Al-Ni",
        "evaluator.name": EMT,
        "generate.generators": ["prototypes"],
        "generate.max_atoms": 2,
        "learn.prior": False,
        "budget.rounds": 1,
        "budget.first_round": 8,
    }
    store = Store(tmp_path / "campaign")
    discover(load_config(None, overrides), store, Preferring("potential", -0.003), SILENT)
    (target,) = plan(Campaign(store), 1).targets
    assert (target.find.reduced_formula, target.find.space_group) == ("AlNi", 221)
    assert len(target.polymorphs) == 1
    assert set(target.polymorphs) < set(target.competing)
    higher = Preferring("higher", 0.003)
    (outcome,) = run(plan(Campaign(store), 1), tmp_path / "all", higher).outcomes
    assert outcome.verdict == Verdict.OTHER_STRUCTURE
    assert re.match(r"AlNi in \S+ lies 3\.0 meV/atom lower", outcome.reason)
    assert outcome.e_above_hull == pytest.approx(0.003, abs=ROUND_OFF)
    assert outcome.distance_to_rest == pytest.approx(-0.097, abs=ROUND_OFF)
    lower = run(plan(Campaign(store), 1), tmp_path / "agree", Preferring("agrees", -0.001))
    assert lower.outcomes[0].verdict == Verdict.STABLE
    narrow = plan(Campaign(store), 1, margin=0.002)
    assert narrow.targets[0].polymorphs == ()
    with pytest.raises(ValueError, match=r"--margin -0\.1"):
        plan(Campaign(store), 1, margin=-0.1)


groups_of = remembered(space_groups)  # each level asks for the same crystals


class Perturbed(Mixing):
    """Energies of the composition, and for each seed up to so much (eV/atom) by the structure."""

    def __init__(self, scheme: str, most: dict[int, float]) -> None:
        super().__init__(scheme)
        self.most = most

    def _results(self, part: Crystals) -> Evaluations:
        found = super()._results(part)
        energy = found.energy_per_atom.copy()
        for i, (formula, group) in enumerate(
            zip(part.reduced_formulas, groups_of(part, RELAXED_SYMPREC), strict=True)
        ):
            if formula not in ("Al", "Ni"):
                kind = crc32(f"{formula} {group}".encode())
                for seed, most in self.most.items():
                    energy[i] += most * np.random.default_rng([seed, kind]).random()
        return replace(found, energy_per_atom=energy)


def test_within_the_margin_a_verification_is_complete(tmp_path: Path) -> None:
    """Levels that differ by at most half the margin: to evaluate all phases changes no verdict."""
    store, margin, low = Store(tmp_path / "campaign"), 0.04, {0: 0.1}
    overrides: dict[str, Any] = {
        "system": "Al-Ni",
        "evaluator.name": EMT,
        "generate.generators": ["prototypes"],
        "generate.max_atoms": 4,
        "learn.prior": False,
        "budget.rounds": 1,
        "budget.first_round": 40,
    }
    discover(load_config(None, overrides), store, Perturbed("potential", low), SILENT)
    small, whole = (plan(Campaign(store), 20, how) for how in (margin, 9.0))
    narrow = plan(Campaign(store), 20, 0.0)
    assert len(narrow.crystals) < len(small.crystals) < len(whole.crystals)
    verdicts = set()
    for seed in range(1, 5):
        high = Perturbed(f"higher {seed}", low | {seed: margin / 2})
        some, every = (
            run(chosen, tmp_path / f"{seed}-{len(chosen.crystals)}", high)
            for chosen in (small, whole)
        )
        for one, other in zip(some.outcomes, every.outcomes, strict=True):
            assert one.verdict == other.verdict
            assert one.e_above_hull == pytest.approx(other.e_above_hull, abs=ROUND_OFF)
            assert one.agrees is (one.verdict is Verdict.STABLE)
            verdicts.add(one.verdict)
        assert some.margin == margin
        assert "competed: all within 40 meV/atom of the hull" in sentence(some)
    assert len(verdicts) > 1
