"""`gnomon generate substitutions` and `saps`: files of candidates, in every format."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from gnomon.cli import main
from gnomon.crystals import Crystals
from gnomon.generate.files import write_candidates
from gnomon.generate.registry import GENERATORS, GeneratorSettings
from gnomon.generate.saps.generator import SapsGenerator
from gnomon.generate.substitution.model import SubstitutionModel
from gnomon.generate.substitution.tables import write_table
from gnomon.io import read, write

CUZN = Crystals.single(np.eye(3) * 2.95, [29, 30], [[0, 0, 0], [0.5, 0.5, 0.5]])


@pytest.fixture
def parents(tmp_path):
    path = tmp_path / "parents.parquet"
    write(path, CUZN)
    return path


def run(command, *words):
    return main(["generate", command, *map(str, words)])


def test_alloys_are_substituted_with_the_learned_table_and_not_with_the_published(
    parents, tmp_path, capsys
):
    learned, published = tmp_path / "learned.parquet", tmp_path / "published.parquet"
    run("substitutions", parents, "--out", learned, "--elements", "Cu-Zn-Ag-Cd")
    found = pq.read_table(learned)
    assert set(read(learned).crystals.reduced_formulas) >= {"ZnAg"}
    assert set(found["generator"].to_pylist()) == {"substitution"}
    assert "Cu0→Ag0" in found["change"].to_pylist()
    run("substitutions", parents, "--out", published, "--table", "published")
    assert not len(pq.read_table(published))
    assert "1 of 1 parents left out" in capsys.readouterr().err


def test_saps_with_a_table_of_ones_own(parents, tmp_path, capsys):
    table, out = tmp_path / "mine.json", tmp_path / "saps.parquet"
    mine = SubstitutionModel.from_pairs([("Cu0", "Au0", 1.0), ("Zn0", "Zn0", 1.0)])
    write_table(table, mine, {})
    options = ["--table", table, "--elements", "Cu-Zn-Au", "--max-index", "2"]
    assert run("saps", parents, "--out", out, *options) == 0
    found = pq.read_table(out)
    assert {"Cu0→Au0 on 1 of 1"} < set(found["change"].to_pylist())
    assert found["id"].to_pylist() == read(out).crystals.ids.tolist()
    assert f"{len(found)} candidates" in capsys.readouterr().err
    assert run("saps", parents, "--out", out, *options) == 1


@pytest.mark.parametrize("suffix", [".parquet", ".extxyz", ".cif"])
def test_chunks_end_up_in_one_file_whatever_their_size(tmp_path, suffix):
    generator = SapsGenerator(elements=("Cu", "Zn", "Au"), chunk=3)
    out = tmp_path / f"candidates{suffix}"
    write_candidates(out, generator.generate(CUZN, seed=0))
    whole = SapsGenerator(elements=("Cu", "Zn", "Au"), chunk=10**6)
    [expected] = list(whole.generate(CUZN, seed=0))
    found = read(out).crystals
    assert sorted(found.reduced_formulas) == sorted(expected.crystals.reduced_formulas)
    assert [p.name for p in tmp_path.iterdir()] == [out.name]


def test_nothing_is_left_behind_by_a_failure(tmp_path):
    def chunks():
        yield from SapsGenerator(elements=("Cu", "Zn"), chunk=1).generate(CUZN, seed=0)
        raise RuntimeError("out of luck")

    for suffix in (".parquet", ".extxyz"):
        with pytest.raises(RuntimeError, match="out of luck"):
            write_candidates(tmp_path / f"candidates{suffix}", chunks())
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match=r"\*\.parquet, \*\.extxyz or \*\.cif"):
        write_candidates(tmp_path / "candidates.txt", chunks())


def test_campaigns_find_both_generators_by_name():
    settings = GeneratorSettings(("Cu", "Au", "Zn"), 8, (), frozenset({"ZnCu"}))
    for name in ("substitution", "saps"):
        [chunk] = list(GENERATORS.get(name)(settings).generate(CUZN, seed=0))
        assert len(chunk.crystals)
        assert "ZnCu" not in chunk.crystals.reduced_formulas
        assert chunk.crystals.n_atoms.max() <= 8
