"""The generator that learns: symmetric by construction, obedient, the same after a kill."""

from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import spglib

from gnomon.crystals import Crystals
from gnomon.generate.learned.generator import LearnedGenerator, sensible
from gnomon.generate.prototypes.generator import PrototypeGenerator
from gnomon.generate.registry import GENERATORS, GeneratorSettings
from gnomon.learn.fit import Session
from gnomon.learn.optimize import OptimizerConfig
from gnomon.models.bundled import GENERATOR, model_path
from gnomon.models.wyckoff import sampling
from gnomon.models.wyckoff import sequences as columns
from gnomon.models.wyckoff.layers import NOTHING_LOST, Dropout, WyckoffConfig
from gnomon.models.wyckoff.model import GeneratorCard, WyckoffModel
from gnomon.models.wyckoff.network import Wyckoff
from gnomon.models.wyckoff.properties import Property, asked_of
from gnomon.models.wyckoff.rules import Orbits
from gnomon.models.wyckoff.sampling import Sharpness
from gnomon.models.wyckoff.sequences import (
    MAX_ORBITS,
    SIZES,
    Sequences,
    sequences,
    tables,
    unit_of,
)
from gnomon.models.wyckoff.train import (
    GeneratorRows,
    GeneratorTrainConfig,
    PropertyRows,
    train_generator,
)
from gnomon.run.listener import SILENT, Listener
from gnomon.structure.asymmetric_unit import expand
from gnomon.structure.matching import Matcher
from gnomon.structure.wyckoff import space_group
from gnomon.testing import check_generator

CONFIG = GeneratorTrainConfig(
    network=WyckoffConfig(width=16, layers=2, heads=2, mixtures=2),
    optimizer=OptimizerConfig(epochs=12, batch=120, learning_rate=1e-2, averaging=0.9),
    max_orbits=4,
)


class Killed(Exception):  # noqa: N818
    """In place of a kill."""


def killer(steps: int) -> Listener:
    """Ends a training after so many steps."""
    left = iter(range(steps))

    def tick(what: str, done: int, total: int) -> None:
        if what == "training" and next(left, None) is None:
            raise Killed

    return Listener(say=lambda text: None, tick=tick)


@pytest.fixture(scope="module")
def rows() -> GeneratorRows:
    chunks = PrototypeGenerator(("Ti", "O"), max_atoms=6).generate(Crystals.empty())
    crystals = Crystals.concatenate([chunk.crystals for chunk in chunks])[::3]
    numbers = np.random.default_rng(0).random((2, len(crystals)))
    chance = PropertyRows("chance", "1", numbers[1], "drawn", (0.5,))
    return GeneratorRows(crystals, 0.2 * numbers[0], "prototypes", (chance,))


@pytest.fixture(scope="module")
def trained(rows: GeneratorRows, monkeypatch_module: pytest.MonkeyPatch) -> WyckoffModel:
    return train_generator(rows, CONFIG)


