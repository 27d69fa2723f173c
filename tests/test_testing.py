"""The public checks find what is broken; that ours keep the laws is told where each is tested."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from gnomon.crystals import Crystals
from gnomon.dynamics.result import Relaxation, Status
from gnomon.evaluate import Evaluations
from gnomon.generate import Candidates
from gnomon.hull.convex import Hull
from gnomon.hull.phases import Phases, compositions
from gnomon.models import Predictions
from gnomon.testing import (
    BrokenLaw,
    assert_hull,
    check_evaluator,
    check_generator,
    check_model,
)

CELL = np.array([[0, 1.8, 1.8], [1.8, 0, 1.8], [1.8, 1.8, 0]])
COPPER = Crystals.single(CELL, [29], [[0, 0, 0]])
ORDERED = Crystals.single(np.diag([3, 3, 4.0]), [29, 79], [[0, 0, 0], [0.5, 0.5, 0.5]])
PAIR = Crystals.concatenate([ORDERED, COPPER])


# --- generators -----------------------------------------------------------------------------------


class Gilder:
    """Turns copper to gold, unless it is told to do wrong."""

    name = "gilder"
    made = 0

    def __init__(self, wrong: str = "") -> None:
        self.wrong = wrong

    def generate(self, parents: Crystals, *, seed: int = 0) -> Iterator[Candidates]:
        golden = parents.substitute({"Cu": "Au"})
        if self.wrong == "parents":
            parents.lattice.setflags(write=True)
            np.multiply(parents.lattice, 1.01, out=parents.lattice)
        if self.wrong == "seed":
            Gilder.made += 1
            golden = golden.scale_volume(1 + 0.1 * Gilder.made)
        who, parent = ("other" if self.wrong == "name" else self.name), parents.ids.tolist()
        if self.wrong == "parent":
            parent = ["unheard of"] * len(parents)
        found = Candidates.of(golden, who, ["Cu → Au"] * len(golden), parent_id=parent)
        if self.wrong == "order":
            found = replace(found, crystals=golden[::-1])
        if self.wrong == "columns":
            found = replace(found, lineage=found.lineage.append_column("x", pa.nulls(len(golden))))
        yield found


def test_a_generator_that_keeps_its_laws_gives_its_candidates():
    found = check_generator(Gilder, PAIR)
    assert found.crystals.reduced_formulas.tolist() == ["Au", "Au"]
    assert found.lineage["parent_id"].to_pylist() == PAIR.ids.tolist()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("parents", "the parents were changed"),
        ("seed", "other candidates the second time"),
        ("name", "another generator than 'gilder'"),
        ("parent", r"parents that were not given: \['unheard of'\]"),
        ("order", "does not list the candidates in their order"),
        ("columns", "use LINEAGE"),
    ],
)
def test_a_law_that_a_generator_breaks_is_named(wrong, message):
    parents = Crystals.concatenate([PAIR])
    with pytest.raises(BrokenLaw, match=message):
        check_generator(lambda: Gilder(wrong), parents)


# --- evaluators -----------------------------------------------------------------------------------


class Scales:
    """-1 eV an atom, and less where an atom is heavy; does not know oganesson."""

    scheme = "scales"

    def __init__(self, wrong: str = "") -> None:
        self.wrong, self.failed = wrong, 0

    def evaluate(self, crystals: Crystals) -> Iterator[Evaluations]:
        for one in crystals:
            numbers, energy = one.atomic_numbers.astype(float), 0.0
            energy = -1 - numbers.mean() / 100
            if self.wrong == "orientation":
                energy += 1e-2 * float(one.lattice[0, 0, 0])
            if self.wrong == "size":
                energy *= len(numbers)
            if self.wrong == "memory":
                energy -= self.failed
            if self.wrong == "nothing":
                energy = np.nan
            known = self.wrong == "optimism" or numbers.max() < 118
            self.failed += not known
            status = Status.CONVERGED if known else Status.INVALID_INPUT
            ended = Relaxation(one, status, energy_per_atom=energy if known else np.nan)
            ids = np.array(["?"], object) if self.wrong == "ids" else one.ids
            scheme = "another" if self.wrong == "scheme" else self.scheme
            yield Evaluations.of([ended], ids, scheme)


def test_an_evaluator_that_keeps_its_laws_gives_its_evaluations():
    found = check_evaluator(Scales(), PAIR)
    assert found.energy_per_atom == pytest.approx([-1.54, -1.29])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("orientation", "eV/atom in another basis"),
        ("size", "eV/atom in a doubled cell"),
        ("memory", "another energy after a failure"),
        ("nothing", "row 0 is converged with an energy of nan"),
        ("optimism", "row 2, a crystal that cannot be evaluated, is converged"),
        ("ids", "one row a crystal"),
        ("scheme", "another scheme, 'another'"),
    ],
)
def test_a_law_that_an_evaluator_breaks_is_named(wrong, message):
    with pytest.raises(BrokenLaw, match=message):
        check_evaluator(Scales(wrong), PAIR)


# --- models ---------------------------------------------------------------------------------------


class Mean:
    """Two members that go by the mean atomic number."""

    scheme = "mean"

    def __init__(self, wrong: str = "") -> None:
        self.wrong = wrong

    def predict(self, crystals: Crystals) -> Predictions:
        energy = crystals.fractions @ np.arange(119) / -100
        reasons = np.full(len(crystals), "", dtype=object)
        if self.wrong == "company":
            energy = energy - energy.mean()
        if self.wrong == "order of atoms":
            energy = energy + 1e-3 * crystals.atomic_numbers[crystals.offsets[:-1]]
        if self.wrong == "reason":
            reasons[0] = "no idea"
        if self.wrong == "rows":
            energy, reasons = energy[:-1], reasons[:-1]
        return Predictions(np.stack([energy, energy + 0.1]), reasons)


def test_a_model_that_keeps_its_laws_passes():
    check_model(Mean(), PAIR)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("company", "crystal 0 has .* alone"),
        ("order of atoms", "eV/atom with its atoms in reverse order"),
        ("reason", "an energy of every member or a reason"),
        ("rows", "2 crystals have predictions of shape"),
    ],
)
def test_a_law_that_a_model_breaks_is_named(wrong, message):
    with pytest.raises(BrokenLaw, match=message):
        check_model(Mean(wrong), PAIR)


# --- hulls ----------------------------------------------------------------------------------------


class Raised(Hull):
    """A hull whose energies are too high, or whose mixtures are others."""

    wrong = ""

    def e_above_hull(self, composition, formation_energy_per_atom, *, without=None):
        found = super().e_above_hull(composition, formation_energy_per_atom, without=without)
        return found - {"below": 0.01, "above": -0.01}.get(self.wrong, 0.0)

    def decomposition(self, composition, *, without=None):
        found = super().decomposition(composition, without=without)
        return [{"gold": 1.0}] * len(found) if self.wrong == "mixture" else found


def toy() -> Raised:
    ids = np.array(["gold", "copper", "ordered", "other"], dtype=object)
    energies = np.array([0, 0, -0.05, -0.01])  # eV/atom
    return Raised(Phases(ids, compositions(["Au", "Cu", "AuCu", "AuCu3"]), energies, "toy"))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("", None),
        ("below", "lies below its own hull"),
        ("above", "above the hull, but its mixture has"),
        ("mixture", "which has another composition"),
    ],
)
def test_a_law_that_a_hull_breaks_is_named(wrong, message):
    hull = toy()
    hull.wrong = wrong
    if message is None:
        assert_hull(hull)
        return
    with pytest.raises(BrokenLaw, match=message):
        assert_hull(hull)
