"""Training sets: labels, what is held out, kill and resume, and the command."""

import json
import os
from dataclasses import asdict, replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from ase.calculators.emt import EMT

from gnomon.cli import main
from gnomon.crystals import Crystals
from gnomon.dataset import label as labelling
from gnomon.dataset.committee import AGREED, disagreement
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
    rattle,
)
from gnomon.io import to_arrow, to_ase, write
from gnomon.io.frames import read_frames
from gnomon.io.labels import Labels
from gnomon.learn.split import formula_hash, formula_hashes
from gnomon.potential.predict import load_potential
from gnomon.run.claim import ClaimError
from tests.emt_metals import EMT_LABELLER, ORIGIN, ROUNDING, SMALL, metals
from tests.tiny_potentials import MORSE, tiny_file, tiny_potential

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


# --- training sets --------------------------------------------------------------------------------


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
