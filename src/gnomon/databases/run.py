"""Fetch, evaluate, tabulate: each step goes on from what the folder holds."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict

from gnomon.databases.answers import Answers, Fetched, load
from gnomon.databases.sources import Source, make_source
from gnomon.databases.systems import System, largest
from gnomon.databases.tables import (
    crystals_of,
    phase_table,
    placed_phases,
    read_records,
    with_outcomes,
)
from gnomon.discover.placed import Placed
from gnomon.dynamics.settings import RelaxConfig
from gnomon.elements import parse_system
from gnomon.evaluate import Evaluator
from gnomon.evaluate.table import Marks, evaluate_missing
from gnomon.hull.phases import ON_HULL
from gnomon.run.http import HttpError, Patience
from gnomon.run.listener import Listener
from gnomon.run.manifest import MANIFEST
from gnomon.run.stamp import Stamp, stamp
from gnomon.run.store import Store
from gnomon.run.writing import StoreError

PAGE_SECONDS = 120.0
"""That a page may take, however it drips: 256 MB at 2 MB/s."""

PROVENANCE, RECORDS_FILE, PHASES_FILE = "reference.json", "records.parquet", "phases.parquet"


@dataclass(frozen=True)
class Request:
    """What is wanted.

    Attributes:
        systems: chemical systems; those inside of others are left out, as they come along.
        sources: ``mp``, base URLs of OPTIMADE providers, files.
        allowed: hosts beside their own that providers may send us to.
    """

    systems: tuple[System, ...]
    sources: tuple[str, ...]
    allowed: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, systems: Sequence[str], sources: Sequence[str], allowed: Sequence[str] = ()
    ) -> Request:
        """From text, as in ``["Au-Cu"]`` and ``["mp"]``.

        Raises:
            ValueError: if a text is no chemical system, or nothing is asked for.
        """
        if not systems or not sources:
            raise ValueError("name at least one chemical system, and one source of phases")
        each = tuple(dict.fromkeys(sources))
        return cls(largest(map(parse_system, systems)), each, tuple(allowed))


class Evaluation(BaseModel):
    """How the phases were evaluated.

    Attributes:
        scheme: of all energies.
        relax: how far crystals were relaxed.
        references: energies of the elements, eV/atom.
        statuses: how many records ended how.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    scheme: str
    relax: RelaxConfig
    references: dict[str, float] = {}
    statuses: dict[str, int] = {}


