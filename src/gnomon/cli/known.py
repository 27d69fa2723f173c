"""`gnomon model train substitution`, `prototypes` and `generator`: what known crystals show."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float64

from gnomon.cli.options import Output, Section
from gnomon.cli.shared import ModelFile, Strict, Structures, numbers, place, read_crystals
from gnomon.crystals import Crystals
from gnomon.generate.prototypes.learning import (
    LikenessConfig,
    known_crystals,
    learn_likeness,
    learn_volumes,
    likelihood,
)
from gnomon.generate.prototypes.occurrence import Occurrence
from gnomon.generate.substitution.model import SubstitutionModel
from gnomon.generate.substitution.tables import write_table
from gnomon.generate.substitution.training import compare, ion_pairs, label, log_likelihood
from gnomon.generate.substitution.training import train as fit
from gnomon.io import from_arrow
from gnomon.io.tables import read_table
from gnomon.learn.card import run_key
from gnomon.learn.fit import Session, keep
from gnomon.learn.split import SplitConfig
from gnomon.models.wyckoff.model import WyckoffModel
from gnomon.models.wyckoff.train import (
    GeneratorRows,
    GeneratorTrainConfig,
    PropertyRows,
    train_generator,
)
from gnomon.run.files import sha256_of
from gnomon.run.listener import Listener
from gnomon.run.stamp import stamp


def substitution(
    data: Structures,
    listener: Listener,
    *,
    out: Annotated[Path, place(".json")] = Path("substitution.json"),
    l2: float = 1.0,
    source: str | None = None,
    strict: Strict = False,
) -> Output:
    """Learn which ions replace each other from crystals that share a prototype.

    Formulas whose hash is below 75 train, 75 to 84 measure the likelihood.

    Args:
        out: table of weights (JSON).
        l2: strength of the penalty.
        source: where the crystals are from, for the file.

    Example: gnomon model train substitution crystals.parquet --out mine.json
    """
    crystals = read_crystals(data, strict).crystals
    trained, held = SplitConfig().masks(crystals.reduced_formulas)
    training = label(crystals[trained], listener=listener)
    validation = label(crystals[held], listener=listener)
    model = fit(training, l2)
    ours, theirs = compare(model, SubstitutionModel.pymatgen("hautier"), validation)
    every = log_likelihood(model, validation.with_ions(frozenset(model.species)))
    likelihoods = {
        "common ions, this table": asdict(ours),
        "common ions, published table": asdict(theirs),
        "all ions, this table": asdict(every),
    }
    facts = {
        "crystals": len(training.ions),
        "crystals left out": len(training.skipped),
        "pairs of crystals": ion_pairs(training).crystal_pairs,
        "species": len(model.species),
        "l2": l2,
        "held out, per pair": likelihoods,
    }
    provenance = {
        "method": "maximum likelihood with L2, Hautier et al., Inorg. Chem. 50, 656 (2011)",
        **_origin(data, source),
        **facts,
    }
    write_table(out, model, provenance)
    return Output(facts, ([{"pairs held out": name, **row} for name, row in likelihoods.items()],))


def prototypes(
    data: Structures,
    config: Annotated[LikenessConfig, Section()],
    listener: Listener,
    *,
    out: Annotated[Path, place(".gnomon")] = Path("prototypes.gnomon"),
    e_above_hull: float = 0.03,
    max_atoms: int = 24,
    source: str | None = None,
    strict: Strict = False,
) -> Output:
    """Learn how often prototypes occur, and with which elements, and keep their cells.

    Formulas whose hash is below 75 train, 75 to 84 measure the likelihood.

    Args:
        out: known crystals and likeness of elements.
        e_above_hull: highest of a crystal that counts, where the data has such a column, eV/atom;
            of several of one prototype and the same elements the cell of the lowest is kept.
        max_atoms: largest primitive cell that is kept; larger crystals only count.
        source: where the crystals are from, for the file.

    Example: gnomon model train prototypes crystals.parquet --out mine.gnomon
    """
    found = read_crystals(data, strict)
    above = numbers(found.rows, "e_above_hull")
    lowest = np.argsort(above, kind="stable")
    crystals, split = found.crystals.take(lowest[~(above[lowest] > e_above_hull)]), SplitConfig()
    training, held = split.masks(crystals.reduced_formulas)
    known = known_crystals(crystals[training], listener, max_atoms=max_atoms)
    if not len(known):
        raise ValueError(f"no crystal in {', '.join(data)} has two to five elements and symmetry")
    likeness = learn_likeness(known, config)
    measured = likelihood(known, likeness, known_crystals(crystals[held], listener))
    facts: dict[str, Any] = {
        "crystals": len(known),
        "cells": len(known.cells),
        "prototypes": len(known.labels),
        "e_above_hull": e_above_hull,
        "held out": asdict(measured),
    }
    card = {**_origin(data, source), **config.model_dump(), **facts}
    Occurrence(known, likeness, known.frequency, learn_volumes(known), card).save(out)
    row = {name: value for name, value in facts.items() if name != "held out"}
    return Output(card, ([row | asdict(measured)],), (f"counts: {out}",))


def generator(
    data: list[Path],
    config: Annotated[GeneratorTrainConfig, Section(without=("optimizer.loss",))],
    listener: Listener,
    *,
    out: ModelFile = Path("generator.gnomon"),
    target: str | None = None,
    unit: str = "as given",
    edges: list[float] | None = None,
) -> Output:
    """Train the transformer of `gnomon generate learned` on known crystals.

    Formulas whose hash is below 75 train, 75 to 84 validate.  The same command goes on where it
    was stopped.

    Args:
        data: Parquet of crystals; a column e_above_hull (eV/atom) teaches what is stable.
        target: column of a property that candidates may be asked for, by this name.
        unit: unit of that column.
        edges: upper bound of a range of it (repeatable) [ranges are equally full].

    Example: gnomon model train generator structures.parquet --out mine.gnomon
    """
    wanted = ("e_above_hull",) if target is None else ("e_above_hull", target)
    tables = [read_table(path) for path in data]
    if target is not None and any(target not in table.column_names for table in tables):
        raise ValueError(f"{', '.join(map(str, data))}: no column {target}")
    crystals = Crystals.concatenate([from_arrow(table) for table in tables])
    above, *values = [np.concatenate([_column(t, name) for t in tables]) for name in wanted]
    names = ", ".join(path.name for path in data)
    bounds = tuple(edges) if edges else None
    columns = (PropertyRows(target or "", unit, column, names, bounds) for column in values)
    rows = GeneratorRows(crystals, above, names, tuple(columns))
    key = run_key(rows.columns, config, rows.scheme)
    model = keep(
        out,
        key,
        lambda partial: train_generator(rows, config, Session(partial, listener)),
        load=WyckoffModel.load,
        save=lambda path, made: made.save(path),
    )
    card = model.card
    assert card is not None
    held = card.validation
    row = {
        "rows": card.train_rows,
        "validation rows": held.rows if held else 0,
        "nats a crystal": held.nats if held else None,
        **(held.parts if held else {}),
        "seconds": card.wall_seconds,
    }
    return Output(card.model_dump(mode="json"), ([row],), (f"model: {out}",))


def _column(table: pa.Table, name: str) -> Float64[np.ndarray, " n"]:
    """A column as numbers, NaN where there is none."""
    if name not in table.column_names:
        return np.full(len(table), np.nan)
    return np.asarray(table[name].cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)


def _origin(data: list[str], source: str | None) -> dict[str, Any]:
    """Where something was learned from, when and with what."""
    files = [Path(name) for name in data if Path(name).is_file()]
    return {
        "source": source or "not stated",
        "files": {path.name: sha256_of(path) for path in files},
        "split": "reduced formula, MD5 modulo 100: below 75 train, 75 to 84 held out",
        **stamp(),
    }
