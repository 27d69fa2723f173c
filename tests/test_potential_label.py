"""Training sets: laws of the perturbations, partial relaxations, labels, kill and resume."""

import json
import os
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from ase.calculators.emt import EMT
from hypothesis import given, settings
from hypothesis import strategies as st

from gnomon.cli import main
from gnomon.crystals import Crystals
from gnomon.dataset import label as labelling
from gnomon.dataset.committee import AGREED, DisputedLabeller, disagreement
from gnomon.dataset.label import LabelConfig, label, label_part, summarise
from gnomon.dataset.labellers import (
    MAX_FORCE,
    AseLabeller,
    PotentialLabeller,
    Reasons,
    unusable,
)
from gnomon.dataset.perturb import (
    PerturbConfig,
    Variants,
    perturbations,
    rattle,
    strain,
    volume_scan,
)
from gnomon.dataset.way import on_the_way
from gnomon.dynamics.relax import relax
from gnomon.dynamics.settings import RelaxConfig
from gnomon.io import to_arrow, to_ase, write
from gnomon.io.frames import read_frames
from gnomon.io.labels import Labels
from gnomon.learn.split import formula_hash, formula_hashes
from gnomon.potential.predict import load_potential
from gnomon.run.claim import ClaimError
from tests.strategies import random_crystal, random_rotation
from tests.tiny_potentials import MORSE, tiny_file, tiny_potential

seeds = st.integers(0, 2**32 - 1)

ROUNDING = 1e-10
"""Å, relative strain and eV: sums of tens of terms in float64."""

EMT_LABELLER = AseLabeller(EMT(), "EMT")
ORIGIN = {"evaluator": "EMT"}


def batch(seed: int, n: int = 4) -> Crystals:
    rng = np.random.default_rng(seed)
    return Crystals.concatenate([random_crystal(rng) for _ in range(n)])


def metals() -> Crystals:
    """Ordered fcc alloys that EMT and Morse know, in cells of 4 atoms and of 8; any hash."""
    sites = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
    made = [
        Crystals.single(a * np.eye(3), [x, y, y, y], sites)
        for x, y, a in [(47, 29, 3.8), (29, 47, 4.0), (13, 29, 3.7), (29, 13, 3.7), (13, 47, 3.9)]
    ]
    return Crystals.concatenate([*made, made[0].supercell([2, 1, 1])])


# --- perturbations --------------------------------------------------------------------------------


@given(seed=seeds, amplitude=st.floats(0, 0.5))
def test_a_rattle_keeps_the_centre_and_the_cell(seed, amplitude):
    crystals = batch(seed)
    moved = rattle(crystals, np.full(4, amplitude), seed)
    shifts = moved.cart_coords - crystals.cart_coords
    sums = np.add.reduceat(shifts, crystals.offsets[:-1])
    np.testing.assert_allclose(sums, 0, atol=ROUNDING)
    np.testing.assert_array_equal(moved.lattice, crystals.lattice)
    alone = np.repeat(crystals.n_atoms == 1, crystals.n_atoms)
    np.testing.assert_allclose(shifts[alone], 0, atol=ROUNDING)


def test_a_rattle_has_the_width_that_was_asked_for():
    big = Crystals.single(30 * np.eye(3), np.full(4000, 29), np.random.rand(4000, 3))
    shifts = (rattle(big, np.array([0.1]), 1).cart_coords - big.cart_coords).ravel()
    assert shifts.std() == pytest.approx(0.1, rel=0.05)  # 12,000 draws: 0.6 %
    kurtosis = ((shifts / shifts.std()) ** 4).mean()
    assert kurtosis == pytest.approx(3, abs=0.3)  # Gaussian; its standard error is 0.04


@given(seed=seeds, amplitude=st.floats(0, 0.29))
def test_a_strain_is_symmetric_bounded_and_keeps_fractional_coordinates(seed, amplitude):
    crystals = batch(seed)
    strained = strain(crystals, amplitude, seed)
    tensor = np.linalg.solve(crystals.lattice, strained.lattice) - np.eye(3)
    np.testing.assert_allclose(tensor, tensor.transpose(0, 2, 1), atol=ROUNDING)
    assert np.abs(tensor).max() <= amplitude + ROUNDING
    np.testing.assert_array_equal(strained.frac_coords, crystals.frac_coords)
    before, after = np.linalg.det(crystals.lattice), np.linalg.det(strained.lattice)
    assert np.all(before * after > 0)


