"""Mistakes that people make with each command: one error that names it, no traceback."""

from pathlib import Path

import pytest
from ase.build import bulk

from gnomon.cli import COMMANDS, main
from gnomon.io import as_crystals, write

INPUTS = {
    "discover": "Au-Cu --config {}",
    "work": "{}",
    "report": "{}",
    "lineage": "{}",
    "explore": "{} --no-browser",
    "publish": "{} published --author Doe",
    "cite": "{}",
    "check": "{}",
    "backup": "{} backup.zip",
    "restore": "{} folder-of-backup",
    "verify": "{} --engine gnomon-1",
    "databases": "Au-Cu --from {}",
    "hull": "{} LiF",
    "targets": "{}",
    "gibbs": "{} LiF",
    "routes": "BaTiO3 {} --precursor BaCO3 --precursor TiO2",
    "recipe": "BaTiO3 --data {}",
    "xrd": "{} --chemistry Li-C-O",
    "lab begin": "BaTiO3 o --phases {} --precursor BaCO3 --precursor TiO2",
    "lab next": "{}",
    "lab record": "{} --phase BaTiO3=1",
    "lab simulate": "{}",
    "lab show": "{}",
    "reduce": "{}",
    "duplicates": "{}",
    "evaluate": "{} --out o.parquet",
    "predict": "structural-2 {}",
    "represent": "{}",
    "properties": "{} --compute elastic --out o",
    "funnel": "good.cif --steps {} --out o",
    "ashby": "{} --out o",
    "bands": "{} --out o",
    "conductors": "{}",
    "electrodes": "{}",
    "label": "{} --weights gnomon-1 --out o",
    "md": "{} --out o.extxyz",
    "replay": "{} --known {} --out o",
    "generate prototypes": "Au-Cu --from {} --out o.parquet",
    "generate substitutions": "{} --out o.parquet",
    "generate saps": "{} --out o.parquet",
    "generate compositions": "Li-Si --known {} --out o.parquet",
    "generate learned": "--known {} --out o.parquet",
    "model train generator": "{}",
    "model train structural": "{}",
    "model train composition": "{}",
    "model train potential": "{}",
    "model train substitution": "{}",
    "model train prototypes": "{}",
    "model join": "{} {} --data {}",
    "model calibrate": "structural-2 {} --out c.calibration",
    "model validate": "{} --out o",
    "model curve": "{} --out o",
    "model transfer": "structural-2 {} --target x",
}
"""What is given a file, by command."""

OUTPUTS = {
    "reduce": ("good.cif", ".parquet"),
    "duplicates": ("good.cif", ".cif"),
    "evaluate": ("good.cif", ".parquet"),
    "conductors": ("empty.parquet", ".parquet"),
    "electrodes": ("empty.parquet", ".parquet"),
    "predict": ("structural-2 good.cif", ".parquet"),
    "represent": ("good.cif", ".parquet"),
    "search": ("Cu", ".parquet"),
    "md": ("good.cif", ".extxyz"),
    "generate prototypes": ("Cu", ".parquet"),
    "generate substitutions": ("good.cif", ".parquet"),
    "generate saps": ("good.cif", ".parquet"),
    "generate random": ("Cu", ".parquet"),
    "generate learned": ("--elements Cu-O", ".parquet"),
    "generate compositions": ("Li-Si", ".parquet"),
    "model train generator": ("good.cif", ""),
    "model train substitution": ("good.cif", ".json"),
    "model train prototypes": ("good.cif", ".gnomon"),
    "model train structural": ("good.cif", ""),
    "model train composition": ("good.cif", ""),
    "model train potential": ("good.cif", ""),
    "model join": ("structural-2 structural-2 --data good.cif", ""),
    "model transfer": ("structural-2 good.cif --target x", ""),
    "model calibrate": ("structural-2 good.cif", ""),
}
"""What a command that writes a file is given, and a suffix of the file, empty where any will do."""

FOLDERS = {
    "discover": "Au-Cu",
    "databases": "Au-Cu",
    "properties": "good.cif --compute elastic",
    "funnel": "good.cif --steps empty.toml",
    "label": "good.cif --weights gnomon-1",
    "replay": "good.cif --known good.cif",
    "model validate": "good.cif",
    "model curve": "good.cif",
}