class Provenance(BaseModel):
    """reference.json: where the phases in the folder come from.

    Attributes:
        systems: asked for, sub-systems included.
        sources: asked.
        command: that began it.
        begun: by which code, when and on which machine.
        fetched: who answered what, of each source that is complete.
        evaluation: None before it has begun.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    systems: tuple[str, ...]
    sources: tuple[str, ...]
    command: tuple[str, ...]
    begun: Stamp
    fetched: tuple[Fetched, ...] = ()
    evaluation: Evaluation | None = None


@dataclass(frozen=True, eq=False)
class References:
    """The result.

    Attributes:
        provenance: as in reference.json.
        records: every record and what became of it (schema ``tables.RECORDS``).
        phases: the converged ones (schema ``tables.PHASES``).
        left_out: reduced formulas of converged phases that lack the reference of an element.
    """

    provenance: Provenance
    records: pa.Table
    phases: pa.Table
    left_out: tuple[str, ...]

    @property
    def stable(self) -> pa.Table:
        """The phases on the hull of all of them."""
        return self.phases.filter(pc.less_equal(self.phases["e_above_hull"], ON_HULL))


def fetch(
    request: Request, store: Store, listener: Listener, patience: Patience | None = None
) -> Provenance:
    """Fetch what the folder lacks, and evaluate nothing yet.

    Raises:
        HttpError: if a provider cannot be asked; what came before stays.
        InputError: if there is no such source, or it needs a package or key that is missing.
        StoreError: if the folder is in use, holds something else, is damaged or cannot be written.
    """
    sources = _sources(request, patience)  # first: what fails here begins nothing
    _refuse_strangers(store)
    with store.locked(listener):
        return _fetch(request, sources, store, listener)


def references(
    request: Request,
    store: Store,
    evaluator: Evaluator,
    relax: RelaxConfig,
    listener: Listener,
    patience: Patience | None = None,
) -> References:
    """Fetch and evaluate what the folder lacks, and write its tables.

    Args:
        request: what is wanted.
        store: the folder.
        evaluator: of the campaign that the phases are for.
        relax: how the evaluator was told to relax, for the provenance.
        listener: hears of progress.
        patience: with providers.

    Raises:
        HttpError, InputError: as ``fetch`` does.
        StoreError: as ``fetch`` does, or if the phases were evaluated in another way before.
    """
    sources = _sources(request, patience)
    _refuse_strangers(store)
    with store.locked(listener):
        provenance = load(Provenance, store, PROVENANCE)
        if provenance is not None:
            _check_same_evaluation(store, provenance.evaluation, evaluator.scheme, relax)
        provenance = _fetch(request, sources, store, listener)
        provenance = provenance.model_copy(
            update={"evaluation": Evaluation(scheme=evaluator.scheme, relax=relax)}
        )
        _save(store, provenance)
        records = read_records(store.root, provenance.fetched, request.systems)
        crystals, done = crystals_of(records), store.table("evaluations")["id"].to_pylist()
        for _ in evaluate_missing(crystals, done, evaluator, store, Marks(), listener):
            pass
        evaluations = store.table("evaluations")
        placed = placed_phases(records, evaluations, evaluator.scheme)
        outcomes = with_outcomes(records, evaluations, placed)
        return _write(store, provenance, outcomes, placed)


def _sources(request: Request, patience: Patience | None) -> list[Source]:
    patience = patience or Patience(seconds=PAGE_SECONDS)
    return [make_source(name, patience, request.allowed) for name in request.sources]


def _fetch(
    request: Request, sources: Sequence[Source], store: Store, listener: Listener
) -> Provenance:
    provenance = _begin(request, store)
    fetched = []
    for number, source in enumerate(sources):
        answers = Answers(store.root, number)
        found = answers.fetched
        if found is None:
            try:
                found = source.fetch(request.systems, answers, listener)
            except HttpError as error:
                raise HttpError(
                    f"{source.name} cannot be asked: {error}. What came before is kept in "
                    f"{store.root}, and the same command goes on there; without a network give a "
                    "file of crystals: --from FILE"
                ) from error
            answers.finish(found)
            if not found.complete:
                listener.say(
                    f"{source.name} announced {found.announced} records and sent {found.received}"
                    ": phases may be missing"
                )
        fetched.append(found)
    provenance = provenance.model_copy(update={"fetched": tuple(fetched)})
    _save(store, provenance)
    return provenance


def _write(store: Store, provenance: Provenance, records: pa.Table, placed: Placed) -> References:
    """The tables, each with the provenance in its metadata, and the provenance beside them."""
    assert provenance.evaluation is not None
    statuses = dict(sorted(Counter(records["status"].to_pylist()).items()))
    evaluation = provenance.evaluation.model_copy(
        update={"references": placed.references, "statuses": statuses}
    )
    provenance = provenance.model_copy(update={"evaluation": evaluation})
    metadata = {"gnomon": provenance.model_dump_json()}
    phases = phase_table(records, placed)
    for name, table in ((RECORDS_FILE, records), (PHASES_FILE, phases)):
        store.write_table(name, table.replace_schema_metadata(metadata))
    _save(store, provenance)
    left_out = tuple(sorted(set(placed.left_out.relaxed.reduced_formulas)))
    return References(provenance, records, phases, left_out)


# --- the folder -------------------------------------------------------------------------------


def _refuse_strangers(store: Store) -> None:
    """Keep out of a folder that holds something else."""
    if store.root.exists() and not store.root.is_dir():
        raise StoreError(f"{store.root} is a file: choose another folder with --out")
    if not store.root.is_dir() or store.has(PROVENANCE):
        return
    ours = (".lock", f".{PROVENANCE}.", f".{MANIFEST}.", MANIFEST)
    if strangers := [p.name for p in store.root.iterdir() if not p.name.startswith(ours)]:
        raise StoreError(
            f"{store.root} is not empty and holds no reference phases (it holds {strangers[0]}): "
            "choose another folder with --out"
        )


def _begin(request: Request, store: Store) -> Provenance:
    """Begin, or check that what lies in the folder was asked for in the same way."""
    systems = tuple("-".join(system) for system in request.systems)
    before = load(Provenance, store, PROVENANCE)
    if before is not None:
        if (before.systems, before.sources) == (systems, request.sources):
            return before
        if (store.root / "answers").exists():  # otherwise nothing came, and nothing is lost
            raise StoreError(
                f"{store.root} holds phases of {', '.join(before.systems)} from "
                f"{', '.join(before.sources)}, not of {', '.join(systems)} from "
                f"{', '.join(request.sources)}: choose another folder with --out"
            )
    provenance = Provenance(
        systems=systems,
        sources=request.sources,
        command=tuple(sys.argv),
        begun=stamp(),
    )
    _save(store, provenance)
    return provenance


def _check_same_evaluation(
    store: Store, before: Evaluation | None, scheme: str, relax: RelaxConfig
) -> None:
    if before is None or (before.scheme, before.relax) == (scheme, relax):
        return
    what = (
        f"in the scheme {before.scheme!r}, not {scheme!r}"
        if before.scheme != scheme
        else f"with {before.relax}, not {relax}"
    )
    raise StoreError(
        f"the phases in {store.root} were evaluated {what}: choose another folder with --out, "
        f"where --from {store.root / RECORDS_FILE} takes the same crystals"
    )


def _save(store: Store, provenance: Provenance) -> None:
    store.write_facts(PROVENANCE, provenance.model_dump(mode="json"))