@given(seed=seeds)
def test_a_volume_scan_has_exact_factors(seed):
    crystals = batch(seed)
    factors = (0.8, 1.0, 1.25)
    scanned = volume_scan(crystals, factors)
    expected = (crystals.volumes[:, None] * np.array(factors)).ravel()
    np.testing.assert_allclose(scanned.volumes, expected, rtol=1e-12)
    np.testing.assert_array_equal(
        scanned.take([1, 4]).frac_coords, crystals.take([0, 1]).frac_coords
    )


@given(seed=seeds)
def test_a_crystal_is_perturbed_the_same_in_any_batch(seed):
    crystals = batch(seed)
    recipe = PerturbConfig(copies=2, scan_atoms=4)
    whole = perturbations(crystals, recipe, seed)
    for i in (3, 0):
        own = perturbations(crystals[i], recipe, seed)
        mine = whole.parent == i
        assert whole.crystals.take(mine).ids.tolist() == own.crystals.ids.tolist()
        assert whole.kind[mine].tolist() == own.kind.tolist()
    assert own.crystals.ids[0] == crystals.ids[0]
    other = perturbations(crystals[0], recipe, seed + 1)
    copies = own.kind == "perturbed"
    assert not set(own.crystals.ids[copies]) & set(other.crystals.ids[copies])
    assert len(set(own.crystals.ids[copies])) == 2


def test_only_small_cells_are_scanned():
    crystals = metals()
    made = perturbations(crystals, PerturbConfig(copies=0, scan_atoms=4), 0)
    scanned = np.bincount(made.parent[made.kind == "scaled"], minlength=6)
    assert scanned.tolist() == [6, 6, 6, 6, 6, 0]


def test_senseless_amplitudes_are_refused():
    crystals = metals()
    with pytest.raises(ValueError, match="zero or more"):
        rattle(crystals, np.full(6, -0.1), 0)
    with pytest.raises(ValueError, match=r"0\.\.0\.3, not 0\.5"):
        strain(crystals, 0.5, 0)


# --- labels ---------------------------------------------------------------------------------------


def test_labels_by_a_calculator_are_ases():
    crystals = rattle(metals(), np.full(6, 0.1), 0)
    labels, reasons = EMT_LABELLER.label(crystals)
    assert reasons.tolist() == unusable(crystals, labels).tolist() == [""] * 6
    for i, atoms in enumerate(to_ase(crystals)):
        atoms.calc = EMT()
        own = slice(*crystals.offsets[i : i + 2])
        assert labels.energy[i] == pytest.approx(atoms.get_potential_energy(), abs=ROUNDING)
        np.testing.assert_allclose(labels.forces[own], atoms.get_forces(), atol=ROUNDING)
        stress = atoms.get_stress(voigt=False)
        np.testing.assert_allclose(labels.stress[i], stress, atol=ROUNDING)


def test_a_crystal_that_cannot_be_labelled_keeps_the_reason():
    odd = metals()[0].with_atomic_numbers(np.array([92, 29, 29, 29]))
    crystals = Crystals.concatenate([odd, metals()[1]])
    labels, reasons = EMT_LABELLER.label(crystals)
    assert "U" in reasons[0]
    assert reasons[1] == ""
    assert np.isnan(labels.energy).tolist() == [True, False]


def test_nonsense_is_told_apart():
    crystals = metals()[:4]
    forces, stress = np.zeros((16, 3)), np.zeros((4, 3, 3))
    forces[0], stress[1, 0, 0] = MAX_FORCE, np.nan
    energy = np.array([0.0, 0.0, np.inf, 0.0])
    reasons = unusable(crystals, Labels(energy, forces, stress))
    not_finite = "an energy, a force or a stress is not finite"
    assert reasons.tolist() == ["a force above 50 eV/Å", not_finite, not_finite, ""]