NAMES = {
    "discover au-cu": "did you mean Au-Cu?",
    "discover AuCu": "did you mean Au-Cu?",
    "discover Au-Cu --evaluator gnomon-3": "did you mean gnomon-",
    "databases Au-Xx": "'Xx' is no element",
    "generate prototypes cu-pd --out o.parquet": "did you mean Cu-Pd?",
    "generate random Qq --out o.parquet": "Qq",
    "generate compositions lisi --out o.parquet": "lisi",
    "generate learned --elements cu-pd --out o.parquet": "did you mean Cu-Pd?",
    "generate learned --model generator-1 --out o.parquet": "did you mean generator-3?",
    "generate learned --ask gap>2 --out o.parquet": "ask for bulk_modulus",
    "search Qq --out o.parquet": "Qq",
    "evaluate good.cif --weights gnomon-3 --out o.parquet": "did you mean gnomon-",
    "label good.cif --weights nequix-mp --out o": "did you mean nequix-mp-1?",
    "properties good.cif --compute hardnes --out o": "did you mean hardness?",
    "represent good.cif --as magpi": "did you mean magpie?",
    "md good.cif --weights gnomon-3 --out o.extxyz": "did you mean gnomon-",
    "predict structural-3 good.cif": "did you mean structural-2?",
    "model calibrate structural-3 good.cif": "did you mean structural-2?",
    "model transfer structural-3 good.cif --target x": "did you mean structural-2?",
    "weights fetch nequix-oam": "did you mean nequix-oam-1?",
    "replay good.cif --known good.cif --strategies gredy --out o": "gredy",
}
"""Commands with a wrong name to what the error says of it."""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("empty.parquet").touch()
    Path("empty.toml").write_text("= nothing")
    Path("there").mkdir()
    Path("file").touch()
    write("good.cif", as_crystals([bulk("Cu")]))
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], words: str) -> str:
    """The one error of a command."""
    code = main(words.split())
    lines = capsys.readouterr().err.splitlines()
    assert code in (1, 2), f"gnomon {words}: {code}"
    [error] = [line for line in lines if line.startswith("error: ")]
    assert not [line for line in lines if "Traceback" in line or ".tmp" in line]
    assert "Errno" not in error
    return error


def test_every_command_is_here():
    unlike = {"weights list"}
    listed = {*INPUTS, *OUTPUTS, *FOLDERS, "weights fetch"}
    assert listed == set(COMMANDS) - unlike


@pytest.mark.parametrize("name", INPUTS)
def test_an_input_that_is_none_is_named(capsys, name):
    empty = "empty.toml" if name == "discover" else "empty.parquet"
    for given in ("missing.parquet", empty, "there"):
        assert given in said(capsys, f"{name} {INPUTS[name]}".replace("{}", given))


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_wrong_place_for_a_file_is_named_before_the_work(capsys, name):
    given, suffix = OUTPUTS[name]
    assert "no is no folder" in said(capsys, f"{name} {given} --out no/o{suffix or '.gnomon'}")
    assert "file is no folder" in said(capsys, f"{name} {given} --out file/o{suffix or '.gnomon'}")
    if suffix:
        wrong = said(capsys, f"{name} {given} --out o.xyzzy")
        assert "o.xyzzy" in wrong
        assert suffix in wrong


@pytest.mark.parametrize("name", FOLDERS)
def test_a_wrong_place_for_a_folder_is_named_before_the_work(capsys, name):
    assert "file is no folder" in said(capsys, f"{name} {FOLDERS[name]} --out file")
    assert "file is no folder" in said(capsys, f"{name} {FOLDERS[name]} --out file/a/b")


def test_a_wrong_place_for_an_export_or_an_archive_is_named_before_the_work(capsys):
    for place in ("file", "file/a"):
        words = f"verify there --engine vasp --export {place}"
        assert "file is no folder" in said(capsys, words)
        assert "--export" in said(capsys, words)
    Path("campaign").mkdir()
    Path("campaign/provenance.json").write_text("{}")
    assert "file" in said(capsys, "backup campaign file/backup.zip")
    assert "file is there already" in said(capsys, "backup campaign file")


@pytest.mark.parametrize("words", NAMES)
def test_a_wrong_name_is_answered_with_what_was_meant(capsys, words):
    assert NAMES[words] in said(capsys, words)
