"""Work to be killed by SIGKILL: each returns nothing, and the same call goes on."""

import contextlib
import io
import os
from pathlib import Path
from typing import Any

from ase.build import bulk
from safetensors.numpy import load_file

from gnomon.cli import main
from gnomon.discover.campaign import Campaign
from gnomon.discover.loop import discover
from gnomon.evaluate import sharded, table
from gnomon.generate.registry import GENERATORS
from gnomon.io import as_crystals, write
from gnomon.report.build import build_report
from gnomon.report.files import write_report
from gnomon.run.folder import Folder
from gnomon.run.listener import SILENT
from gnomon.run.store import SCHEMAS, Store
from gnomon.run.writing import write_parquet
from tests.calculators import Better, FastEvaluator
from tests.small_campaigns import settings

EMT = "ase:ase.calculators.emt.EMT"


def command(*arguments: str) -> None:
    """A command of gnomon, in silence."""
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()) as err,
    ):
        code = main(list(arguments))
    assert code == 0, err.getvalue()


def campaign(home: Path) -> None:
    """Two rounds of two levels without a calculator, and the report."""
    GENERATORS.built_in["prototypes"] = "tests.small_campaigns:FewPrototypes"  # type: ignore[index]
    table.SHARD = 2
    store = Store(home / "campaign")
    config = settings(decide__levels=["ase:tests.calculators.Quick"])
    discover(config, store, FastEvaluator(), SILENT, deciding=(Better("better"),))
    report(home)


def report(home: Path) -> None:
    """The derived files of the campaign."""
    found = Campaign(home / "campaign")
    write_parquet(found.store.hull_path, found.hull_table())
    write_report(build_report(found), home / "campaign" / "report")
    found.store.seal()


def emt(home: Path) -> None:
    """A campaign as on the command line; GNOMON_KILL_EVALUATIONS says how long."""
    evaluations = os.environ.get("GNOMON_KILL_EVALUATIONS", "8")
    config = home / "settings.toml"
    config.write_text(
        "[generate]\ngenerators = ['prototypes']\nmax_atoms = 2\n"
        "[learn]\nmin_labels = 1000\nprior = false\n[relax]\nfmax = 0.1\n"
        f"[evaluator]\nname = {EMT!r}\nworkers = 1\n"
        f"[budget]\nrounds = 3\nfirst_round = 4\nper_round = 4\nevaluations = {evaluations}\n"
    )
    command("discover", "Au-Cu", "--config", str(config), "--out", str(home / "campaign"))


def wide(home: Path) -> None:
    """A campaign over all crystals of a table, every evaluation in a worker, and the report."""
    from gnomon.discover.loop import run_campaign
    from tests.test_wide_campaign import settings_of_alloys, write_alloys

    table.SHARD = sharded.SHARD = 2
    if not (home / "alloys.parquet").exists():
        write_alloys(home / "alloys.parquet")
    config = settings_of_alloys(home / "alloys.parquet", shard_evaluations=True)
    run_campaign(config, home / "campaign")
    report(home)


def learning(home: Path) -> None:
    """The same over two rounds, of which the second ranks with a network that the first taught."""
    from gnomon.discover.loop import run_campaign
    from gnomon.discover.wide import networks
    from tests.test_wide_campaign import settings_of_lessons, write_alloys

    table.SHARD = sharded.SHARD = networks.FEWEST = 2
    if not (home / "alloys.parquet").exists():
        write_alloys(home / "alloys.parquet")
    run_campaign(settings_of_lessons(home / "alloys.parquet"), home / "campaign")


def generation(home: Path) -> None:
    """Candidates in a file."""
    words = ["generate", "prototypes", "Au-Cu", "--max-atoms", "8"]
    if not (home / "candidates.parquet").exists():
        command(*words, "--out", str(home / "candidates.parquet"))


def metals(home: Path) -> Path:
    """Crystals to label and to learn from."""
    path = home / "metals.extxyz"
    if not path.exists():
        write(path, as_crystals([bulk(name, cubic=True) for name in ("Cu", "Au", "Ni", "Al")]))
    return path


def labelling(home: Path) -> None:
    """A training set of EMT."""
    words = ["label", str(metals(home)), "--evaluator", EMT, "--below", "100"]
    command(*words, "--copies", "2", "--chunk", "1", "--out", str(home / "frames"))


def training(home: Path) -> None:
    """A small ensemble, whose unfinished work is kept every tenth of a second."""
    from gnomon.learn import fit
    from gnomon.models.ensemble import train_into
    from gnomon.models.structural.train import train
    from tests.test_models import TINY, made_up

    fit.SAVE_EVERY = 0.1
    train_into(home / "model.gnomon", train, made_up(60), TINY)


def laboratory(home: Path) -> None:
    """A laboratory in the simulated furnace, four experiments."""
    from gnomon.synthesis.lab.simulated import run as run_laboratory
    from tests.test_lab_notebook import book

    run_laboratory(book(home / "laboratory", enough=1.0, hopeless=0.0), "diffusion", 0, 4)


JOBS = {
    work.__name__: work
    for work in (
        *(campaign, report, emt, wide, learning, generation, labelling, training, laboratory),
    )
}


def run(name: str, home: Path) -> None:
    """One of them, by name."""
    JOBS[name](home)


def answer(home: Path) -> dict[str, Any]:
    """What there is to read in the end, without what a clock said, and all names of files."""
    found: dict[str, Any] = {
        "files": sorted(
            path.relative_to(home).as_posix()
            for path in home.rglob("*")
            if ".lock" not in path.name
        )
    }
    place = home / "campaign"
    if place.exists():
        store = Store(place)
        tables = {name: store.table(name) for name in SCHEMAS}
        tables["evaluations"] = tables["evaluations"].drop_columns("seconds")
        found |= {name: rows.to_pylist() for name, rows in tables.items()}
        found["evaluations"].sort(key=lambda row: (row["id"], row["level"]))
        found["hull"] = Campaign(place).hull_table().to_pylist()
        found["amiss"] = store.damages()
        # kills may part what came between two moments into more shards
        found["files"] = [name for name in found["files"] if "evaluations/" not in name]
    if (home / "laboratory").exists():
        found["amiss"] = Folder(home / "laboratory").damages()
    for path in home.glob("laboratory/**/*.json"):
        found[path.relative_to(home).as_posix()] = path.read_bytes()
    for path in home.glob("frames/**/*.parquet"):
        found[path.relative_to(home).as_posix()] = path.read_bytes()
    for path in home.glob("candidates.parquet"):
        found[path.name] = path.read_bytes()
    for path in home.glob("campaign/models/*.gnomon"):
        found[path.name] = {key: rows.tolist() for key, rows in load_file(path).items()}
    if (home / "model.gnomon").exists():
        from gnomon.models.ensemble import load_model
        from tests.test_models import made_up

        found["predictions"] = (
            load_model(home / "model.gnomon").predict(made_up(60).crystals).median.tolist()
        )
    return found
