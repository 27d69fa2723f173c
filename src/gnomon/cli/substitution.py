"""`gnomon model train substitution`: which ions replace each other."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from gnomon.cli.options import Output
from gnomon.cli.shared import Strict, Structures, place, read_crystals
from gnomon.generate.substitution.model import SubstitutionModel
from gnomon.generate.substitution.tables import write_table
from gnomon.generate.substitution.training import compare, ion_pairs, label, log_likelihood
from gnomon.generate.substitution.training import train as fit
from gnomon.learn.split import SplitConfig, formula_hashes
from gnomon.run.files import sha256_of
from gnomon.run.listener import Listener
from gnomon.run.stamp import stamp


def train(
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
    hashes, split = formula_hashes(crystals.reduced_formulas), SplitConfig()
    held = (hashes >= split.train_below) & (hashes < split.validate_below)
    training = label(crystals[hashes < split.train_below], listener=listener)
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
    files = [Path(name) for name in data if Path(name).is_file()]
    provenance = {
        "method": "maximum likelihood with L2, Hautier et al., Inorg. Chem. 50, 656 (2011)",
        "source": source or "not stated",
        "files": {path.name: sha256_of(path) for path in files},
        "split": "reduced formula, MD5 modulo 100: below 75 train, 75 to 84 held out",
        **stamp(),
        **facts,
    }
    write_table(out, model, provenance)
    return Output(facts, ([{"pairs held out": name, **row} for name, row in likelihoods.items()],))
