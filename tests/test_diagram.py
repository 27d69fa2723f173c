"""Diagrams of properties: who is in them, and under which name."""

import json

import ase.build
import numpy as np
import pytest

from gnomon.cli import main
from gnomon.io.tables import read_table
from gnomon.properties.diagram import DIAGRAMS, figure


def test_the_command_shows_what_has_a_hardness_and_counts_the_rest(tmp_path, capsys):
    for name, atoms in (
        ("diamond", ase.build.bulk("C", a=3.57)),
        ("nitride", ase.build.bulk("TiN", "rocksalt", a=4.24)),
        ("copper", ase.build.bulk("Cu")),
    ):
        atoms.write(tmp_path / f"{name}.cif")
    out = tmp_path / "out"
    files = [str(path) for path in sorted(tmp_path.glob("*.cif"))]
    assert main(["ashby", *files, "--out", str(out), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["shown"], found["of"]) == (2, 3)
    page = (out / "ashby.html").read_text("utf-8")
    assert "nitrides (1)" in page
    assert "others (1)" in page
    rows = read_table(out / "hardness.parquet").to_pylist()
    assert max(row["value"] or 0 for row in rows) > 60  # diamond


def test_every_point_is_drawn_once():
    rng = np.random.default_rng(0)
    named = rng.choice(["oxides", "others", "borides"], 50)
    made = figure(
        DIAGRAMS["ashby"], *rng.uniform(1, 9, (2, 50)), np.full(50, "X", dtype=object), named
    )
    assert sum(len(trace.x) for trace in made.data) == 50


def test_the_bound_is_drawn_as_a_line_and_counts_what_lies_beyond(tmp_path, capsys):
    diamond = ase.build.bulk("C", a=3.57)
    diamond.write(tmp_path / "diamond.cif")
    words = ["ashby", str(tmp_path / "diamond.cif"), "--diagram", "bound"]
    assert main([*words, "--out", str(tmp_path / "out"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["shown"], found["of"]) == (1, 1)
    [row] = read_table(tmp_path / "out" / "expansion_bound.parquet").to_pylist()
    assert row["answer"] == ("beyond the bound" if found["beyond"] else "within the bound")
    # alpha E <= f c_V rho says the same as gamma <= 2 (1 + nu) / (2 - 3 nu)
    nu = row["poisson_ratio"]
    assert row["value"] == pytest.approx(row["gruneisen"] * (2 - 3 * nu) / (2 + 2 * nu))
    assert 0 < row["uncertainty"] < 1