def test_a_potential_is_asked_only_for_elements_that_it_knows():
    copper = metals()[0].with_atomic_numbers(np.full(4, 29))
    crystals = Crystals.concatenate([metals()[0], copper, metals()[1]])
    potential = tiny_potential(elements=(29,))
    labels, reasons = PotentialLabeller(potential).label(crystals)
    lacking = "an element that the potential lacks"
    assert reasons.tolist() == [lacking, "", lacking]
    assert labels.energy[1] == pytest.approx(potential.predict(copper).energy[0], abs=1e-4)
    assert np.isfinite(labels.energy).tolist() == [False, True, False]
    assert np.isfinite(labels.forces).all(axis=1).tolist() == [False] * 4 + [True] * 4 + [False] * 4
    none, _ = PotentialLabeller(potential).label(metals())
    assert np.isnan(none.energy).all()


# --- a committee ----------------------------------------------------------------------------------

COMMITTEE = (MORSE, tiny_potential(), tiny_potential(1))


@settings(max_examples=6)
@given(seed=seeds, turned=st.booleans())
def test_disagreement_depends_on_neither_order_nor_cell_nor_orientation(seed, turned):
    rng = np.random.default_rng(seed)
    crystal = random_crystal(rng)
    other = crystal.supercell([1, 2, 1])
    if turned:
        other = other.with_lattice(other.lattice @ random_rotation(rng))
    once = disagreement(crystal, COMMITTEE)
    np.testing.assert_allclose(disagreement(other, COMMITTEE[::-1]), once, rtol=1e-3, atol=1e-4)


def test_disagreement_is_the_spread_of_forces_and_of_the_pull_on_faces():
    crystals = rattle(metals(), np.full(6, 0.1), 0)
    a, b = (member.predict(crystals) for member in COMMITTEE[:2])
    found = disagreement(crystals, COMMITTEE[:2])
    for i, atoms in enumerate(crystals.n_atoms):
        own = slice(*crystals.offsets[i : i + 2])
        pull = np.linalg.norm(a.forces[own] - b.forces[own], axis=1).max() / 2
        push = np.linalg.norm(a.stress[i] - b.stress[i]) / 2
        push *= (crystals.volumes[i] / atoms) ** (2 / 3)
        assert found[i] == pytest.approx(max(pull, push), rel=1e-5)
    np.testing.assert_allclose(disagreement(crystals, [MORSE, MORSE]), 0, atol=1e-6)


def test_what_a_member_does_not_know_is_disputed():
    copper = metals()[0].with_atomic_numbers(np.full(4, 29))
    crystals = Crystals.concatenate([metals()[0], copper])
    found = disagreement(crystals, [MORSE, tiny_potential(elements=(29,))])
    assert np.isinf(found).tolist() == [True, False]


def test_only_disputed_frames_are_labelled():
    asked: list[str] = []

    class Counting:
        scheme = "EMT"

        def label(self, crystals: Crystals) -> tuple[Labels, Reasons]:
            asked.extend(crystals.ids)
            return EMT_LABELLER.label(crystals)

    crystals = rattle(metals(), np.full(6, 0.1), 0)
    apart = disagreement(crystals, COMMITTEE[:2])
    bound = float(np.median(apart))
    disputed = crystals.ids[apart >= bound].tolist()
    assert len(disputed) == 3
    config = SMALL.model_copy(update={"perturb": PerturbConfig(copies=0, volumes=())})
    labeller = DisputedLabeller(Counting(), COMMITTEE[:2], bound)
    frames, lineage = label_part(crystals, labeller, config)
    assert asked == disputed == frames.crystals.ids.tolist()
    agreed = [row["id"] for row in lineage.to_pylist() if row["reason"] == AGREED]
    assert agreed == crystals.ids[apart < bound].tolist()
    np.testing.assert_array_equal(frames.energy, EMT_LABELLER.label(frames.crystals)[0].energy)
    nothing, _ = label_part(crystals, replace(labeller, dispute=1e6), config)
    assert len(nothing) == 0
    assert asked == disputed


