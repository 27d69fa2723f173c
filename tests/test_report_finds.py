"""What a report tells of each find: name, flags, novelty, error and doubts."""

from pathlib import Path

import numpy as np
import pytest

from gnomon.crystals import Crystals
from gnomon.discover import Campaign, flags
from gnomon.evaluate.measured import LevelError
from gnomon.generate.prototypes.occurrence import Occurrence
from gnomon.hull.phases import ON_HULL
from gnomon.report import build
from gnomon.report.build import build_report
from gnomon.report.files import doubts_table, phases_table, stable_table
from gnomon.report.novelty import novelties
from gnomon.report.page import render_html
from tests.made_campaigns import HOSTILE, SCHEME, Tables, fcc, of_formula, text_of, written
from tests.test_levels import run as run_levels


def test_a_find_has_its_name_and_its_flags_in_page_and_tables(
    binary: Tables, tmp_path: Path
) -> None:
    report = build_report(written(tmp_path, binary))
    (row,) = stable_table(report).to_pylist()
    assert row["structure_type"].startswith("Cu3Au type (L1_2")
    assert row["flags"] == "known phase: Cu3Au L1_2; scarce: Au"
    assert row["probability_stable"] is None  # nobody measured the error of this level
    text = text_of(render_html(report))
    assert "The error of this level has not been measured" in text
    assert "known phase Cu3Au L1_2 scarce Au" in text
    phases = {r["id"]: r for r in phases_table(report).to_pylist()}
    assert phases[row["id"]]["flags"] == row["flags"]


def test_a_find_is_told_with_the_nearest_known_crystal(binary: Tables, tmp_path: Path) -> None:
    report = build_report(written(tmp_path, binary))
    (find,) = report.finds
    told = report.novelty[find.id]
    row = stable_table(report).to_pylist()[0]
    assert (row["novelty_by_ace"], row["nearest_known"]) == (told.distance, told.formula)
    assert row["nearest_known_from"] in ("this campaign", "prototypes-2")
    page = text_of(render_html(report))
    assert f"{told.distance:.2f}" in page
    assert "by ace; nearest known" in page
    # a known crystal is not novel in another cell; the same lattice with its atoms exchanged is
    cells = Occurrence.load().known.cells
    known = cells[int(np.flatnonzero(cells.reduced_formulas == "CuAu3")[0])]
    lattice, _, frac = known.arrays(0)
    written_otherwise = known.supercell([[1, 1, 0], [0, 1, 0], [0, 0, 2]])
    exchanged = Crystals.single(lattice, [79, 79, 29, 29], frac)
    same, different = novelties(
        report.campaign, Crystals.concatenate([written_otherwise, exchanged])
    )
    assert same is not None
    assert different is not None
    assert (same.formula, same.source) == ("CuAu3", "prototypes-2")
    assert same.distance < 1e-3
    assert different.distance > 0.1


def test_nothing_is_novel_where_nothing_is_known(binary: Tables, tmp_path: Path) -> None:
    found = written(tmp_path, {**binary, "evaluations": []})
    assert novelties(found, fcc("Au", "Cu", "Cu", "Cu")) == [None]


def test_error_and_probability_are_the_same_wherever_they_stand(
    binary: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = LevelError(
        scheme=SCHEME, rows=400, stable=60, f1=0.78, mean_absolute_error=0.041, bias=-0.02,
        source="by hand",
    )  # fmt: skip
    for room in (flags, build):
        monkeypatch.setattr(room, "measured", {SCHEME: error}.get)
    report = build_report(written(tmp_path, binary))
    (find,) = report.finds
    (row,) = stable_table(report).to_pylist()
    assert row["probability_stable"] == error.probability_stable(find.distance_to_rest)
    assert row["error_of_the_level"] == 0.041
    assert "within the error of the level: 41 meV/atom" in row["flags"]
    text = text_of(render_html(report))
    assert "errs by 41 meV/atom in the distance to the hull (bias −20.0; F1 0.78 on 400" in text
    assert f"{1000 * find.distance_to_rest:.1f} ± 41".replace("-", "−") in text
    assert f"{100 * row['probability_stable']:.0f} %" in text
    # a phase above the hull has the probability of its distance, and never more than a find
    others = [report.about[p.id] for p in report.near if p.e_above_hull > ON_HULL]
    assert others
    assert all(other.probability < row["probability_stable"] for other in others)


DOUBTFUL = """data_x
_cell_length_a 5.6
_cell_length_b 5.6
_cell_length_c 5.6
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
loop_
_atom_site_label
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Al1 0 0 0
Ni1 0.5 0.5 0.5
"""
"""No symmetry is stated."""


@pytest.mark.usefixtures("few")
def test_what_a_reader_doubts_about_a_known_crystal_reaches_the_page(tmp_path: Path) -> None:
    (tmp_path / "known.cif").write_text(DOUBTFUL)
    (tmp_path / "none.cif").write_text("data_y\n_cell_length_a 5.6\n")
    files = [str(tmp_path / "known.cif"), str(tmp_path / "none.cif")]
    run_levels(tmp_path / "campaign", budget__rounds=1, generate__known=files)
    found = Campaign(tmp_path / "campaign")
    taken, left = found.doubts
    assert "no symmetry is stated" in taken.text
    assert taken.id in found.crystals["id"].to_pylist()
    assert (left.id, left.text[:8]) == ("", "left out")
    report = build_report(found)
    page = text_of(render_html(report))
    assert "no symmetry is stated" in page
    assert left.text in page
    rows = {row["id"]: row for row in phases_table(report).to_pylist()}
    assert rows[taken.id]["doubts"] == taken.text
    assert doubts_table(report)["source"].to_pylist() == [taken.source, left.source]


def test_doubts_about_what_was_given_follow_it_to_the_finds(binary: Tables, tmp_path: Path) -> None:
    found = written(tmp_path, binary)
    find, gold = of_formula(binary, "Cu3Au"), of_formula(binary, "Au")
    doubts = [
        {"id": gold, "source": "known.cif", "text": HOSTILE},
        {"id": "", "source": "odd.cif", "text": "left out: no_atoms: none"},
    ]
    found.store.finish(0, "generate", {"candidates": {}, "notes": [], "doubts": doubts})
    report = build_report(found)
    (row,) = stable_table(report).to_pylist()
    assert row["id"] == find
    assert row["flags"].endswith(f"doubtful input: known.cif: {HOSTILE} (competes)")
    page = render_html(report)
    assert "Doubts about what was given" in text_of(page)
    assert HOSTILE not in page
    assert doubts_table(report).to_pylist() == doubts
    assert {r["id"]: r["doubts"] for r in phases_table(report).to_pylist()}[gold] == HOSTILE
