"""Training of potentials: loss, start, resume, fine-tuning, split and the command."""

import dataclasses
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gnomon.cli import main
from gnomon.crystals import Crystals
from gnomon.io.frames import Frames, write_frames
from gnomon.learn.fit import Session
from gnomon.learn.optimize import OptimizerConfig
from gnomon.learn.split import formula_hash
from gnomon.potential.batch import Shape
from gnomon.potential.card import PotentialCard
from gnomon.potential.checkpoint import load, save
from gnomon.potential.config import NetworkConfig
from gnomon.potential.loader import (
    assemble,
    batch_shape,
    prepare,
)
from gnomon.potential.network import Potential
from gnomon.potential.predict import LoadedPotential, load_potential
from gnomon.potential.start import fresh_potential, refit
from gnomon.potential.steps import LossConfig, losses
from gnomon.potential.train import (
    Lessons,
    PotentialTrainConfig,
    split_frames,
    train_into,
    train_potential,
)
from gnomon.potential.validate import validate
from gnomon.run.listener import Listener
from tests.strategies import random_crystal
from tests.tiny_potentials import labelled_at_random, tiny_config, tiny_potential

ROUNDING = 1e-4
"""Relative; predictions in 32 bits, summed in another order."""

CUTOFF = 3.6
NETWORK = NetworkConfig(
    hidden_irreps="8x0e + 4x1o",
    n_layers=2,
    cutoff=CUTOFF,
    lmax=1,
    radial_basis_size=5,
    radial_mlp_size=16,
    radial_mlp_layers=1,
    repulsion=False,  # random crystals have atoms an ångström apart
)

TEACHER = {"hidden_irreps": "4x0e + 2x1o", "lmax": 1, "n_layers": 2, "scale": 0.1}


def settings_of(**changes) -> PotentialTrainConfig:
    """A training of few steps of few frames."""
    optimizer = {"epochs": 3, "batch": 4, "learning_rate": 2e-3, "clip": 10.0, "averaging": 0.9}
    optimizer |= changes.pop("optimizer", {})
    given_settings = {"network": NETWORK, "train_below": 75} | changes
    return PotentialTrainConfig(optimizer=OptimizerConfig(**optimizer), **given_settings)


def labelled(n: int, seed: int = 0, max_atoms: int = 6) -> Frames:
    """Crystals labelled by a tiny potential of random weights; every third is a first frame."""
    rng = np.random.default_rng(seed)
    crystals = Crystals.concatenate([random_crystal(rng, max_atoms) for _ in range(n)])
    found = tiny_potential(1, **TEACHER).predict(crystals)
    return Frames.of(crystals, *found, scheme="tiny, uncorrected", first=np.arange(n) % 3 == 0)


@pytest.fixture(scope="module")
def frames() -> Frames:
    return labelled(40)


@pytest.fixture(scope="module")
def trained(frames, tmp_path_factory) -> tuple[Path, PotentialCard]:
    """A training that nothing interrupted."""
    out = tmp_path_factory.mktemp("trained") / "whole.gnomon"
    return out, train_into(out, Lessons(frames, name="made up"), settings_of())


def weights(path: Path) -> list[np.ndarray]:
    potential, _ = load(path)
    return [np.asarray(x) for x in jax.tree.leaves(eqx.filter(potential, eqx.is_array))]


# --- loss -----------------------------------------------------------------------------------------


def gradient_of_loss(potential: Potential, frames: Frames) -> tuple[float, list[np.ndarray]]:
    samples = prepare(frames, CUTOFF)
    plan = [np.arange(len(frames))]
    batch, targets = assemble(samples, plan[0], Shape(64, 256, 8))
    params, static = eqx.partition(potential, eqx.is_inexact_array)

    def total(p):
        return losses(eqx.combine(p, static), batch, targets, LossConfig()).total

    value, gradient = jax.jit(jax.value_and_grad(total))(params)
    return float(value), [np.asarray(x) for x in jax.tree.leaves(gradient)]