# --- partial relaxations --------------------------------------------------------------------------


def way_of(crystals: Crystals, **options: Any) -> Variants:
    given = {"steps": 12, "frames": 4, "fmax": 1e-3} | options
    return on_the_way(crystals, np.arange(len(crystals)), "given", MORSE, **given)


def test_frames_on_the_way_lead_downhill_from_the_start_to_the_end():
    crystals = rattle(metals(), np.full(6, 0.15), 3)
    way = way_of(crystals)
    ends = relax(crystals, MORSE, RelaxConfig(fmax=1e-3, max_steps=12))
    for i, end in enumerate(ends):
        mine = np.flatnonzero(way.parent == i)
        assert 2 <= len(mine) <= 4
        assert way.step[mine[0]] == 0
        assert np.all(np.diff(way.step[mine]) > 0)
        assert way.crystals.ids[mine[0]] == crystals.ids[i]
        energy = MORSE.predict(way.crystals.take(mine)).energy / crystals.n_atoms[i]
        assert np.all(np.diff(energy) < 1e-4)
        assert energy[-1] == pytest.approx(end.energy_per_atom, abs=1e-3)


def test_a_relaxation_of_no_steps_keeps_the_starts():
    way = way_of(metals(), steps=0)
    assert way.crystals.ids.tolist() == metals().ids.tolist()
    assert way.step.tolist() == [0] * 6


def test_a_crystal_that_cannot_be_moved_is_kept_as_it_is():
    odd = metals()[0].with_atomic_numbers(np.array([92, 29, 29, 29]))
    copper = odd.with_atomic_numbers(np.full(4, 29))
    gold = odd.with_atomic_numbers(np.full(4, 79))
    way = way_of(Crystals.concatenate([odd, gold, copper]))  # unknown, never finite, good
    assert [np.sum(way.parent == i) for i in range(2)] == [1, 1]
    assert np.sum(way.parent == 2) > 1


# --- training sets --------------------------------------------------------------------------------

SMALL = LabelConfig(
    perturb=PerturbConfig(copies=1, volumes=(0.9, 1.1)), chunk=2, below=100, relax_steps=3
)


def test_a_training_set_holds_what_was_asked_for(tmp_path):
    summary = label(metals(), EMT_LABELLER, SMALL, tmp_path / "set", origin=ORIGIN)
    frames = read_frames(tmp_path / "set").frames
    assert frames.scheme == "EMT"
    assert len(frames) == summary.frames == 6 * 2 + 5 * 2
    assert summary.rejected == {}
    assert (summary.parts, summary.first) == (3, 0)
    assert summary.atoms == int(frames.crystals.offsets[-1])
    assert set(metals().ids) <= set(frames.crystals.ids)
    np.testing.assert_allclose(
        frames.forces, EMT_LABELLER.label(frames.crystals)[0].forces, atol=ROUNDING
    )
    provenance = json.loads((tmp_path / "set" / "provenance.json").read_text())
    assert provenance["request"]["labeller"] == ORIGIN
    assert provenance["request"]["settings"]["perturb"]["copies"] == 1


def test_formulas_that_are_held_out_are_not_labelled(tmp_path):
    hashes = formula_hashes(metals().reduced_formulas)
    middle = int(np.median(hashes))
    config = SMALL.model_copy(update={"below": middle})
    summary = label(metals(), EMT_LABELLER, config, tmp_path / "low", origin=ORIGIN)
    low = read_frames(tmp_path / "low").frames
    assert max(map(formula_hash, low.group)) < middle
    assert summary.held_out == (hashes >= middle).sum() > 0
    config = SMALL.model_copy(update={"at_least": middle})
    label(metals(), EMT_LABELLER, config, tmp_path / "high", origin=ORIGIN)
    high = read_frames(tmp_path / "high").frames
    assert set(low.group) | set(high.group) == set(metals().reduced_formulas)
    assert not set(low.group) & set(high.group)
    one = metals().take(np.flatnonzero(hashes == hashes.max())[:1])
    config = SMALL.model_copy(update={"below": int(hashes.max())})
    with pytest.raises(ValueError, match="none of 1 crystals has a formula hash from 0 to"):
        label(one, EMT_LABELLER, config, tmp_path / "none", origin=ORIGIN)


