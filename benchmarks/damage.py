"""Damage to the files of a finished campaign: is an answer ever another one without a word?

    python benchmarks/damage.py --flips 250 --others 50

A small Au-Cu campaign (EMT) with a model of its own and a verification is damaged once at a time:
bits flipped, files deleted, cut short, doubled in place or copied beside themselves.  After each
the commands discover (which resumes), report, check and lineage run, and what they say is compared
with what they said of the whole campaign:

    unchanged  the same answers          refused   an error that names the file
    rebuilt    the same answers, the damage named on the way and gone in the end
    silent     other answers, exit code 0          traceback
"""

import argparse
import contextlib
import io
import logging
import shutil
import sys
import tempfile
import traceback
from collections import Counter
from pathlib import Path

import numpy as np

from gnomon.cli import main

SETTINGS = """
[generate]
generators = ["prototypes"]
max_atoms = {max_atoms}
[learn]
min_labels = {labels}
prior = false
[budget]
rounds = 2
first_round = {first}
evaluations = {evaluations}
[relax]
fmax = 0.1
[evaluator]
name = "ase:ase.calculators.emt.EMT"
workers = 1
"""
SMALL = {"max_atoms": 2, "labels": 1000, "first": 3, "evaluations": 6}
LARGE = {"max_atoms": 3, "labels": 10, "first": 14, "evaluations": 17}
"""Enough labels for a model of its own."""

KINDS = ("flip", "delete", "truncate", "double")
UNCOVERED = (".lock", "campaign.log")
"""What no command reads."""


def run(*arguments: str) -> tuple[int | None, str, str]:
    """A command in this process: exit code (None for a traceback), stdout and stderr."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code: int | None = main(list(arguments))
        except BaseException:
            traceback.print_exc()
            code = None
    return code, out.getvalue(), err.getvalue()


def finished(home: Path, *, verified: bool = False, model: bool = False) -> Path:
    """A finished campaign in a new folder."""
    folder, settings = home / "campaign", home / "settings.toml"
    settings.write_text(SETTINGS.format(**(LARGE if model else SMALL)))
    code, _, said = run(*resume(folder))
    assert code == 0, said
    if verified:
        code, _, said = run("verify", str(folder), "--engine", "ase:ase.calculators.emt.EMT")
        assert code == 0, said
        code, _, said = run("report", str(folder))
        assert code == 0, said
    return folder


def resume(folder: Path) -> list[str]:
    """The command that made the campaign."""
    settings = folder.parent / "settings.toml"
    return ["discover", "Au-Cu", "--config", str(settings), "--out", str(folder), "--json"]


def commands(folder: Path) -> dict[str, list[str]]:
    """What is run on a damaged campaign, reading ones first."""
    place = str(folder)
    return {
        "check": ["check", place, "--json"],
        "lineage": ["lineage", place, "--json"],
        "report": ["report", place, "--json"],
        "discover": resume(folder),
    }


def answers(folder: Path) -> dict[str, str]:
    """What the commands say, and the tables of the report."""
    said = {name: run(*words)[1] for name, words in commands(folder).items()}
    return said | tables(folder)


def tables(folder: Path) -> dict[str, str]:
    """The report as it lies there."""
    names = ("stable.csv", "phases.csv", "index.html")
    return {name: (folder / "report" / name).read_text("utf-8", "replace") for name in names}


def damage(path: Path, kind: str, rng: np.random.Generator) -> str:
    """Damage a file once; what was done."""
    data = bytearray(path.read_bytes())
    if kind == "flip":
        place, bit = int(rng.integers(len(data))), int(rng.integers(8))
        data[place] ^= 1 << bit
        path.write_bytes(bytes(data))
        return f"bit {bit} of byte {place}"
    if kind == "truncate":
        length = int(rng.integers(len(data)))
        path.write_bytes(bytes(data[:length]))
        return f"cut to {length} of {len(data)}"
    if kind == "delete":
        path.unlink()
        return "deleted"
    if rng.random() < 0.5:
        path.write_bytes(bytes(data + data))
        return "doubled"
    shutil.copy(path, path.with_name(f"{path.stem[:-1]}9{path.suffix}"))
    return "copied"


def kind_of(name: str) -> str:
    """The sort of a file: its folder and suffix."""
    top, _, rest = name.rpartition("/")
    top = top.split("/round=")[0]
    return f"{top}/*{Path(rest).suffix}" if top else name


def outcome(folder: Path, name: str, before: dict[str, str]) -> tuple[str, str]:
    """How the commands take the damage, and a line about it."""
    found, named, refused = [], False, False
    file = name.rpartition("/")[2].rpartition(".")[0][:-1]  # a copy has another last letter
    for verb, words in commands(folder).items():
        code, out, err = run(*words)
        if code is None:
            return "traceback", f"{verb}: {err.strip().splitlines()[-1]}"
        if code == 0 and verb != "check" and out != before[verb]:
            found.append(f"{verb} says something else")
        named |= file in out + err or "manifest.jsonl" in err
        refused |= code != 0 and verb != "check"
    if refused:
        return ("refused", "") if named else ("traceback", "refused without a name")
    found += [f"{n} is another" for n, text in tables(folder).items() if text != before[n]]
    if found:
        return "silent", "; ".join(found)
    return ("rebuilt" if named else "unchanged"), ""


def files(folder: Path) -> dict[str, list[str]]:
    """Files of the campaign by kind, those that no command reads left out."""
    found: dict[str, list[str]] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and path.stat().st_size and not path.name.startswith(UNCOVERED):
            found.setdefault(kind_of(name), []).append(name)
    return found


def measure(folder: Path, flips: int, others: int, seed: int) -> dict[str, object]:
    """Damage a finished campaign so many times, each time whole again before, and count."""
    rng = np.random.default_rng(seed)
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    details, keep = [], folder.with_name("whole")
    before = answers(folder)
    assert answers(folder) == before
    shutil.copytree(folder, keep)
    by_kind = files(keep)
    for kind in KINDS:
        for number in range(flips if kind == "flip" else others):
            place = sorted(by_kind)[number % len(by_kind)]
            name = str(rng.choice(by_kind[place]))
            shutil.rmtree(folder)
            shutil.copytree(keep, folder)
            done = damage(folder / name, kind, rng)
            result, detail = outcome(folder, name, before)
            counts[kind][result] += 1
            print(kind, name, done, result, detail, file=sys.stderr, flush=True)
            if result in ("silent", "traceback"):
                details.append(f"{name}, {done}: {result}, {detail}")
    return {
        "kinds of files": {place: len(names) for place, names in by_kind.items()},
        "outcomes": {kind: dict(found) for kind, found in counts.items()},
        "silent or traceback": details,
        "seed": seed,
    }


if __name__ == "__main__":
    from record import RESULTS, save

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flips", type=int, default=250)
    parser.add_argument("--others", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    logging.disable()
    with tempfile.TemporaryDirectory() as home:
        folder = finished(Path(home), verified=True, model=True)
        found = measure(folder, given.flips, given.others, given.seed)
    save(found, RESULTS / "damage.json")