@pytest.fixture(scope="module")
def monkeypatch_module():
    """One shape of batches, so that one program is compiled."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, "SHAPES", ((4, 4),))
        yield patch


@pytest.fixture(scope="module")
def weights(trained: WyckoffModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "tiny.gnomon"
    trained.save(path, half=True)
    return path


def test_sequences_hold_all_of_a_crystal(rows: GeneratorRows) -> None:
    buckets = rows.buckets(rows.properties_of(CONFIG))[:20]
    found, kept = sequences(rows.crystals[:20], rows.e_above_hull[:20], buckets)
    units = [
        unit_of(
            int(found.space_group[i]),
            found.elements[i, :m].astype(np.int64),
            found.positions[i, :m].astype(np.int64),
            found.coordinates[i, :m].astype(np.float64),
            found.cell[i].astype(np.float64),
        )
        for i, m in enumerate(found.orbits)
    ]
    both = Crystals.concatenate([rows.crystals[kept], *map(expand, units)])
    match = Matcher().on(both)
    assert all(match(i, i + len(kept)) for i in range(len(kept)))
    assert found.values[:, 0].tolist() == [1 + (v > 0.5) for v in rows.properties[0].values[kept]]


def test_a_training_that_was_killed_gives_the_same_weights(
    rows: GeneratorRows, trained: WyckoffModel, tmp_path: Path
) -> None:
    partial = tmp_path / "partial"
    for steps in (2, 3):
        with pytest.raises(Killed):
            train_generator(rows, CONFIG, Session(partial, killer(steps), 0.0))
    again = train_generator(rows, CONFIG, Session(partial, SILENT))
    assert eqx.tree_equal(
        eqx.filter(again.network, eqx.is_array), eqx.filter(trained.network, eqx.is_array)
    )
    assert again.card is not None
    assert again.card.validation is not None
    assert np.isfinite(again.card.validation.nats)


def test_a_file_keeps_weights_and_card(trained: WyckoffModel, weights: Path) -> None:
    loaded = WyckoffModel.load(weights)
    assert loaded.card == trained.card
    assert isinstance(loaded.card, GeneratorCard)
    assert {22, 8} == set(loaded.card.elements)
    for one, other in zip(
        *(jax.tree.leaves(eqx.filter(m.network, eqx.is_array)) for m in (trained, loaded)),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, rtol=2e-3, atol=1e-6)


def order(rotations: np.ndarray) -> int:
    return len(np.unique(rotations.reshape(-1, 9), axis=0))


@pytest.mark.parametrize("asked", [0, 62, 148, 186, 225])
def test_draws_have_the_symmetry_and_the_elements_that_were_asked_for(
    asked: int, weights: Path
) -> None:
    made = LearnedGenerator(
        ("Ti", "O"), every=True, space_group=asked, max_atoms=40, model=str(weights)
    )
    units, log_probability, _ = made.draws(seed=1, size=64)
    there = [unit for unit in units if unit is not None]
    assert len(there) > 8
    assert (log_probability <= 0).all()
    for unit in there[:12]:
        crystal = expand(unit)
        assert asked in {0, unit.space_group}
        assert set(crystal.atomic_numbers) == {22, 8}
        assert crystal.n_atoms[0] <= made.max_atoms
        if not sensible(crystal)[0]:
            continue  # spglib merges atoms that are too close
        lattice, numbers, frac = crystal.arrays(0)
        found = spglib.get_symmetry((lattice, frac, numbers), symprec=1e-3)
        own = space_group(unit.space_group).positions[-1].multiplicity
        assert len(found["rotations"]) % own == 0


def test_more_tries_of_cell_and_coordinates_lose_no_sensible_draw(weights: Path) -> None:
    """The first of several tries is the only one of one; orbits are the same."""
    once, often = (
        LearnedGenerator(("Ti", "O"), tries=tries, model=str(weights)).draws(seed=1, size=64)[0]
        for tries in (1, 8)
    )
    good = 0
    for one, other in zip(once, often, strict=True):
        if one is None:
            continue
        assert other is not None
        assert one.space_group == other.space_group
        np.testing.assert_array_equal(one.elements, other.elements)
        np.testing.assert_array_equal(one.positions, other.positions)
        fits = [bool(sensible(expand(unit))[0]) for unit in (one, other)]
        assert fits != [True, False]
        good += fits[1] - fits[0]
    assert good > 0


def test_densities_of_draws_are_those_that_training_counts(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Number by number, rows of like length together, as all at once."""
    monkeypatch.setattr(sampling, "TOGETHER", 16)
    made = LearnedGenerator(("Ti", "O"), model=str(weights))
    told, rules = made._asked(np.random.default_rng(0), 48)
    groups = np.resize([2, 12, 62, 225, 1, 31], 48)
    sharp, network = Sharpness(number_temperature=1.0), made._model.network
    found = sampling.sample(network, told, rules, groups, np.random.default_rng(1), sharp)
    kept = np.flatnonzero([unit is not None for unit in found.units[0]])
    units, none = [found.units[0][row] for row in kept], np.zeros(len(kept), np.int8)
    data, known = columns._columns(units, none, none[:, None]), made._model.tables
    free, told = columns.free_orbits(data, known), columns.Conditions(*(c[kept] for c in told))
    shape = (MAX_ORBITS, MAX_ORBITS)
    batch = columns._batch(data, free, told, np.arange(len(kept)), shape, len(kept))
    losses = np.asarray(eqx.filter_jit(Wyckoff.losses)(network, batch))
    assert len(set(free.sum(axis=1))) > 3
    np.testing.assert_allclose(losses[:, 3:].sum(axis=1), -found.log_density[0, kept], atol=0.01)


