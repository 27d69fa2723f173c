"""`gnomon generate substitutions` and `saps`, and `gnomon train substitution`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gnomon.cli.generate_files import write_candidates
from gnomon.cli.shared import Json, Strict, Structures, read_crystals, refuse_existing

if TYPE_CHECKING:
    from gnomon.generate.substitution.model import SubstitutionModel

Out = Annotated[Path, typer.Option(help="Candidates (*.parquet, *.extxyz; *.cif is a folder).")]
Elements = Annotated[
    str | None, typer.Option(help="Keep candidates of these elements only, as in Li-Fe-P-O.")
]
Known = Annotated[
    list[str] | None, typer.Option(help="Crystals whose compositions are not new (repeatable).")
]
Formulas = Annotated[
    list[str] | None, typer.Option(help="Keep candidates of this formula only (repeatable).")
]
Threshold = Annotated[float, typer.Option(help="Smallest probability.")]
Balanced = Annotated[bool, typer.Option("--balanced", help="Only where charges balance.")]
Table = Annotated[
    str,
    typer.Option(
        help="'learned' (Materials Project, metals too), 'published' (Hautier et al. 2011), or a "
        "file of `gnomon train substitution`."
    ),
]


def generate_substitution(
    parents: Structures,
    out: Out,
    table: Table = "learned",
    elements: Elements = None,
    formula: Formulas = None,
    threshold: Threshold = 1e-3,
    known: Known = None,
    balanced: Balanced = False,
    strict: Strict = False,
) -> None:
    """Substitute likely ions into parents (Hautier et al. 2011); compositions must be new.

    Example: gnomon generate substitutions mp/*.cif --known mp --out candidates.parquet
    """
    from gnomon.elements import parse_system
    from gnomon.generate.substitution.generator import SubstitutionGenerator

    refuse_existing(out)
    generator = SubstitutionGenerator(
        model=_model(table),
        threshold=threshold,
        elements=parse_system(elements) if elements else None,
        known=_formulas(known, strict),
        formulas=frozenset(formula) if formula else None,
        charge_balanced=balanced,
    )
    _run(generator, parents, out, 0, strict)


def generate_saps(
    parents: Structures,
    out: Out,
    table: Table = "learned",
    elements: Elements = None,
    formula: Formulas = None,
    threshold: Threshold = 1e-3,
    known: Known = None,
    balanced: Balanced = False,
    others: Annotated[
        int, typer.Option(help="Ions that may be replaced wholly beside the one that gives way.")
    ] = 1,
    max_index: Annotated[int, typer.Option(help="Largest supercell, in primitive cells.")] = 2,
    max_atoms: Annotated[int, typer.Option(help="Largest cell.")] = 40,
    most: Annotated[
        int, typer.Option(help="Choices of sites kept for an ion, a cell and a number of sites.")
    ] = 100,
    workers: Annotated[int, typer.Option(help="Processes; 0 takes one a core.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed of what is drawn where there are more.")] = 0,
    strict: Strict = False,
) -> None:
    """Replace some or all atoms of an ion, in every way that symmetry tells apart (SAPS).

    Example: gnomon generate saps perovskites.parquet --max-index 4 --out candidates.parquet
    """
    from gnomon.elements import parse_system
    from gnomon.generate.saps.generator import SapsGenerator
    from gnomon.run.pool import processes

    refuse_existing(out)
    generator = SapsGenerator(
        model=_model(table),
        threshold=threshold,
        elements=parse_system(elements) if elements else None,
        known=_formulas(known, strict),
        formulas=frozenset(formula) if formula else None,
        charge_balanced=balanced,
        others=others,
        max_index=max_index,
        max_atoms=max_atoms,
        most=most,
        workers=processes(workers),
    )
    _run(generator, parents, out, seed, strict)


def train_substitution(
    data: Structures,
    out: Annotated[Path, typer.Option(help="Table of weights (JSON).")] = Path("substitution.json"),
    l2: Annotated[float, typer.Option(help="Strength of the penalty.")] = 1.0,
    source: Annotated[
        str | None, typer.Option(help="Where the crystals are from, for the file.")
    ] = None,
    strict: Strict = False,
    json: Json = False,
) -> None:
    """Learn which ions replace each other from crystals that share a prototype.

    Formulas whose hash is below 75 train, 75 to 84 measure the likelihood.

    Example: gnomon train substitution crystals.parquet --out mine.json
    """
    from dataclasses import asdict

    from gnomon.cli.terminal import listening, put_json, put_table
    from gnomon.generate.substitution.model import SubstitutionModel
    from gnomon.generate.substitution.tables import write_table
    from gnomon.generate.substitution.training import (
        compare,
        ion_pairs,
        label,
        log_likelihood,
        train,
    )
    from gnomon.learn.split import SplitConfig, formula_hashes

    refuse_existing(out)
    crystals = read_crystals(data, strict).crystals
    hashes, split = formula_hashes(crystals.reduced_formulas), SplitConfig()
    held = (hashes >= split.train_below) & (hashes < split.validate_below)
    with listening() as listener:
        training = label(crystals[hashes < split.train_below], listener=listener)
        validation = label(crystals[held], listener=listener)
    model = train(training, l2)
    pairs = ion_pairs(training)
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
        "pairs of crystals": pairs.crystal_pairs,
        "species": len(model.species),
        "l2": l2,
        "held out, per pair": likelihoods,
    }
    write_table(out, model, _provenance(data, source, facts))
    if json:
        put_json(facts)
        return
    put_table([{"pairs held out": name, **row} for name, row in likelihoods.items()])


def _provenance(data: list[str], source: str | None, facts: dict[str, Any]) -> dict[str, Any]:
    from gnomon.run.files import sha256_of
    from gnomon.run.stamp import stamp

    files = [Path(name) for name in data if Path(name).is_file()]
    return {
        "method": "maximum likelihood with L2, Hautier et al., Inorg. Chem. 50, 656 (2011)",
        "source": source or "not stated",
        "files": {path.name: sha256_of(path) for path in files},
        "split": "reduced formula, MD5 modulo 100: below 75 train, 75 to 84 held out",
        **stamp(),
        **facts,
    }


def _model(table: str) -> SubstitutionModel:
    """The table of this name or file."""
    from gnomon.generate.substitution.model import SubstitutionModel
    from gnomon.generate.substitution.tables import learned_model, read_table

    if table == "learned":
        return learned_model()
    return SubstitutionModel.pymatgen() if table == "published" else read_table(Path(table))


def _formulas(known: list[str] | None, strict: bool) -> frozenset[str]:
    if not known:
        return frozenset()
    return frozenset(read_crystals(known, strict).crystals.reduced_formulas.tolist())


def _run(generator: Any, parents: list[str], out: Path, seed: int, strict: bool) -> None:
    from gnomon.cli.terminal import say

    crystals = read_crystals(parents, strict).crystals
    skipped = generator.skipped(crystals)
    if len(skipped):
        first = skipped.slice(0, 1).to_pylist()[0]
        say(
            f"{len(skipped)} of {len(crystals)} parents left out, "
            f"the first: {first['reduced_formula']}: {first['reason']}"
        )
    write_candidates(out, generator.generate(crystals, seed=seed))
