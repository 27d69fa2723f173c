"""The report: its numbers and its words, on Au-Cu phases computed with EMT."""

from pathlib import Path

import numpy as np
import pytest

from gnomon.discover import Campaign
from gnomon.discover.shares import shares
from gnomon.report.build import build_report
from gnomon.report.files import stable_table
from gnomon.report.page import render_html
from gnomon.run.writing import StoreError, write_json
from tests.calculators import Better
from tests.made_campaigns import SCHEME, Tables, of_formula, text_of, with_twin, without, written
from tests.test_levels import run as run_levels


def test_emt_makes_cu3au_stable_and_l12_cuau3_not(binary: Tables, tmp_path: Path) -> None:
    report = build_report(written(tmp_path, binary))
    assert report.headline == "Au-Cu: 1 new stable phase, predicted by ASE EMT."
    (find,) = report.finds
    assert (find.reduced_formula, find.symmetry) == ("Cu3Au", "Pm-3m (221)")
    assert str(find.reaction) == "Cu3Au → 3 Cu + Au"
    # nothing else binds, so the distance to the rest is the formation energy
    np.testing.assert_allclose(find.distance_to_rest, find.formation_energy_per_atom, atol=1e-9)
    lowest = {phase.reduced_formula: phase for phase in report.lowest}
    assert set(lowest) == {"Au", "Cu", "CuAu", "CuAu3", "Cu3Au"}
    assert lowest["CuAu3"].e_above_hull > 0.005
    assert str(lowest["CuAu3"].reaction) == "3 CuAu3 → 8 Au + Cu3Au"
    assert [row.phase.reduced_formula for row in report.elements] == ["Au", "Cu"]
    np.testing.assert_allclose(report.elements[1].lengths, 3.59, atol=0.01)  # EMT's copper


def test_predictions_are_compared_with_what_was_evaluated(binary: Tables, tmp_path: Path) -> None:
    plain = written(tmp_path / "plain", binary)
    truth = {phase.id: phase.formation_energy_per_atom for phase in plain.phases}
    rows = [
        {
            **row,
            "predicted_formation_energy_per_atom": truth.get(row["id"], 0.0) + 0.03 * (-1) ** i,
            "predicted_e_above_hull": 0.01 * i,
        }
        for i, row in enumerate(binary["screening"])
    ]
    new = [
        {**rows[0], "id": "new", "predicted_e_above_hull": above, "round": number}
        for number, above in ((1, 0.5), (2, -0.02))
    ]
    crystals = [*binary["crystals"], {**binary["crystals"][-1], "id": "new"}]
    changed = binary | {"crystals": crystals, "screening": [*rows, *new]}
    report = build_report(written(tmp_path / "predicted", changed))
    (first,) = report.rounds
    assert first.n_compared == 3  # the candidate that exploded has no energy
    np.testing.assert_allclose(first.mean_error, 0.03, atol=1e-9)
    assert [(row.id, row.e_above_hull, row.round) for row in report.waiting] == [("new", -0.02, 2)]
    assert "the crystals are not relaxed" in text_of(render_html(report))


def test_candidates_that_relax_to_the_same_phase_are_one_find(
    binary: Tables, tmp_path: Path
) -> None:
    (find,) = written(tmp_path / "twice", with_twin(binary, "Cu3Au", 1)).finds
    assert {find.id, *find.copies} == {of_formula(binary, "Cu3Au"), "twin"}
    np.testing.assert_allclose(find.distance_to_rest, find.formation_energy_per_atom, atol=1e-9)
    repeated = written(tmp_path / "known", with_twin(binary, "Cu3Au", 0))
    report = build_report(repeated)
    assert report.finds == ()
    assert sum(hit.stable.k for hit in report.hits) == 0  # nor is it a hit
    assert {p.reduced_formula: p.known for p in report.lowest}["Cu3Au"]
    assert "on the hull, found here" not in {trace.name for trace in repeated.plot().data}


def test_lineage_is_traced_to_its_root_through_relaxed_parents(
    binary: Tables, tmp_path: Path
) -> None:
    relaxed = {row["id"]: row.get("relaxed_id") for row in binary["evaluations"]}
    child, parent = (of_formula(binary, formula) for formula in ("Cu3Au", "CuAu"))
    made = {"parent_id": relaxed[parent], "generator": "substitution", "change": "Au→Cu"}
    cycle = {"parent_id": child}  # must not hang the report
    rows = [{**row, **{child: made, parent: cycle}.get(row["id"], {})} for row in binary["lineage"]]
    (find,) = written(tmp_path, binary | {"lineage": rows}).finds
    assert [step.generator for step in find.lineage] == ["substitution", "prototypes"]
    assert find.origin == "Au→Cu"


def test_the_headline_is_honest_when_nothing_is_stable(binary: Tables, tmp_path: Path) -> None:
    report = build_report(written(tmp_path, without(binary, "Cu3Au")))
    assert report.headline.startswith(
        "Au-Cu: no new stable phase among 3 evaluated candidates, predicted by ASE EMT. "
        "The closest, CuAu, lies "
    )
    assert "No new stable phase was found" in text_of(render_html(report))


