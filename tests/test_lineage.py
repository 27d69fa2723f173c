"""Where finds come from: shares of generators, and the history of one find."""

import json
from dataclasses import replace

import pyarrow as pa
import pytest

from gnomon.cli.lineage import lineage
from gnomon.cli.shared import CommandError
from gnomon.report.shares import finds, shares
from gnomon.run.store import Store, StoreError
from tests.test_report import PROTOTYPES, campaign


def in_round(table, number):
    column = table.column_names.index("round")
    return table.set_column(column, "round", pa.array([number] * len(table), pa.int64()))


@pytest.fixture(scope="module")
def tables():
    """A campaign whose candidates came in round 1; Cu3Au is the only find on the hull."""
    made = campaign(PROTOTYPES)
    return replace(
        made,
        lineage=in_round(made.lineage, 1),
        evaluations=in_round(made.evaluations, 1),
    )


def by(tables, generator_of):
    """The same campaign, each candidate made by the generator that this function names."""
    rows = tables.lineage.to_pylist()
    for row in rows:
        row["generator"] = generator_of(row)
    return replace(tables, lineage=pa.Table.from_pylist(rows, schema=tables.lineage.schema))


def test_one_generator_has_all_finds(tables):
    found = finds(tables)
    [share] = shares(tables, found)
    assert found
    assert (share.generator, share.candidates) == ("prototypes", len(tables.lineage))
    assert (share.stable.k, share.stable.n) == (len(found), len(found))
    assert share.evaluated == share.hits.n == len(tables.evaluations)  # failures count


def test_shares_add_up_whoever_made_what(tables):
    found = finds(tables)
    stable = {find.id for find in found}
    mixed = by(tables, lambda row: "saps" if row["id"] in stable else "random")
    rows = {share.generator: share for share in shares(mixed, found)}
    assert rows["saps"].stable.k == len(found)
    assert rows["random"].stable.k == 0
    assert sum(share.candidates for share in rows.values()) == len(tables.lineage)
    assert sum(share.evaluated for share in rows.values()) == len(tables.evaluations)


def test_a_find_counts_for_the_root_of_its_line_too(tables):
    """Its parent, as relaxed, was made by another generator."""
    [find, *_] = finds(tables)
    relaxed = {row["id"]: row["relaxed_id"] for row in tables.evaluations.to_pylist()}
    parent = next(name for name in relaxed if name != find.id and relaxed[name])
    rows = tables.lineage.to_pylist()
    for row in rows:
        row["generator"] = "random" if row["id"] == parent else "saps"
        row["parent_id"] = relaxed[parent] if row["id"] == find.id else None
    grown = replace(tables, lineage=pa.Table.from_pylist(rows, schema=tables.lineage.schema))
    found = [f for f in finds(grown) if f.id == find.id]
    by_name = {share.generator: share for share in shares(grown, found)}
    assert (by_name["saps"].stable.k, by_name["saps"].rooted.k) == (1, 0)
    assert (by_name["random"].stable.k, by_name["random"].rooted.k) == (0, 1)


# --- the command ----------------------------------------------------------------------------------


@pytest.fixture
def folder(tables, tmp_path, monkeypatch):
    monkeypatch.setattr("gnomon.discover.folder.campaign_tables", lambda store: tables)
    monkeypatch.setattr(Store, "exists", True)
    return tmp_path


def test_the_command_prints_shares(folder, tables, capsys):
    lineage(folder, None, json=True)
    printed = json.loads(capsys.readouterr().out)
    n = len(finds(tables))
    assert len(printed["finds"]) == n
    [row] = printed["generators"]
    assert row["stable"] == f"{n} of {n}"
    assert row["hits"].startswith(f"{n} of {len(tables.evaluations)} (")


def test_the_command_prints_the_history_of_one_find(folder, tables, capsys):
    [find, *_] = finds(tables)
    lineage(folder, find.id[:12], json=True)
    printed = json.loads(capsys.readouterr().out)
    assert printed["id"] == find.id
    assert [step["generator"] for step in printed["steps"]] == ["prototypes"]
    lineage(folder, find.id)
    assert "above the hull" in capsys.readouterr().err


def test_an_unknown_id_and_a_folder_without_a_campaign_are_refused(folder, tmp_path, monkeypatch):
    with pytest.raises(CommandError, match="no evaluated phase"):
        lineage(folder, "zzz")
    monkeypatch.setattr(Store, "exists", False)
    with pytest.raises(StoreError, match="no campaign"):
        lineage(tmp_path, None)