def test_unrelaxed_crystals_give_frames_of_their_relaxation(tmp_path):
    config = SMALL.model_copy(update={"unrelaxed": True, "relax_frames": 2, "fmax": 1e-9})
    summary = label(metals(), EMT_LABELLER, config, tmp_path / "set", origin=ORIGIN, mover=MORSE)
    frames = read_frames(tmp_path / "set").frames
    assert summary.first == 6
    assert len(frames) == 12
    assert set(frames.crystals.ids[frames.first]) == set(metals().ids)
    lineage = pq.read_table(tmp_path / "set" / "lineage").to_pylist()
    assert {row["step"] for row in lineage} == {0, 3}
    assert {row["parent_id"] for row in lineage} == set(metals().ids)


def test_one_moves_and_another_labels(tmp_path):
    config = SMALL.model_copy(update={"unrelaxed": True, "relax_frames": 2, "fmax": 1e-9})
    movers = {"own": MORSE, "other": tiny_potential(repulsion=True)}
    for name, mover in movers.items():
        label(metals(), EMT_LABELLER, config, tmp_path / name, origin=ORIGIN, mover=mover)
    own, other = (read_frames(tmp_path / name).frames for name in ("own", "other"))
    assert other.scheme == "EMT"
    assert set(own.crystals.ids[own.first]) == set(other.crystals.ids[other.first])
    assert not set(own.crystals.ids[~own.first]) & set(other.crystals.ids[~other.first])
    np.testing.assert_array_equal(EMT_LABELLER.label(other.crystals)[0].energy, other.energy)
    with pytest.raises(ValueError, match="give a mover"):
        label(metals(), EMT_LABELLER, config, tmp_path / "other", origin=ORIGIN)
    softer = replace(MORSE, name="softer")
    with pytest.raises(ClaimError, match="moved_by"):
        label(metals(), EMT_LABELLER, config, tmp_path / "own", origin=ORIGIN, mover=softer)


def test_substitutes_are_relaxed_flagged_and_keep_to_the_asked_formulas():
    salt = Crystals.single(
        [[0, 2.82, 2.82], [2.82, 0, 2.82], [2.82, 2.82, 0]],
        [11, 17],
        [[0, 0, 0], [0.5, 0.5, 0.5]],
    )
    config = LabelConfig(substitutes=5, below=40, perturb=PerturbConfig(copies=0, volumes=()))
    children, parents = labelling.substituted(salt, config)
    assert len(children) == 5
    assert parents.tolist() == [0] * 5
    assert max(map(formula_hash, children.reduced_formulas)) < 40
    again, _ = labelling.substituted(salt, config)
    assert again.ids.tolist() == children.ids.tolist()
    other, _ = labelling.substituted(salt, config.model_copy(update={"seed": 1}))
    assert other.ids.tolist() != children.ids.tolist()

    class Springs:
        """Every atom is drawn to the origin of its cell, gently."""

        scheme = "springs"

        def label(self, crystals: Crystals) -> tuple[Labels, Reasons]:
            n = len(crystals)
            labels = Labels(np.zeros(n), -0.1 * crystals.cart_coords, np.zeros((n, 3, 3)))
            return labels, np.full(n, "", object)

    frames, lineage = label_part(salt, Springs(), config, MORSE)
    assert lineage["kind"].to_pylist()[0] == "given"
    assert lineage["kind"].to_pylist()[1:] == ["substituted"] * (len(lineage) - 1)
    assert frames.first.sum() == 5
    assert not frames.first[0]


def test_nonsense_is_kept_out_with_a_reason_and_counted(tmp_path):
    squeezed = rattle(metals()[0].scale_volume(0.15), np.array([0.2]), 0)
    odd = metals()[1].with_atomic_numbers(np.array([92, 29, 29, 29]))
    crystals = Crystals.concatenate([metals(), squeezed, odd, metals()[0]])
    config = SMALL.model_copy(update={"perturb": PerturbConfig(copies=0, volumes=())})
    summary = label(crystals, EMT_LABELLER, config, tmp_path / "set", origin=ORIGIN)
    assert summary.repeated == 1
    assert summary.frames == 6
    assert sum(summary.rejected.values()) == 2
    assert "a force above 50 eV/Å" in summary.rejected
    lineage = pq.read_table(tmp_path / "set" / "lineage").to_pylist()
    assert {r["id"] for r in lineage if r["reason"]} == {squeezed.ids[0], odd.ids[0]}


