"""Where finds come from: shares of generators, and the history of one find."""

import json

import pytest

from gnomon.cli.campaigns import lineage
from gnomon.cli.options import CommandError
from gnomon.discover.shares import shares
from gnomon.run.listener import SILENT
from gnomon.run.writing import StoreError
from tests.made_campaigns import PROTOTYPES, campaign, of_formula, written


@pytest.fixture(scope="module")
def tables():
    """A campaign whose candidates came in round 1; Cu3Au is the only find on the hull."""
    return campaign(PROTOTYPES)


@pytest.fixture
def found(tables, tmp_path):
    return written(tmp_path, tables)


def by(tables, generator_of):
    """The same campaign, each candidate made by the generator that this function names."""
    rows = [{**row, "generator": generator_of(row)} for row in tables["lineage"]]
    return tables | {"lineage": rows}


def test_one_generator_has_all_finds(found):
    [share] = shares(found)
    n = len(found.finds)
    assert n == 1
    assert (share.generator, share.candidates) == ("prototypes", 4)
    assert (share.stable.k, share.stable.n) == (n, n)
    assert share.evaluated == share.hits.n == 4  # failures count, references do not


def test_shares_add_up_whoever_made_what(tables, tmp_path):
    find = of_formula(tables, "Cu3Au")
    mixed = written(tmp_path, by(tables, lambda row: "saps" if row["id"] == find else "random"))
    rows = {share.generator: share for share in shares(mixed)}
    assert rows["saps"].stable.k == len(mixed.finds) == 1
    assert rows["random"].stable.k == 0
    assert sum(share.candidates for share in rows.values()) == 4
    assert sum(share.evaluated for share in rows.values()) == 4


def test_a_find_counts_for_the_root_of_its_line_too(tables, tmp_path):
    """Its parent, as relaxed, was made by another generator."""
    find, parent = (of_formula(tables, formula) for formula in ("Cu3Au", "CuAu"))
    relaxed = {row["id"]: row.get("relaxed_id") for row in tables["evaluations"]}
    grown = by(tables, lambda row: "random" if row["id"] == parent else "saps")
    for row in grown["lineage"]:
        row["parent_id"] = relaxed[parent] if row["id"] == find else None
    by_name = {share.generator: share for share in shares(written(tmp_path, grown))}
    assert (by_name["saps"].stable.k, by_name["saps"].rooted.k) == (1, 0)
    assert (by_name["random"].stable.k, by_name["random"].rooted.k) == (0, 1)


# --- the command ----------------------------------------------------------------------------------


def test_the_command_prints_shares(found, capsys):
    lineage(found.store.root, SILENT).put(as_json=True)
    printed = json.loads(capsys.readouterr().out)
    assert len(printed["finds"]) == 1
    [row] = printed["generators"]
    assert row["stable"] == "1 of 1"
    assert row["hits"].startswith("1 of 4 (")


def test_the_command_prints_the_history_of_one_find(found, capsys):
    [find] = found.finds
    lineage(found.store.root, SILENT, find.id[:12]).put(as_json=True)
    printed = json.loads(capsys.readouterr().out)
    assert printed["id"] == find.id
    assert [step["generator"] for step in printed["steps"]] == ["prototypes"]
    lineage(found.store.root, SILENT, find.id).put(as_json=False)
    assert "above the hull" in capsys.readouterr().err


def test_an_unknown_id_and_a_folder_without_a_campaign_are_refused(found, tmp_path):
    with pytest.raises(CommandError, match="no evaluated phase"):
        lineage(found.store.root, SILENT, "zzz")
    with pytest.raises(StoreError, match="no campaign"):
        lineage(tmp_path / "nothing", SILENT, None)
