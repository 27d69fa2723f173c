"""`gnomon generate`: candidates in files, a chunk at a time."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from gnomon.cli.options import CommandError, Given, Output, Section
from gnomon.cli.shared import (
    MaybeNewTable,
    Strict,
    Structures,
    model_file,
    place,
    read_crystals,
)
from gnomon.crystals import Crystals
from gnomon.elements import DEFAULT_EXCLUDED, parse_system
from gnomon.generate import Generator
from gnomon.generate.compositions.counting import count
from gnomon.generate.compositions.generator import (
    COMPOSITIONS,
    CompositionGenerator,
    smact_ions,
    tabulated_ions,
)
from gnomon.generate.files import write_candidates
from gnomon.generate.learned.generator import LearnedGenerator
from gnomon.generate.prototypes.extracted import extract_prototypes
from gnomon.generate.prototypes.generator import PrototypeGenerator
from gnomon.generate.prototypes.occurrence import BUNDLED, Occurrence
from gnomon.generate.random.generator import RandomSearchGenerator
from gnomon.generate.saps.generator import SapsGenerator
from gnomon.generate.substitution.generator import SubstitutionGenerator
from gnomon.generate.substitution.model import SubstitutionModel
from gnomon.generate.substitution.tables import learned_model, read_table
from gnomon.io import tables
from gnomon.models.bundled import GENERATOR
from gnomon.run.pool import processes

Out = Annotated[Path, place(".parquet", ".extxyz", ".cif")]
Seed = Annotated[int, typer.Option(help="Seed of every random choice.")]
RANDOM = Section(without=("compositions", "space_groups"))
LEARNED = Section(without=("elements", "known", "model"))


@dataclass(frozen=True)
class Children:
    """Which children of which ions are wanted.

    Attributes:
        table: 'learned' (Materials Project, metals too), 'published' (Hautier et al. 2011), or a
            file of `gnomon model train substitution`
        elements: keep candidates of these elements only, as in Li-Fe-P-O
        formula: keep candidates of this formula only (repeatable)
        known: crystals whose compositions are not new (repeatable)
    """

    table: str = "learned"
    elements: str | None = None
    formula: tuple[str, ...] = ()
    known: tuple[str, ...] = ()

    def wanted(self, strict: bool) -> dict[str, Any]:
        """The same as a generator takes it."""
        known = read_crystals(list(self.known), strict) if self.known else None
        return {
            "model": self._model(),
            "elements": parse_system(self.elements) if self.elements else None,
            "formulas": frozenset(self.formula) or None,
            "known": frozenset(known.crystals.reduced_formulas.tolist() if known else ()),
        }

    def _model(self) -> SubstitutionModel:
        if self.table == "learned":
            return learned_model()
        if self.table == "published":
            return SubstitutionModel.pymatgen()
        return read_table(Path(self.table))


def prototypes(
    system: str,
    generator: Annotated[Given[PrototypeGenerator], Section(only=("max_atoms", "most"))],
    *,
    out: Out,
    source: Annotated[list[str] | None, typer.Option("--from")] = None,
    known: str = BUNDLED,
) -> Output:
    """Decorate structures of known crystals and of the AFLOW library with the elements of a system.

    Args:
        system: chemical system, such as Cu-Pd-Pt.
        source: crystals whose prototypes are taken, and no others (repeatable).
        known: the known crystals: those in the package, a file of `gnomon model train prototypes`,
            or none for the library alone.

    Example: gnomon generate prototypes Cu-Pd-Pt --out candidates.parquet
    """
    found, note = None, ""
    if source:
        crystals = read_crystals(source, False).crystals
        found = tuple(extract_prototypes(crystals, **generator.values))
        note = f"{len(found)} prototypes in {len(crystals)} crystals"
    told = None if known == "none" else Occurrence.load(known)
    made = generator.over(system=parse_system(system), given=found, known=told)
    return _written(made, Crystals.empty(), out, note)


def substitutions(
    parents: Structures,
    children: Children,
    generator: Annotated[
        Given[SubstitutionGenerator], Section(only=("threshold", "charge_balanced"))
    ],
    *,
    out: Out,
    strict: Strict = False,
) -> Output:
    """Substitute likely ions into parents (Hautier et al. 2011); compositions must be new.

    Example: gnomon generate substitutions mp/*.cif --known mp --out candidates.parquet
    """
    return _children(generator.over(**children.wanted(strict)), parents, out, 0, strict)


def saps(
    parents: Structures,
    children: Children,
    generator: Annotated[
        Given[SapsGenerator],
        Section(without=("model", "elements", "exclude", "known", "formulas", "chunk")),
    ],
    *,
    out: Out,
    seed: Seed = 0,
    strict: Strict = False,
) -> Output:
    """Replace some or all atoms of an ion, in every way that symmetry tells apart (SAPS).

    Example: gnomon generate saps perovskites.parquet --max-index 4 --out candidates.parquet
    """
    wanted = children.wanted(strict) | {"workers": processes(generator.values.get("workers", 1))}
    return _children(generator.over(**wanted), parents, out, seed, strict)


def random(
    compositions: list[str],
    generator: Annotated[Given[RandomSearchGenerator], RANDOM],
    *,
    out: Out,
    seed: Seed = 0,
) -> Output:
    """Make random symmetric cells of compositions, whose atoms keep their distance (AIRSS).

    Args:
        compositions: formulas, such as SiO2.

    Example: gnomon generate random SiO2 TiO2 --count 100 --out candidates.parquet
    """
    made = generator.over(compositions=tuple(compositions))
    return _written(made, Crystals.empty(), out, seed=seed)


def learned(
    generator: Annotated[Given[LearnedGenerator], LEARNED],
    *,
    out: Out,
    elements: str | None = None,
    known: list[str] | None = None,
    model: str = GENERATOR,
    seed: Seed = 0,
) -> Output:
    """Draw crystals from a transformer that was trained on known ones, under conditions.

    Args:
        elements: chemical system, such as Li-Fe-O: candidates hold two or more of these.
        known: crystals whose compositions are not new (repeatable).
        model: weights: generator-3, or a file of `gnomon model train generator`.

    Example: gnomon generate learned --elements Li-Fe-O --stable --out candidates.parquet
    """
    crystals = read_crystals(known, False).crystals if known else Crystals.empty()
    made = generator.over(
        elements=parse_system(elements) if elements else None,
        known=frozenset(crystals.reduced_formulas.tolist()),
        model=str(model_file(model)),
    )
    return _written(made, Crystals.empty(), out, seed=seed)


def compositions(
    generator: Annotated[
        Given[CompositionGenerator],
        Section(without=("elements", "exclude", "known", "states", "chunk")),
    ],
    system: str | None = None,
    *,
    out: MaybeNewTable = None,
    known: Path | None = None,
    count: str | None = None,
) -> Output:
    """List compositions whose oxidation states can balance, or count those of all elements.

    Args:
        system: elements, such as Li-Si: formulas of any of them.
        out: table of formulas (.parquet).
        known: Parquet with reduced_formula: these are left out.
        count: only count combinations of two, three and four species of a list: icsd (pymatgen),
            or smact14, icsd16, icsd24 (of the package smact).

    Example: gnomon generate compositions Li-Si --out formulas.parquet
    """
    if count is not None:
        return Output(_counted(count))
    if system is None or out is None:
        raise CommandError("name a system and a file, as in: Li-Si --out formulas.parquet")
    made = generator.over(elements=parse_system(system), known=_formulas(known))
    total = tables.write_table(out, made.generate(), schema=COMPOSITIONS)
    return Output({"compositions": total, "file": str(out)}, said=(f"{total} compositions: {out}",))


def _children(generator: Any, parents: list[str], out: Path, seed: int, strict: bool) -> Output:
    crystals = read_crystals(parents, strict).crystals
    skipped, note = generator.skipped(crystals), ""
    if len(skipped):
        first = skipped.slice(0, 1).to_pylist()[0]
        note = (
            f"{len(skipped)} of {len(crystals)} parents left out, "
            f"the first: {first['reduced_formula']}: {first['reason']}"
        )
    if generator.elements is None and generator.formulas is None:
        held = {symbol for system in crystals.chemical_systems for symbol in system.split("-")}
        if scarce := sorted(held & set(DEFAULT_EXCLUDED)):
            said = f"no candidate holds {', '.join(scarce)}: name such elements with --elements"
            note = f"{note}; {said}" if note else said
    return _written(generator, crystals, out, note, seed)


def _written(
    generator: Generator, parents: Crystals, out: Path, note: str = "", seed: int = 0
) -> Output:
    total = write_candidates(out, generator.generate(parents, seed=seed))
    said = f"{total} candidate{'' if total == 1 else 's'}: {out}"
    found = {"candidates": total, "file": str(out)}
    return Output(found, said=(note, said) if note else (said,))


def _formulas(known: Path | None) -> frozenset[str]:
    if known is None:
        return frozenset()
    table = tables.read_table(known)
    if "reduced_formula" not in table.column_names:
        raise ValueError(f"{known} has no column reduced_formula")
    return frozenset(table["reduced_formula"].to_pylist())


def _counted(states: str) -> list[dict[str, Any]]:
    ions = tabulated_ions() if states == "icsd" else smact_ions(states)
    return [{"species": len(ions), "combined": n, **asdict(count(ions, n))} for n in (2, 3, 4)]