def test_only_a_higher_level_verifies(binary: Tables, tmp_path: Path) -> None:
    """What one potential says is a prediction, whatever it says."""
    found = written(tmp_path, binary)
    (find,) = found.finds
    said = {"scheme": "PBE", "finds": [{"candidate_id": find.id, "verdict": "stable"}]}
    assert (
        "confirmed at" not in text_of(render_html(build_report(found))).lower().split("stable")[0]
    )
    write_json(tmp_path / "verification" / "gpaw-1a2b" / "verification.json", said)
    report = build_report(found)
    assert report.headline == (
        "Au-Cu: 1 new stable phase, predicted by ASE EMT. Confirmed at PBE: 1 of 1."
    )
    assert stable_table(report)["confirmed_at"].to_pylist() == ["PBE"]
    said["finds"] = [{"candidate_id": find.id, "verdict": "above_hull"}]
    write_json(tmp_path / "verification" / "gpaw-1a2b" / "verification.json", said)
    report = build_report(found)
    assert report.headline.endswith("Confirmed at PBE: 0 of 1.")
    assert stable_table(report)["confirmed_at"].to_pylist() == [""]
    assert stable_table(report)["agreement"].to_pylist() == ["PBE: disagrees"]
    said["shares_labels_of"] = "a teacher of both"
    write_json(tmp_path / "verification" / "gpaw-1a2b" / "verification.json", said)
    assert build_report(found).headline.endswith("Confirmed at PBE (not independent): 0 of 1.")
    del said["shares_labels_of"]
    write_json(tmp_path / "verification" / "gpaw-1a2b" / "verification.json", said)
    assert "PBE disagrees: above hull" in text_of(render_html(report))
    once_more = {"scheme": SCHEME, "finds": [{"candidate_id": find.id, "verdict": "stable"}]}
    write_json(tmp_path / "verification" / "gpaw-1a2b" / "verification.json", once_more)
    assert build_report(found).headline == "Au-Cu: 1 new stable phase, predicted by ASE EMT."
    (tmp_path / "verification" / "gpaw-1a2b" / "verification.json").write_text("[]")
    with pytest.raises(StoreError, match="`gnomon verify` as before writes it anew"):
        build_report(found)


def test_people_see_the_system_in_the_order_in_which_they_wrote_it(
    binary: Tables, tmp_path: Path
) -> None:
    found = written(tmp_path, binary, system="Cu-Au")
    report = build_report(found)
    assert report.headline.startswith("Cu-Au: ")
    assert "Discovery in Cu-Au" in text_of(render_html(report))
    line = next(trace for trace in found.plot().data if trace.name == "hull")
    assert list(line.x) == [0, 0.25, 1]  # the fraction of gold


def test_an_empty_campaign_gives_a_page_that_says_so(binary: Tables, tmp_path: Path) -> None:
    report = build_report(written(tmp_path, {"crystals": binary["crystals"]}))
    assert report.headline == "Au-Cu: no candidate has been evaluated yet."
    assert "Nothing has been evaluated yet." in text_of(render_html(report))


def test_a_campaign_whose_evaluations_all_failed_says_so(binary: Tables, tmp_path: Path) -> None:
    done = [r for r in binary["evaluations"] if r["round"] == 0 or r["status"] == "exploded"]
    report = build_report(written(tmp_path, binary | {"evaluations": done}))
    assert report.headline == (
        "Au-Cu: no new stable phase among 1 evaluated candidate, predicted by ASE EMT. "
        "No evaluation of a candidate gave an energy."
    )
    assert "1 exploded" in text_of(render_html(report))


def test_schemes_never_mix_on_a_page(binary: Tables, tmp_path: Path) -> None:
    first, *rest = binary["evaluations"]
    mixed = written(tmp_path, binary | {"evaluations": [{**first, "scheme": "PBE"}, *rest]})
    with pytest.raises(StoreError, match="ASE EMT and PBE"):
        build_report(mixed)


@pytest.mark.usefixtures("few")
def test_levels_stand_on_the_page_as_they_are_told(tmp_path: Path) -> None:
    run_levels(tmp_path, Better("better"), budget__rounds=1)
    found = Campaign(tmp_path)
    report = build_report(found)
    assert found.finds
    assert "new stable phase" in report.headline
    assert report.headline.endswith("screened by fast and confirmed at better.")
    assert report.told[0] == "fast screens; better decides"
    (closure,) = found.closures
    assert report.told[1] == f"better: {closure}"
    text = text_of(render_html(report))
    for line in (report.headline, *report.told, str(closure)):
        assert line in text
    assert "Above the hull of fast" in text
    assert "Above the hull of better" in text
    assert f"screens fast {len(found.level(0).evaluations)} " in text
    assert f"decides better {len(found.level(1).evaluations)} " in text
    once_more = {"candidate_id": found.finds[0].id, "verdict": "stable"}
    file = tmp_path / "verification" / "fast-1a2b" / "verification.json"
    write_json(file, {"scheme": "fast", "finds": [once_more]})
    assert build_report(found).headline == report.headline
    by_generator = shares(found)
    assert report.n_candidates == sum(share.candidates for share in by_generator)
    assert report.n_evaluated == sum(share.evaluated for share in by_generator)
    whole = [hit for hit in report.hits if hit.round == 1]
    assert sum(hit.stable.k for hit in whole) == sum(share.hits.k for share in by_generator)
    assert sum(hit.stable.n for hit in whole) == sum(share.hits.n for share in by_generator)
    assert len(report.finds) == by_generator[0].stable.n
    for row, find in zip(stable_table(report).to_pylist(), found.finds, strict=True):
        below, own = row["e_above_hull_at_each_level"].split("; ")
        assert below.startswith("fast: ")
        assert own == f"better: {find.e_above_hull:.4f}"