def test_what_a_reader_would_reject_is_kept_out():
    close = Crystals.single(8 * np.eye(3), [29, 29], [[0, 0, 0], [0.05, 0, 0]])  # 0.4 Å

    class Nothing:
        scheme = "nothing"

        def label(self, crystals: Crystals) -> tuple[Labels, Reasons]:
            n, reasons = len(crystals), np.full(len(crystals), "", object)
            zeros = np.zeros((int(crystals.offsets[-1]), 3))
            return Labels(np.zeros(n), zeros, np.zeros((n, 3, 3))), reasons

    config = LabelConfig(perturb=PerturbConfig(copies=0, volumes=()))
    frames, lineage = label_part(close, Nothing(), config)
    assert len(frames) == 0
    assert "within 0.5 Å" in lineage["reason"].to_pylist()[0]


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


@pytest.mark.parametrize("moment", range(7))
def test_a_kill_at_any_file_is_made_good_by_the_same_command(tmp_path, monkeypatch, moment):
    whole = label(metals(), EMT_LABELLER, SMALL, tmp_path / "whole", origin=ORIGIN)
    replace, count = os.replace, iter(range(1000))

    def replace_or_die(source, target, **kwargs):
        if next(count) == moment:
            raise Killed
        return replace(source, target, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace_or_die)
        with pytest.raises(Killed):
            label(metals(), EMT_LABELLER, SMALL, tmp_path / "set", origin=ORIGIN)
    done = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "set").glob("part-*")}
    assert len(done) == max(0, (moment - 1) // 2)
    assert label(metals(), EMT_LABELLER, SMALL, tmp_path / "set", origin=ORIGIN) == whole
    for name, time in done.items():
        assert (tmp_path / "set" / name).stat().st_mtime_ns == time, "a finished part was remade"
    assert sorted(p.name for p in (tmp_path / "set").glob("*")) == sorted(
        p.name for p in (tmp_path / "whole").glob("*")
    )
    for part in (tmp_path / "whole").rglob("*.parquet"):
        other = tmp_path / "set" / part.relative_to(tmp_path / "whole")
        assert pq.read_table(part).equals(pq.read_table(other))


@pytest.mark.parametrize("changed", ["settings", "crystals", "labeller", "scheme"])
def test_a_folder_of_another_request_is_refused(tmp_path, changed):
    label(metals()[:2], EMT_LABELLER, SMALL, tmp_path, origin=ORIGIN)
    before = asdict(summarise(tmp_path))
    config = SMALL.model_copy(update={"seed": 1}) if changed == "settings" else SMALL
    crystals = metals()[:3] if changed == "crystals" else metals()[:2]
    origin = {"weights": "other", "sha256": "0"} if changed == "labeller" else ORIGIN
    labeller = AseLabeller(EMT(), "EMT 2") if changed == "scheme" else EMT_LABELLER
    with pytest.raises(ClaimError, match=f"was made with {changed}"):
        label(crystals, labeller, config, tmp_path, origin=origin)
    assert asdict(summarise(tmp_path)) == before


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ClaimError, match="holds other files"):
        label(metals(), EMT_LABELLER, SMALL, tmp_path, origin=ORIGIN)


# --- the command ----------------------------------------------------------------------------------


@pytest.fixture
def structures(tmp_path):
    path = tmp_path / "metals.parquet"
    write(path, metals())
    return str(path)


EVALUATOR = ["--evaluator", "ase:ase.calculators.emt.EMT"]


