"""What a campaign's folder says: provenance, evaluated phases, their hull, the tables of a report.

Everything is derived from the shards anew, so that it is the same after a kill as without one.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tomli_w
from jaxtyping import Bool, Float64, Int64, Shaped

from gnomon.chemistry.elemental import ground_state
from gnomon.crystals import Crystals
from gnomon.discover.settings import CampaignConfig
from gnomon.elements import MAX_Z, SYMBOLS
from gnomon.evaluate import Status
from gnomon.hull import ON_HULL, Hull, Phases, elemental_references, formation_energies
from gnomon.io import from_arrow, to_arrow
from gnomon.report.inputs import CampaignTables
from gnomon.run.files import sha256_of
from gnomon.run.stamp import stamp
from gnomon.run.store import Store, StoreError, write_bytes, write_json
from gnomon.structure.protostructures import protostructure
from gnomon.structure.symmetry import space_groups

RELAXED_SYMPREC = 0.1
"""Tolerance in Å for the space group of a relaxed crystal (that of the Materials Project)."""


def begin(store: Store, config: CampaignConfig, scheme: str) -> None:
    """Begin a campaign, or check that the one in the folder is this one.

    Raises:
        StoreError: if the folder holds a campaign of other settings or inputs, or other files.
    """
    settings = config.model_dump(mode="json")
    files = (*config.generate.parents, *config.generate.known, *config.generate.candidates)
    inputs = {str(p): _sha256(p) for p in files}
    if store.exists:
        _check_same(store, settings, inputs, scheme)
        _write_config(store, store.provenance["config"])  # a kill may have come between the two
        return
    if strangers := [p.name for p in store.root.iterdir() if not _left_by_a_kill(p)]:
        raise StoreError(
            f"{store.root} is not empty and no campaign (it holds {strangers[0]}): "
            "choose another folder with --out"
        )
    write_json(
        store.root / "provenance.json",
        {
            "system": config.name,
            "scheme": scheme,
            "seed": config.seed,
            "config": settings,
            "inputs": inputs,
            "command": sys.argv,
            **stamp(),
        },
    )
    _write_config(store, settings)


def _left_by_a_kill(path: Path) -> bool:
    """Whether a campaign that had hardly begun leaves such a file: the lock, a half provenance."""
    name = path.name
    return name.startswith(".lock") or (name.startswith(".prov") and path.suffix == ".tmp")


def _write_config(store: Store, settings: Mapping[str, Any]) -> None:
    """The settings as TOML for people, once."""
    path = store.root / "config.toml"
    if not path.exists():
        config = CampaignConfig.model_validate(settings)
        toml = tomli_w.dumps(config.model_dump(mode="json", exclude_none=True))
        write_bytes(path, toml.encode())


def _check_same(
    store: Store, settings: dict[str, Any], inputs: dict[str, str], scheme: str
) -> None:
    before = store.provenance
    changed = _differences(
        {k: v for k, v in before["config"].items() if k != "budget"},
        {k: v for k, v in settings.items() if k != "budget"},
    )
    if before["inputs"] != inputs:
        changed.append("the contents of the input files")
    if before["scheme"] != scheme:
        changed.append(f"energy scheme: {before['scheme']} before, {scheme} now")
    if changed:
        raise StoreError(
            f"{store.root} holds a campaign of other settings ({'; '.join(changed)}): "
            "choose another folder with --out, or repeat its settings (only [budget] may change)"
        )


def _differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    found: list[str] = []
    for key in sorted({*old, *new}):
        a, b = old.get(key), new.get(key)
        if isinstance(a, dict) and isinstance(b, dict) and key != "options":
            found += _differences(a, b, f"{prefix}{key}.")
        elif a != b:
            found.append(f"{prefix}{key}: {a} before, {b} now")
    return found


def _sha256(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise StoreError(f"the input {path} cannot be read: {error.strerror}") from error


# --- phases -----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Evaluated:
    """The converged evaluations of a campaign, in the order in which they were made.

    Attributes:
        ids: of the candidates.
        initial: crystals as proposed.
        relaxed: crystals as relaxed.
        energy_per_atom: eV/atom in the campaign's scheme.
        rounds: in which each was evaluated.
    """

    ids: Shaped[np.ndarray, " n"]
    initial: Crystals
    relaxed: Crystals
    energy_per_atom: Float64[np.ndarray, " n"]
    rounds: Int64[np.ndarray, " n"]

    def take(self, mask: Bool[np.ndarray, " n"]) -> Evaluated:
        """Those where the mask is true."""
        return Evaluated(
            self.ids[mask],
            self.initial[mask],
            self.relaxed[mask],
            self.energy_per_atom[mask],
            self.rounds[mask],
        )


def evaluated(store: Store) -> Evaluated:
    """All converged evaluations.

    Raises:
        StoreError: if an evaluation is of another energy scheme than the campaign.
    """
    rows = store.table("evaluations")
    schemes = sorted({scheme_of(store), *rows["scheme"].to_pylist()})
    if len(schemes) > 1:
        raise StoreError(
            f"{store.root} mixes the energy schemes {' and '.join(schemes)}: "
            "their energies cannot share a hull"
        )
    rows = rows.filter(pc.equal(rows["status"], Status.CONVERGED.value))
    crystals = store.table("crystals")
    position = {key: i for i, key in enumerate(crystals["id"].to_pylist())}
    ids = rows["id"].to_pylist()
    return Evaluated(
        ids=np.array(ids, dtype=object),
        initial=from_arrow(crystals.take(pa.array([position[key] for key in ids], pa.int64()))),
        relaxed=from_arrow(rows),
        energy_per_atom=rows["energy_per_atom"].to_numpy().astype(np.float64),
        rounds=rows["round"].to_numpy().astype(np.int64),
    )


def scheme_of(store: Store) -> str:
    """The campaign's energy scheme."""
    return str(store.provenance["scheme"])