def test_labels_that_are_missing_count_nothing(frames):
    part = frames.take(np.arange(4))
    two = np.flatnonzero(part.crystals.crystal_index >= 2)
    forces, stress = part.forces.copy(), part.stress.copy()
    forces[two], stress[2:] = np.nan, np.nan
    potential = tiny_potential(2, **TEACHER).potential
    value, gradient = gradient_of_loss(potential, dataclasses.replace(part, forces=forces))
    assert np.isfinite(value)
    assert all(np.isfinite(x).all() for x in gradient)
    # with the energies alone to learn from the last two, the first two teach forces and stress
    missing = dataclasses.replace(part, forces=forces, stress=stress)
    whole = losses_of(potential, missing)
    pair = losses_of(potential, part.take([0, 1]))
    assert whole.forces == pytest.approx(pair.forces, rel=ROUNDING)
    assert whole.stress == pytest.approx(pair.stress, rel=ROUNDING)
    nothing = losses_of(potential, Frames.of(part.crystals, part.energy, scheme=part.scheme))
    assert (nothing.forces, nothing.stress) == (0, 0)
    assert nothing.total == nothing.energy > 0


def losses_of(potential: Potential, frames: Frames):
    samples = prepare(frames, CUTOFF)
    batch, targets = assemble(samples, np.arange(len(frames)), Shape(64, 256, 8))
    found = eqx.filter_jit(losses)(potential, batch, targets, LossConfig())
    return type(found)(*(float(x) for x in found))


def test_the_loss_is_the_mean_error_less_half_a_delta_far_out(frames):
    part = frames.take(np.arange(4))
    off = dataclasses.replace(part, energy=part.energy + 2.0 * part.crystals.n_atoms)
    found = losses_of(tiny_potential(1, **TEACHER).potential, off)
    assert found.energy == pytest.approx(2.0 - LossConfig().delta / 2, rel=ROUNDING)
    assert found.forces < ROUNDING


# --- start ----------------------------------------------------------------------------------------


def test_random_weights_start_from_the_energies_of_the_elements():
    rng = np.random.default_rng(3)
    noise = labelled_at_random(rng, 60)
    of_element = np.linspace(-9, -1, 119)
    energy = noise.crystals.composition @ of_element
    made = dataclasses.replace(noise, energy=energy)
    potential = fresh_potential(prepare(made, CUTOFF), NETWORK, seed=0)
    found = np.asarray(potential.atom_energies)
    # the ridge of a tenth of a row moves them a little
    assert np.abs(found - of_element[list(potential.config.elements)]).max() < 0.3
    assert potential.config.scale == pytest.approx(np.sqrt(np.mean(made.forces**2)))
    assert potential.config.shift == 0


def test_refitting_takes_out_what_goes_with_composition(frames):
    teacher = tiny_potential(1, **TEACHER)
    shifted = dataclasses.replace(
        frames, energy=frames.energy + frames.crystals.composition @ np.linspace(-3, 3, 119)
    )
    before = np.abs(teacher.predict(frames.crystals).energy - shifted.energy)
    again = LoadedPotential("", "", refit(teacher.potential, shifted, 0))
    after = np.abs(again.predict(frames.crystals).energy - shifted.energy)
    assert after.mean() < 0.15 * before.mean()


# --- training -------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["adamw", pytest.param("muon", marks=pytest.mark.slow)])
def test_four_frames_are_learnt_by_heart(method):
    four = labelled(4, seed=5, max_atoms=4)
    config = settings_of(
        optimizer={"epochs": 300, "learning_rate": 5e-3, "method": method},
        train_below=100,
        validate_below=100,
    )
    said: list[str] = []
    made = train_potential(
        Lessons(four), config, Session(listener=Listener(said.append, lambda *_: None))
    )
    samples = prepare(four, CUTOFF)
    shape = batch_shape(samples, 4)
    start = validate(fresh_potential(samples, NETWORK, 0), four, shape).all
    end = validate(made.potential, four, shape).all
    assert end.energy < 0.1 * start.energy
    assert end.forces < 0.1 * start.forces
    assert end.stress < 0.1 * start.stress
    assert "0 validate" in said[0]