def test_draws_that_ask_for_no_elements_are_compounds(weights: Path) -> None:
    hot = LearnedGenerator(temperature=4.0, top_p=1.0, max_atoms=60, model=str(weights))
    units, _, rules = hot.draws(seed=0, size=64)
    kinds = (rules.amounts > 0).sum(axis=1)
    assert (kinds == 1).any()
    assert all(unit is None for unit, kind in zip(units, kinds, strict=True) if kind < 2)
    assert any(unit is not None for unit in units)


def test_a_formula_comes_out_as_asked(weights: Path) -> None:
    made = LearnedGenerator(formula="Ti2O3", model=str(weights))
    units, _, _ = made.draws(seed=0, size=64)
    found = Crystals.concatenate([expand(unit) for unit in units if unit is not None])
    assert len(found) > 3
    assert set(found.reduced_formulas) == {"Ti2O3"}


def test_candidates_keep_the_laws_of_generators(weights: Path) -> None:
    def make() -> LearnedGenerator:
        return LearnedGenerator(("Ti", "O"), count=12, max_atoms=8, model=str(weights))

    found = check_generator(make, Crystals.empty(), seed=3)
    assert 0 < len(found.crystals) <= 12
    assert sensible(found.crystals).all()
    assert len(set(found.crystals.ids)) == len(found.crystals)
    other = [c.crystals.ids.tolist() for c in make().generate(Crystals.empty(), seed=4)]
    assert other != [found.crystals.ids.tolist()]


def test_a_campaign_asks_for_stable_crystals_of_its_elements() -> None:
    settings = GeneratorSettings(
        ("Ti", "O", "U"), 12, ("U",), frozenset({"TiO2"}), ask=("band_gap>2",)
    )
    made = GENERATORS.get("learned")(settings)
    assert made.ask == ("band_gap>2",)
    assert (made.elements, made.stable, made.max_atoms) == (("Ti", "O"), True, 12)
    assert made.known == {"TiO2"}


def test_what_outgrows_the_size_is_lost_and_not_cut_short() -> None:
    """Positions too large may be chosen: to forbid them would end large crystals as pieces."""
    none = np.zeros((1, 119), np.int64)
    rules = Orbits(tables(), none == 0, none > 0, none, max_atoms=4)
    rules.begin(np.array([225]))
    for element, letter, allowed in ((22, "a", True), (8, "e", False)):
        which, z, at = (
            np.array([True]),
            np.array([element]),
            np.array(["abcdefghijkl".index(letter)]),
        )
        assert rules.positions_allowed(z)[0, at[0]]
        rules.add(which, z, at)
        assert rules.elements_allowed().any() == allowed
    rules.end(np.array([True]))
    assert rules.amounts.sum() == 7
    assert not rules.complete[0]


def test_a_size_that_is_told_says_only_that_the_crystal_is_no_larger(rows: GeneratorRows) -> None:
    known, none = tables(), np.zeros((len(rows.crystals), 1), np.int8)
    made, kept = sequences(rows.crystals, rows.e_above_hull, none)
    atoms = rows.crystals.n_atoms[kept]
    found = np.stack(
        [columns.conditions(made, known, np.random.default_rng(s)).size for s in range(400)]
    )
    for size, bound in enumerate(SIZES, 1):
        shares = (found == size).mean(axis=0)
        assert (shares[atoms > bound] == 0).all()
        np.testing.assert_allclose(shares[atoms <= bound].mean(), 1 / len(SIZES), atol=0.01)


def test_who_asks_for_a_gap_is_given_salts() -> None:
    """Of the weights in the package, without a look at any predicted gap."""
    shares = []
    for ask in ((), ("band_gap>3",)):
        units, _, _ = LearnedGenerator(ask=ask, max_atoms=16).draws(seed=7, size=64)
        made = Crystals.concatenate([expand(unit) for unit in units if unit is not None])
        shares.append(float((made.composition[:, [8, 9, 17, 35, 53]] > 0).any(axis=1).mean()))
    assert shares[0] < 0.5
    assert shares[1] > 0.75


GAP = Property(name="band_gap", unit="eV", scheme="PBE", edges=(0.0, 1.0, 3.0))