def references_of(found: Evaluated, system: Collection[str]) -> dict[str, float]:
    """Fixed elemental references, eV/atom, from the elements of round 0.

    The experimental ground-state structure (``gnomon.chemistry.ground_states``) where it was among
    them and converged, else the lowest.  An evaluator may hold another
    structure for lower: that one then lies below zero, on the hull, and e_above_hull counts it.

    Raises:
        StoreError: if an element has none.
    """
    first = np.flatnonzero(found.rounds == 0)
    elements = first[(found.relaxed.composition[first] > 0).sum(axis=1) == 1]
    crystals, energies = found.relaxed[elements], found.energy_per_atom[elements]
    references = elemental_references(crystals.composition, energies)
    usual = in_ground_state(crystals)
    references |= elemental_references(crystals.composition[usual], energies[usual])
    missing = [symbol for symbol in system if symbol not in references]
    if missing:
        raise StoreError(
            f"no structure of {', '.join(missing)} could be relaxed, so there is no elemental "
            "reference: does the evaluator know this element? (`gnomon report` lists the failures)"
        )
    return references


def in_ground_state(elements: Crystals) -> Bool[np.ndarray, " n"]:
    """Which elemental crystals have the structure of the element's measured ground state.

    Structures are compared by space group and Wyckoff positions, so lengths and free parameters
    may relax.  False where the ground state of the element is not known.
    """
    return np.array([_in_its_ground_state(one) for one in elements], dtype=bool)


def _in_its_ground_state(crystal: Crystals) -> bool:
    z = int(crystal.atomic_numbers[0])
    wanted = ground_state(SYMBOLS[z])
    if wanted is None:
        return False
    column = np.array([[z]])
    own, measured = (
        protostructure(one, RELAXED_SYMPREC).keys(column)[0] for one in (crystal, wanted.crystal)
    )
    return bool(own == measured)


@dataclass(frozen=True, eq=False)
class Placed:
    """The converged phases of a campaign and their place on the hull.

    Attributes:
        found: n evaluations.
        phases: the same as phases of the campaign's scheme.
        hull: of these phases.
        e_above_hull: (n,), eV/atom.
    """

    found: Evaluated
    phases: Phases
    hull: Hull
    e_above_hull: Float64[np.ndarray, " n"]

    @property
    def compound(self) -> Bool[np.ndarray, " n"]:
        """Which hold more than one element."""
        return np.asarray((self.phases.composition > 0).sum(axis=1) > 1)

    @property
    def stable(self) -> Bool[np.ndarray, " n"]:
        """Which are on the hull."""
        return np.asarray(self.e_above_hull <= ON_HULL)


def place(store: Store, system: Collection[str]) -> Placed:
    """Put all converged evaluations on their hull.

    Raises:
        StoreError: if an element of the system has no reference.
    """
    found = evaluated(store)
    return _place(found, references_of(found, system), scheme_of(store))