def test_a_killed_training_goes_on_to_the_same_weights(frames, trained, tmp_path):
    out = tmp_path / "killed.gnomon"

    class KilledError(Exception):
        pass

    def kill(stop: float):
        def tick(what: str, done: int, total: int) -> None:
            if done > stop * total:
                raise KilledError

        return Listener(lambda _: None, tick)

    for stop in (0.3, 0.8):  # within the first epoch, and within the last
        session = Session(listener=kill(stop), save_every=0.0)
        with pytest.raises(KilledError):
            train_into(out, Lessons(frames), settings_of(), session)
        assert not out.exists()
        assert Path(f"{out}.partial").exists()
        latest, card = load(Path(f"{out}.latest"))
        assert card is not None
        assert not card.finished
        assert latest.config.cutoff == CUTOFF
    card = train_into(out, Lessons(frames), settings_of())
    assert all(np.array_equal(a, b) for a, b in zip(weights(out), weights(trained[0]), strict=True))
    assert (card.steps, card.epochs) == (trained[1].steps, trained[1].epochs)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["killed.gnomon"]


def test_a_finished_training_is_not_repeated(frames, trained):
    out, card = trained
    before = out.stat().st_mtime_ns
    assert train_into(out, Lessons(frames), settings_of()) == card
    assert out.stat().st_mtime_ns == before


@pytest.mark.parametrize("what", ["data", "settings"])
def test_other_data_or_settings_do_not_go_on(frames, trained, tmp_path, what):
    other = frames.take(np.arange(30)) if what == "data" else frames
    config = settings_of(seed=1) if what == "settings" else settings_of()
    with pytest.raises(ValueError, match="other data or settings"):
        train_into(trained[0], Lessons(other), config)
    out = tmp_path / "half.gnomon"

    def stop(*_):
        raise KeyboardInterrupt

    session = Session(listener=Listener(_silent_then(stop), _nothing), save_every=0.0)
    with pytest.raises(KeyboardInterrupt):
        train_into(out, Lessons(frames), settings_of(), session)
    with pytest.raises(ValueError, match="unfinished training of other data or settings"):
        train_into(out, Lessons(other), config)


def _nothing(*_) -> None:
    pass


def _silent_then(stop):
    """Hears what is said before the first step and of the first checkpoint, and stops then."""
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        if len(said) > 3:
            stop()

    return say


def test_the_card_says_what_was_trained_and_how_well(frames, trained):
    out, card = trained
    potential, again = load(out)
    assert again == card
    hashes = np.array([formula_hash(f) for f in frames.group])
    held = (hashes >= 75) & (hashes < 85)
    assert card.train_rows == (hashes < 75).sum()
    assert card.rows - card.train_rows == held.sum() > 0
    assert card.scheme == frames.scheme
    assert card.data == "made up"
    assert card.epochs == 3
    assert card.finished
    assert card.parameters == sum(x.size for x in weights(out))
    assert card.stamp["versions"]["jax"] == jax.__version__
    mine = LoadedPotential("", "", potential).predict(frames.take(held).crystals)
    error = np.abs(mine.energy - frames.energy[held]) / frames.crystals.n_atoms[held]
    assert card.validation is not None
    assert card.validation.all.energy == pytest.approx(error.mean(), rel=ROUNDING)
    assert card.validation.all.forces == pytest.approx(
        np.abs(mine.forces - frames.take(held).forces).mean(), rel=ROUNDING
    )


# --- split ----------------------------------------------------------------------------------------


def test_no_formula_that_validates_ever_trains(frames):
    split = split_frames(Lessons(frames), settings_of())
    assert split.validation is not None
    assert not set(split.train.group) & set(split.validation.group)
    assert all(formula_hash(f) < 75 for f in split.train.group)
    assert all(75 <= formula_hash(f) < 85 for f in split.validation.group)
    apart = split_frames(Lessons(frames, frames), settings_of())
    assert apart.validation is not None
    assert apart.validation.group.tolist() == split.validation.group.tolist()


