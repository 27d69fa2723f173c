"""Tables that say what they hold: units, descriptions, a value or the reason why there is none."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gnomon.io.tables import (
    TableError,
    check_table,
    column,
    read_table,
    save,
    tables_of,
    value_schema,
    write_table,
)

GAPS = value_schema("direct band gap", "eV", column("n_bands", pa.int64(), "bands computed"))


def gaps(**changes) -> pa.Table:
    columns = {
        "id": ["a", "b"],
        "value": [1.5, None],
        "uncertainty": [0.1, None],
        "level": ["gap-1", "gap-1"],
        "status": ["ok", "too large"],
        "n_bands": [40, None],
    }
    return pa.table({**columns, **changes}, schema=GAPS)


def without(table: pa.Table, name: str, key: bytes) -> pa.Table:
    """The table with one fact less about a column."""
    place = table.schema.get_field_index(name)
    field = table.schema.field(place)
    said = {k: v for k, v in field.metadata.items() if k != key}
    return table.cast(table.schema.set(place, field.with_metadata(said)))


def test_a_table_comes_back_with_what_it_says_of_itself(tmp_path):
    save(tmp_path, "band_gap", gaps(), model="gap-1")
    [found] = tables_of(tmp_path)
    assert (found.name, found.rows, found.facts) == ("band_gap", 2, {"model": "gap-1"})
    assert found.columns["value"] == ("direct band gap", "eV")
    assert found.columns["uncertainty"][1] == "eV"
    assert found.columns["n_bands"] == ("bands computed", "")
    check_table(read_table(tmp_path / "tables" / "band_gap.parquet"))


def test_tables_are_listed_by_name_and_none_where_there_is_none(tmp_path):
    assert tables_of(tmp_path) == []
    vectors = pa.schema(
        [
            column("id", pa.string(), "of the crystal", nullable=False),
            column("vector", pa.list_(pa.float32(), 2), "embedding", unit="1"),
        ]
    )
    save(tmp_path, "embedding", pa.table({"id": ["a"], "vector": [[0.0, 1.0]]}, schema=vectors))
    save(tmp_path, "band_gap", gaps())
    assert [table.name for table in tables_of(tmp_path)] == ["band_gap", "embedding"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (gaps().drop_columns(["id"]), "keyed by a column id"),
        (without(gaps(), "n_bands", b"description"), "n_bands has no description"),
        (without(gaps(), "value", b"unit"), "value has no unit"),
        (gaps().drop_columns(["status"]), "column status"),
        (gaps(status=["ok", "ok"]), "row 1: a value goes with the status ok"),
        (gaps(status=["too large", "too large"]), "row 0"),
        (gaps(value=[1.5, float("nan")], status=["ok", "ok"]), "row 1"),
        (gaps(id=["a", "a"]), "an id stands twice"),
        (gaps(level=["gap-1", None]), "level has rows without a value"),
    ],
)
def test_a_table_that_does_not_say_what_it_holds_is_not_written(tmp_path, table, message):
    with pytest.raises(TableError, match=message):
        save(tmp_path, "band_gap", table)
    assert not (tmp_path / "tables").exists()


def test_value_and_uncertainty_have_one_unit():
    other = column("uncertainty", pa.float64(), "of the value", unit="meV")
    place = GAPS.get_field_index("uncertainty")
    with pytest.raises(TableError, match="different units"):
        check_table(gaps().cast(GAPS.set(place, other)))


def test_many_tables_become_row_groups_of_one_file(tmp_path):
    out = tmp_path / "many.parquet"
    assert write_table(out, (gaps() for _ in range(3)), facts={"seed": 1}) == 6
    assert pq.ParquetFile(out).num_row_groups == 3
    assert pq.read_schema(out).field("value").metadata[b"unit"] == b"eV"


def test_no_tables_need_a_schema(tmp_path):
    with pytest.raises(ValueError, match="no table, and no schema"):
        write_table(tmp_path / "none.parquet", [])
    assert write_table(tmp_path / "none.parquet", [], schema=GAPS) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["none.parquet"]


def test_a_failure_leaves_what_was_there(tmp_path):
    def chunks():
        yield gaps()
        raise RuntimeError("out of luck")

    write_table(tmp_path / "gaps.parquet", gaps())
    with pytest.raises(RuntimeError, match="out of luck"):
        write_table(tmp_path / "gaps.parquet", chunks())
    assert [path.name for path in tmp_path.iterdir()] == ["gaps.parquet"]
    assert len(read_table(tmp_path / "gaps.parquet")) == 2


def test_a_damaged_table_is_named(tmp_path):
    path = save(tmp_path, "gap", gaps())
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(TableError, match=r"gap\.parquet is no table"):
        tables_of(tmp_path)