@pytest.mark.parametrize(
    ("texts", "ranges"),
    [
        (["band_gap=0"], (1,)),
        (["band_gap<=0"], (1,)),
        (["band_gap>0"], (2, 3, 4)),
        (["band_gap<0.5"], (1, 2)),
        (["band_gap>=1"], (2, 3, 4)),
        (["band_gap>1"], (3, 4)),
        (["band_gap = 2.5"], (3,)),
        (["band_gap>1", "band_gap<=3"], (3,)),
        (["band_gap>7"], (4,)),
    ],
)
def test_asks_are_rounded_out_to_ranges_that_the_weights_know(
    texts: list[str], ranges: tuple[int, ...]
) -> None:
    assert asked_of(texts, [GAP]) == {"band_gap": ranges}


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["gap>1"], "ask for band_gap .up to 0 eV; above 0 to 1 eV; above 1 to 3 eV; above 3 eV"),
        (["band_gap>2", "band_gap<1"], "no number obeys band_gap>2 and band_gap<1"),
    ],
)
def test_asks_that_no_range_obeys_are_told_what_there_is(texts: list[str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        asked_of(texts, [GAP])


def test_ranges_of_a_property_that_is_often_zero_are_all_filled() -> None:
    values = np.array([0.0] * 60 + [1.0] * 20 + [2.0] * 20)
    made = PropertyRows("gap", "eV", values, "given").property_of(np.ones(100, bool), 4)
    assert np.bincount(made.buckets(values)).tolist() == [0, 60, 20, 20]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"elements": ("Ti",), "formula": "TiO2"}, "one of the two"),
        ({"space_group": 231}, "231"),
        ({"elements": ("Qq",)}, "Qq"),
        ({"count": 0}, "at least 1"),
        ({"top_p": 0.0}, "top_p"),
        ({"tries": 0}, "tries"),
        ({"ask": ("band_gap",)}, "as in 'band_gap>2'"),
        ({"ask": ("band_gap>wide",)}, "as in 'band_gap>2'"),
    ],
)
def test_what_cannot_be_asked_is_refused(options: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        LearnedGenerator(**options)


def test_temperatures_are_positive() -> None:
    with pytest.raises(ValueError, match="positive"):
        Sharpness(temperature=0.0)


def test_probabilities_do_not_depend_on_the_padding(rows: GeneratorRows) -> None:
    """The same crystals in longer batches cost the same nats."""
    known = tables()
    none = np.zeros((12, 1), np.int8)
    made, _ = sequences(rows.crystals[:12], rows.e_above_hull[:12], none)
    made = made.take(np.flatnonzero(made.orbits <= 4))
    network = Wyckoff(CONFIG.network, known)
    totals = []
    for shape in ((4, 4), (7, 5)):
        told = columns.conditions(made, known, np.random.default_rng(0))
        free = columns.free_orbits(made, known)
        batch = columns._batch(made, free, told, np.arange(len(made)), shape, len(made))
        totals.append(np.asarray(eqx.filter_jit(Wyckoff.losses)(network, batch)))
    np.testing.assert_allclose(*totals, rtol=1e-4, atol=1e-4)
    assert isinstance(made, Sequences)
    assert made.elements.shape[1] == MAX_ORBITS


def test_the_weights_in_the_package_say_what_they_were_taught() -> None:
    model = WyckoffModel.load(GENERATOR)
    assert model.card is not None
    assert model.card.validation is not None
    assert model.card.train_rows > 10_000
    assert model_path(GENERATOR).stat().st_size < 8e6
    assert [one.name for one in model.card.properties] == ["bulk_modulus", "band_gap"]
    assert {3, 8, 26} <= set(model.card.elements)


def test_what_training_forgets_is_a_share_of_the_numbers_and_their_mean_stays() -> None:
    ones = jnp.ones((64, 64, 8))
    found = np.asarray(Dropout(jax.random.key(0), 0.25)(ones, 0))
    assert set(np.unique(found)) == {0.0, np.float32(1 / 0.75)}
    assert found.mean() == pytest.approx(1, abs=0.02)
    assert (np.asarray(Dropout(jax.random.key(0), 0.25)(ones, 1)) != found).any()
    assert NOTHING_LOST(ones, 0) is ones