def test_labels_held_out_change_no_weight(frames, trained, tmp_path):
    hashes = np.array([formula_hash(f) for f in frames.group])
    energy = np.where(hashes >= 75, frames.energy + 100.0, frames.energy)
    other = dataclasses.replace(frames, energy=energy)
    card = train_into(tmp_path / "other.gnomon", Lessons(other), settings_of())
    assert card.data_sha256 != trained[1].data_sha256
    pairs = zip(weights(tmp_path / "other.gnomon"), weights(trained[0]), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)


def test_frames_that_cannot_train_are_refused_with_the_reason(frames):
    hashes = np.array([formula_hash(f) for f in frames.group])
    with pytest.raises(ValueError, match="has a formula hash below 75"):
        split_frames(Lessons(frames.take(hashes >= 75)), settings_of())
    with pytest.raises(ValueError, match="label both alike"):
        split_frames(Lessons(frames, dataclasses.replace(frames, scheme="PBE")), settings_of())
    narrow = LoadedPotential(
        "narrow", "0" * 64, Potential(tiny_config(elements=(3, 8)), key=jax.random.key(0))
    )
    with pytest.raises(ValueError, match="narrow does not know"):
        split_frames(Lessons(frames, start=narrow), settings_of(network=None))
    with pytest.raises(ValueError, match="random weights, or weights to start from"):
        train_potential(Lessons(frames), settings_of(network=None))
    with pytest.raises(ValueError, match="validate_below"):
        settings_of(train_below=80, validate_below=70)


# --- fine-tuning and the command ------------------------------------------------------------------


def test_fine_tuning_begins_with_the_errors_of_its_weights(frames, trained, tmp_path):
    start = load_potential(str(trained[0]))
    said: list[str] = []
    lessons, session = (
        Lessons(frames, start=start),
        Session(listener=Listener(said.append, _nothing)),
    )
    card = train_into(tmp_path / "fine.gnomon", lessons, settings_of(network=None), session)
    assert trained[1].validation is not None
    assert str(trained[1].validation.all) in said[1]
    assert card.config["started_from"] == start.scheme
    assert any(
        not np.array_equal(a, b)
        for a, b in zip(weights(tmp_path / "fine.gnomon"), weights(trained[0]), strict=True)
    )


def test_the_time_given_is_the_time_taken(frames, trained, tmp_path):
    config = settings_of(minutes=0.03)  # the epochs of the settings take less
    card = train_into(tmp_path / "timed.gnomon", Lessons(frames), config)
    assert card.wall_seconds >= 1.8
    assert card.epochs > trained[1].epochs


def test_the_command_trains_and_says_how_well(frames, tmp_path, capsys):
    write_frames(tmp_path / "frames.parquet", frames)
    small = ["--hidden-irreps", "4x0e", "--lmax", "0", "--n-layers", "1", "--cutoff", "3"]
    common = ["--epochs", "1", "--batch", "8", "--out", str(tmp_path / "cli.gnomon")]
    command = ["model", "train", "potential", str(tmp_path / "frames.parquet")]
    assert main([*command, *small, *common]) == 0
    shown = capsys.readouterr()
    assert "energy (eV/atom)" in shown.out
    _, card = load(tmp_path / "cli.gnomon")
    assert card is not None
    assert card.data == "frames.parquet"
    assert card.config["network"]["cutoff"] == 3
    assert card.config["optimizer"]["averaging"] == 0.999

    assert main([*command, "--from", str(tmp_path / "cli.gnomon"), *small, *common]) == 2
    assert "leave --hidden-irreps" in capsys.readouterr().err
    assert main([*command, "--epochs", "0"]) == 2
    assert "epochs" in capsys.readouterr().err


def test_a_potential_that_was_trained_is_loaded_like_any_other(frames, trained, tmp_path):
    save(tmp_path / "half.gnomon", load(trained[0]), half=True)
    whole = load_potential(str(trained[0])).predict(frames.crystals)
    half = load_potential(str(tmp_path / "half.gnomon")).predict(frames.crystals)
    assert np.abs(whole.energy - half.energy).max() < 0.1  # eV; 16 bits of each weight
    assert jnp.isfinite(half.forces).all()
