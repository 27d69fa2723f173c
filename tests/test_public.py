"""The public names: few, imported when first used, each with its home."""

import inspect
import re
from dataclasses import is_dataclass
from enum import Enum
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from pydantic import BaseModel
from pymatgen.core import Structure

import gnomon
from gnomon.dynamics.settings import RelaxConfig
from gnomon.io import as_crystals, to_ase, to_pymatgen
from gnomon.models.structural.train import TrainConfig

SALT = gnomon.Crystals.single(
    [[0, 2.82, 2.82], [2.82, 0, 2.82], [2.82, 2.82, 0]], [11, 17], [[0, 0, 0], [0.5, 0.5, 0.5]]
)


def test_the_public_names_are_few_and_all_have_a_home():
    assert len(gnomon.__all__) <= 25
    assert {*gnomon.HOMES, "__version__"} == set(gnomon.__all__)
    assert gnomon.__all__ == sorted(gnomon.__all__)
    assert dir(gnomon) == gnomon.__all__


@pytest.mark.parametrize("name", gnomon.HOMES)
def test_a_public_name_is_that_of_its_module(name):
    there = getattr(import_module(gnomon.HOMES[name]), name)
    assert getattr(gnomon, name) is there
    assert there.__module__ == gnomon.HOMES[name]


def test_other_names_are_refused():
    with pytest.raises(AttributeError, match="no attribute 'no_such_name'"):
        _ = gnomon.no_such_name


def test_no_public_name_is_that_of_a_room():
    """Whoever imported the room would find it in the place of the name."""
    rooms = {path.stem for path in Path(gnomon.__file__).parent.iterdir()}
    assert not rooms & set(gnomon.__all__)


@pytest.mark.parametrize("name", ["substitution", "saps"])
def test_generators_take_structures_and_atoms(name):
    generator = gnomon.generator(name, "K-Na-Cl", known=["NaCl"])
    batch = next(generator.generate(SALT)).crystals
    for given in (to_pymatgen(SALT)[0], to_ase(SALT)[0], to_pymatgen(SALT)):
        assert next(generator.generate(given)).crystals.reduced_formulas.tolist() == (
            batch.reduced_formulas.tolist()
        )


def test_a_generator_keeps_to_its_system():
    every = next(gnomon.generator("substitution").generate(SALT)).crystals
    assert len(set(every.chemical_systems)) > 100
    assert not {"U", "Tc"} & set("-".join(every.chemical_systems).split("-"))
    some = next(gnomon.generator("substitution", "K-Na-Cl").generate(SALT)).crystals
    assert set("-".join(some.chemical_systems).split("-")) <= {"K", "Na", "Cl"}
    with pytest.raises(ValueError, match="did you mean substitution"):
        gnomon.generator("substitutions")


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (to_pymatgen(SALT)[0], Structure),
        (to_ase(SALT)[0], Atoms),
        (SALT, gnomon.Crystals),
        ([to_ase(SALT)[0], to_pymatgen(SALT)[0]], list),
        ([], list),
    ],
)
def test_relaxing_gives_back_what_was_given(given, kind):
    relaxed, found = gnomon.relax(given)
    assert type(relaxed) is kind
    many = [relaxed] if isinstance(relaxed, (Structure, Atoms)) else relaxed
    np.testing.assert_allclose(as_crystals(many).lattice, found.relaxed.lattice, atol=1e-9)
    assert set(found.status) <= {"converged"}
    if kind is list:
        assert [type(one) for one in relaxed] == [type(one) for one in given]


def test_evaluators_are_refused_in_a_sentence():
    with pytest.raises(ValueError, match=r"^no evaluator 'emt'"):
        gnomon.relax(SALT, "emt")
    with pytest.raises(ValueError, match="holds no crystals"):
        gnomon.relax("NaCl")


def test_structures_and_atoms_are_written(tmp_path):
    for name, given in (
        ("batch", SALT),
        ("structure", to_pymatgen(SALT)[0]),
        ("atoms", to_ase(SALT)),
    ):
        gnomon.write(tmp_path / f"{name}.cif", given)
    assert gnomon.read(tmp_path).crystals.reduced_formulas.tolist() == ["NaCl"] * 3


@pytest.mark.parametrize("name", gnomon.HOMES)
def test_a_public_name_says_what_it_takes_and_raises_and_shows_itself_at_work(name):
    thing = getattr(gnomon, name)
    about = "\n".join(filter(None, (thing.__doc__, vars(thing).get("__init__", thing).__doc__)))
    assert ">>> " in about
    if issubclass(type(thing), type(Enum)) or getattr(thing, "_is_protocol", False):
        return  # nobody makes one
    assert "Raises:" in about or (is_dataclass(thing) and not hasattr(thing, "__post_init__"))
    taken = inspect.signature(thing).parameters
    described = re.findall(r"^ +(\w+(?:, \w+)*): ", about, re.MULTILINE)
    described = {one for group in described for one in group.split(", ")}
    if not issubclass(type(thing), type(BaseModel)):  # the fields of settings say it themselves
        assert set(taken) <= described


@pytest.mark.parametrize("name", ["structural-2", "composition-1"])
def test_models_by_name_take_structures_and_atoms(name):
    model = gnomon.load_model(name)
    wanted = model.predict(SALT).median
    for given in (to_pymatgen(SALT)[0], to_ase(SALT)[0], [to_ase(SALT)[0]]):
        np.testing.assert_allclose(model.predict(given).median, wanted, atol=1e-6)
    assert -2.2 < wanted[0] < -1.8  # eV/atom; measured: -411 kJ/mol (NIST)


def test_an_unknown_model_is_refused_with_what_there_is():
    with pytest.raises(FileNotFoundError, match="did you mean structural-2"):
        gnomon.load_model("structural-3")


def test_a_model_is_trained_in_one_call(tmp_path):
    volumes = np.linspace(0.8, 1.2, 24)
    salts = gnomon.Crystals.concatenate([SALT.scale_volume(float(v)) for v in volumes])
    config = TrainConfig.small(4000)  # a few epochs
    model = gnomon.train(salts, volumes - 3, "demo", config=config)
    error = np.abs(model.predict(salts).median - (volumes - 3)).mean()
    assert error < np.abs(volumes - 1).mean()  # better than the mean of all
    model.save(tmp_path / "mine.gnomon")
    again = gnomon.load_model(tmp_path / "mine.gnomon")
    assert (again.scheme, again.kind) == ("demo", "structural")
    with pytest.raises(ValueError, match="24"):
        gnomon.train(salts, volumes[:3])


@pytest.mark.parametrize("name", ["gnomon-1", "ase:ase.calculators.lj.LennardJones"])
def test_evaluators_take_structures_and_atoms(name):
    judge = gnomon.evaluator(name, workers=1, relax=RelaxConfig(max_steps=0))
    for given in (to_pymatgen(SALT)[0], to_ase(SALT)[0]):
        [part] = judge.evaluate(given)
        assert (part.relaxed.reduced_formulas.tolist(), part.scheme) == (["NaCl"], judge.scheme)


def test_frames_are_of_structures_and_atoms_too():
    frames = gnomon.Frames.of(to_ase(SALT), np.array([-6.7]), np.zeros((2, 3)), scheme="PBE")
    assert (frames.crystals.reduced_formulas.tolist(), frames.energy.tolist()) == (["NaCl"], [-6.7])