def _place(found: Evaluated, references: Mapping[str, float], scheme: str) -> Placed:
    composition = found.relaxed.composition
    energies = formation_energies(composition, found.energy_per_atom, references)
    phases = Phases(found.ids, composition, energies, scheme)
    hull = Hull(phases)
    return Placed(found, phases, hull, hull.e_above_hull(composition, energies))


HULL = pa.schema(
    [
        ("id", pa.string()),
        ("relaxed_id", pa.string()),
        ("reduced_formula", pa.string()),
        ("chemical_system", pa.string()),
        ("formation_energy_per_atom", pa.float64()),
        ("e_above_hull", pa.float64()),
        ("stable", pa.bool_()),
        ("space_group", pa.int64()),
        ("decomposition", pa.string()),
        ("round", pa.int64()),
        ("is_reference", pa.bool_()),
        ("scheme", pa.string()),
    ]
)
"""Columns of hull.parquet: every converged phase and its place on the hull."""


def hull_table(store: Store) -> pa.Table:
    """Every converged phase with its formation energy and e_above_hull (schema ``HULL``).

    Phases of an element none of whose structures converged have no such energy: they are left out.
    """
    found = evaluated(store)
    references = references_of(found, ())
    unknown = [z for z in range(1, MAX_Z + 1) if SYMBOLS[z] not in references]
    placeless = np.asarray(found.relaxed.composition[:, unknown].any(axis=1))
    found = found.take(~placeless)
    if not len(found.ids):
        return HULL.empty_table()
    scheme = scheme_of(store)
    placed = _place(found, references, scheme)
    formulas = dict(zip(found.ids, found.relaxed.reduced_formulas, strict=True))
    mixtures = placed.hull.decomposition(placed.phases.composition)
    return pa.table(
        {
            "id": found.ids.tolist(),
            "relaxed_id": found.relaxed.ids.tolist(),
            "reduced_formula": found.relaxed.reduced_formulas.tolist(),
            "chemical_system": found.relaxed.chemical_systems.tolist(),
            "formation_energy_per_atom": placed.phases.formation_energy_per_atom,
            "e_above_hull": placed.e_above_hull,
            "stable": placed.stable,
            "space_group": space_groups(found.relaxed, RELAXED_SYMPREC),
            "decomposition": [
                json.dumps({formulas[key]: round(share, 6) for key, share in mixture.items()})
                for mixture in mixtures
            ],
            "round": found.rounds,
            "is_reference": found.rounds == 0,
            "scheme": [scheme] * len(found.ids),
        },
        schema=HULL,
    )


def campaign_tables(store: Store) -> CampaignTables:
    """All that a report is made of."""
    evaluations, provenance = store.table("evaluations"), store.provenance
    finished = [
        (r, facts) for r in _rounds(store) if (facts := store.finished(r, "screen")) is not None
    ]
    return CampaignTables(
        candidates=store.table("crystals"),
        lineage=store.table("lineage"),
        screening=_of_candidates(store.table("screening")),
        evaluations=evaluations,
        relaxed=_relaxed(evaluations),
        hull=hull_table(store),
        rounds=pa.table(
            {
                "round": pa.array([r for r, _ in finished], pa.int64()),
                "model": pa.array([facts["model"] for _, facts in finished], pa.string()),
                "n_labels": pa.array([facts["n_labels"] for _, facts in finished], pa.int64()),
                "message": pa.array([facts["message"] for _, facts in finished], pa.string()),
            }
        ),
        provenance=provenance,
        title=f"Discovery in {provenance['system']}",
    )


def _of_candidates(screening: pa.Table) -> pa.Table:
    """Verdicts on candidates: references are evaluated without one."""
    return screening.filter(pc.greater(screening["round"], 0))


def _relaxed(evaluations: pa.Table) -> pa.Table:
    """Relaxed crystals, once each, with the columns of ``crystals``."""
    having = evaluations.filter(evaluations["relaxed_id"].is_valid())
    crystals = from_arrow(having)
    first = np.unique(crystals.ids.astype(str), return_index=True)[1]
    return structure_table(crystals[np.sort(first)])


def structure_table(crystals: Crystals) -> pa.Table:
    """Crystals as rows with id, formula, system, atoms and structure."""
    table = to_arrow(crystals)
    table = table.append_column("chemical_system", pa.array(crystals.chemical_systems, pa.string()))
    return table.append_column("n_atoms", pa.array(crystals.n_atoms))


def _rounds(store: Store) -> list[int]:
    return sorted(int(p.name.removeprefix("round=")) for p in store.root.glob("stages/round=*"))