def test_the_command_labels_and_goes_on(tmp_path, structures, capsys):
    out = tmp_path / "set"
    command = ["label", structures, *EVALUATOR, "--out", str(out), "--below", "100", "--json"]
    command += ["--copies", "1", "--chunk", "3"]
    assert main(command) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["frames"] == len(read_frames(out).frames) == 6 * 2 + 5 * 6
    assert said["scheme"] == read_frames(out).frames.scheme
    (out / "part-00001.parquet").unlink()
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out) == said
    assert main([*command, "--seed", "1"]) == 1
    assert "was made with settings" in capsys.readouterr().err


def test_weights_relax_what_a_calculator_labels(tmp_path, structures, capsys):
    mover = ["--unrelaxed", "--relax-steps", "4", "--mover", str(tiny_file(tmp_path))]
    command = ["label", structures, *EVALUATOR, *mover, "--below", "100", "--json"]
    assert main([*command, "--out", str(tmp_path / "set")]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["first"] == 6
    assert said["frames"] > 6
    provenance = json.loads((tmp_path / "set" / "provenance.json").read_text())
    assert provenance["request"]["labeller"]["moved_by"].startswith("tiny (sha256 ")


def test_a_committee_says_what_is_labelled(tmp_path, structures, capsys):
    (tmp_path / "other").mkdir()
    files = [tiny_file(tmp_path), tiny_file(tmp_path / "other", scale=2.0)]
    members = [word for file in files for word in ("--committee", str(file))]
    command = ["label", structures, *EVALUATOR, *members, "--below", "100", "--json"]
    assert main([*command, "--out", str(tmp_path / "all"), "--dispute", "0"]) == 0
    every = json.loads(capsys.readouterr().out)
    frames = read_frames(tmp_path / "all").frames
    apart = np.sort(disagreement(frames.crystals, [load_potential(str(file)) for file in files]))
    half = len(apart) // 2
    bound = str((apart[half - 1] + apart[half]) / 2)
    assert main([*command, "--out", str(tmp_path / "few"), "--dispute", bound]) == 0
    few = json.loads(capsys.readouterr().out)
    assert every["frames"] == len(apart)
    assert few["frames"] == len(apart) - half
    assert few["rejected"][AGREED] == half
    request = json.loads((tmp_path / "few" / "provenance.json").read_text())["request"]
    assert request["labeller"]["committee"].count("tiny (sha256 ") == 2


def test_frames_are_crystals_to_every_other_command(tmp_path, structures, capsys):
    out = tmp_path / "set"
    assert main(["label", structures, *EVALUATOR, "--out", str(out), "--below", "100"]) == 0
    assert "unrelaxed starts" in capsys.readouterr().out
    again = ["label", str(out / "part-00000.parquet"), *EVALUATOR, "--out", str(tmp_path / "b")]
    assert main([*again, "--below", "100", "--copies", "0", "--scan-atoms", "0"]) == 0
    first, second = read_frames(out).frames, read_frames(tmp_path / "b").frames
    assert set(second.crystals.ids) == set(first.crystals.ids)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Missing option '--evaluator'"),
        (["--evaluator", "gpaw"], "gpaw does not label"),
        (["--evaluator", "emt"], "no evaluator 'emt'"),
        ([*EVALUATOR, "--below", "0"], "--below"),
        ([*EVALUATOR, "--strain", "0.9"], "--strain"),
        ([*EVALUATOR, "--below", "1"], "none of 6 crystals"),
        (["--weights", "nequix-mp-1", "--options", '{"a": 1}'], "options belong to"),
        ([*EVALUATOR, "--committee", "gnomon-1"], "name two potentials or more"),
    ],
)
def test_mistakes_of_the_command_are_explained(tmp_path, structures, capsys, arguments, said):
    assert main(["label", structures, "--out", str(tmp_path / "set"), *arguments]) != 0
    assert said in capsys.readouterr().err
    assert not (tmp_path / "set").exists()


def test_a_table_of_frames_keeps_gnomons_columns(tmp_path, structures):
    out = tmp_path / "set"
    assert main(["label", structures, *EVALUATOR, "--out", str(out), "--below", "100"]) == 0
    table = pq.read_table(out / "part-00000.parquet")
    assert table.column_names[:5] == to_arrow(metals()).column_names
