"""Training sets: crystals perturbed, substituted and partially relaxed, labelled part by part.

    out/  provenance.json        what was asked for; another request is refused
          part-00000.parquet     frames (``read_frames(out)`` reads them all)
          lineage/part-00000.parquet   a row for each frame, and for each that was kept out and why

A part is renamed when it is whole.  A kill costs the part in work; the same command goes on.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Int64
from pydantic import BaseModel, ConfigDict, Field

from gnomon.crystals import Crystals
from gnomon.dataset.labellers import Labeller, PotentialLabeller, unusable
from gnomon.dataset.perturb import PerturbConfig, Variants, perturbations
from gnomon.dataset.way import on_the_way
from gnomon.generate.substitution.generator import SubstitutionGenerator
from gnomon.io.checks import screen
from gnomon.io.frames import Frames, write_frames
from gnomon.io.reading import MAX_ATOMS, MAX_BYTES
from gnomon.io.records import Limits, Parsed
from gnomon.io.tables import write_table
from gnomon.learn.split import formula_hashes
from gnomon.potential.predict import LoadedPotential
from gnomon.run.claim import claim
from gnomon.run.listener import SILENT, Listener

ORIGINS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),  # of the frame's crystal
        pa.field("parent_id", pa.string(), nullable=False),  # of the given crystal
        pa.field("kind", pa.string(), nullable=False),  # given, perturbed, scaled or substituted
        pa.field("step", pa.int64(), nullable=False),  # of a partial relaxation; 0 elsewhere
        pa.field("reason", pa.string()),  # why it was kept out; null for a frame
    ]
)
"""Columns of the lineage of a training set: frames and rejects, one row each."""


class LabelConfig(BaseModel):
    """What a training set is made of."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    perturb: PerturbConfig = PerturbConfig()
    unrelaxed: bool = Field(
        default=False,
        description="the given crystals are unrelaxed: relax them partially, perturb none",
    )
    substitutes: int = Field(
        default=0, ge=0, description="ionic substitutions of each crystal, relaxed partially"
    )
    relax_steps: int = Field(default=40, ge=0, description="steps of a partial relaxation")
    relax_frames: int = Field(default=5, ge=1, description="frames kept of each relaxation")
    fmax: float = Field(default=0.05, gt=0, description="force that ends a relaxation, eV/Å")
    at_least: int = Field(default=0, ge=0, le=99, description="least formula hash")
    below: int = Field(
        default=75, ge=1, le=100, description="formula hashes below this; 75..84 validate"
    )
    chunk: int = Field(default=64, ge=1, description="given crystals in a part")
    seed: int = Field(default=0, description="seed of every random choice")


@dataclass(frozen=True)
class LabelSummary:
    """What a training set holds.

    Attributes:
        parts: finished parts.
        frames: usable frames, ``first`` of them unrelaxed starts.
        atoms: atoms in them.
        rejected: frames kept out, by reason.
        held_out: given crystals whose formula hash was not asked for.
        repeated: given crystals that were given twice.
    """

    parts: int
    frames: int
    first: int
    atoms: int
    rejected: dict[str, int]
    held_out: int
    repeated: int


def label(
    crystals: Crystals,
    labeller: Labeller,
    config: LabelConfig,
    out: Path,
    *,
    origin: Mapping[str, str],
    mover: LoadedPotential | None = None,
    listener: Listener = SILENT,
) -> LabelSummary:
    """Build a training set in a folder, or go on with one that the same request began.

    Crystals are worked on from small to large.  A crystal's perturbed frames depend on it, the
    labeller and the settings alone, whatever else is given; relaxed ones also, but for rounding;
    equal substitutions of the crystals of a part are made once.

    Args:
        crystals: what to perturb, or with ``config.unrelaxed`` to relax partially.
        labeller: gives the labels.
        config: what to make.
        out: the folder.
        origin: what the labeller is, such as the name and sha256 of its weights.
        mover: relaxes partially, where that is asked for; a labelling potential does so itself
            unless another is given.  A draft goes where it errs, and learns there what is right.
        listener: hears of progress.

    Raises:
        ClaimError: if the folder holds a training set of another request.
        ValueError: if no crystal has a formula hash that was asked for, or relaxations are asked
            for and nothing is there to move.
    """
    if mover is None and isinstance(labeller, PotentialLabeller):
        mover = labeller.potential
    relaxed = config.unrelaxed or config.substitutes > 0
    if relaxed and mover is None:
        raise ValueError("partial relaxations need a potential that moves: give a mover")
    hashes = formula_hashes(crystals.reduced_formulas)
    asked = np.flatnonzero((hashes >= config.at_least) & (hashes < config.below))
    ids, firsts = np.unique(crystals.ids[asked].astype(str), return_index=True)
    if not len(ids):
        raise ValueError(
            f"none of {len(crystals)} crystals has a formula hash from {config.at_least} to "
            f"{config.below - 1}: give more crystals, or another range"
        )
    given = crystals.take(asked[firsts])
    given = given.take(np.lexsort((ids, given.n_atoms)))
    left_out = {"held_out": len(crystals) - len(asked), "repeated": len(asked) - len(given)}
    moved_by = {"moved_by": mover.scheme} if relaxed and mover is not None else {}
    request = {
        "labeller": {**origin, **moved_by},
        "scheme": labeller.scheme,
        "settings": config.model_dump(mode="json"),
        "crystals": len(given),
        "crystals_sha256": hashlib.sha256("".join(given.ids.tolist()).encode()).hexdigest(),
    }
    claim(out, request, {"left_out": left_out})
    parts = range(0, len(given), config.chunk)
    for i, start in enumerate(parts):
        part = out / f"part-{i:05d}.parquet"
        if not part.exists():
            frames, lineage = label_part(
                given[start : start + config.chunk], labeller, config, mover
            )
            # the frames come last: where they are, the part is whole
            (out / "lineage").mkdir(exist_ok=True)
            write_table(out / "lineage" / part.name, lineage)
            write_frames(part, frames)
        listener.tick("labelling", i + 1, len(parts))
    return summarise(out)


def label_part(
    given: Crystals,
    labeller: Labeller,
    config: LabelConfig,
    mover: LoadedPotential | None = None,
) -> tuple[Frames, pa.Table]:
    """Usable frames made from a few crystals, and the lineage of all (schema ``ORIGINS``)."""

    def relaxed(starts: Crystals, parents: Int64[np.ndarray, " n"], kind: str) -> Variants:
        assert mover is not None
        steps, frames = config.relax_steps, config.relax_frames
        return on_the_way(
            starts, parents, kind, mover, steps=steps, frames=frames, fmax=config.fmax
        )

    if config.unrelaxed:
        made = [relaxed(given, np.arange(len(given)), "given")]
    else:
        made = [perturbations(given, config.perturb, config.seed)]
    if config.substitutes:
        made.append(relaxed(*substituted(given, config), "substituted"))
    variants = Variants.concatenate(made)
    labels, failures = labeller.label(variants.crystals)
    unfit = unusable(variants.crystals, labels)
    # what a reader would reject, such as atoms in one place
    unread = screen(Parsed.of(variants.crystals), Limits(MAX_ATOMS, MAX_BYTES)).details
    reasons = np.select([failures != "", unfit != ""], [failures, unfit], unread)
    columns = {
        "id": variants.crystals.ids.tolist(),
        "parent_id": given.ids[variants.parent].tolist(),
        "kind": variants.kind.tolist(),
        "step": variants.step,
        "reason": [reason or None for reason in reasons.tolist()],
    }
    kept = np.flatnonzero(reasons == "")
    unrelaxed = (variants.kind == "substituted") | (config.unrelaxed & (variants.kind == "given"))
    frames = Frames.of(
        variants.crystals.take(kept),
        *labels.take(variants.crystals.offsets, kept),
        scheme=labeller.scheme,
        first=(unrelaxed & (variants.step == 0))[kept],
    )
    return frames, pa.table(columns, schema=ORIGINS)


def substituted(given: Crystals, config: LabelConfig) -> tuple[Crystals, Int64[np.ndarray, " k"]]:
    """Up to ``config.substitutes`` ionic substitutions of each crystal, and whose they are.

    All that are likely enough have equal chances.  Formulas keep to the hashes that are asked for,
    too; no element is excluded, as a potential shall know them all.
    """
    generator = SubstitutionGenerator(exclude=())
    index = {id: i for i, id in enumerate(given.ids.tolist())}
    batches, parents = [Crystals.empty()], [np.zeros(0, np.int64)]
    for chunk in generator.generate(given, seed=config.seed):
        hashes = formula_hashes(chunk.crystals.reduced_formulas)
        rows = np.flatnonzero((hashes >= config.at_least) & (hashes < config.below))
        batches.append(chunk.crystals.take(rows))
        ids = np.array(chunk.lineage["parent_id"].to_pylist(), object)[rows]
        parents.append(np.array([index[id] for id in ids], np.int64))
    children, parent = Crystals.concatenate(batches), np.concatenate(parents)
    lots = [hashlib.blake2b(f"{config.seed} {id}".encode()).hexdigest() for id in children.ids]
    drawn = np.lexsort((np.array(lots), parent))
    rank = np.arange(len(drawn)) - np.searchsorted(parent[drawn], parent[drawn])
    kept = np.sort(drawn[rank < config.substitutes])
    return children.take(kept), parent[kept]


def summarise(out: Path) -> LabelSummary:
    """What a folder of frames holds so far."""
    request = json.loads((out / "provenance.json").read_text("utf-8"))
    parts = sorted(out.glob("part-*.parquet"))
    frames = [pq.read_table(p, columns=["first", "atomic_numbers"]) for p in parts]
    lineage = [pq.read_table(out / "lineage" / p.name, columns=["reason"]) for p in parts]
    reasons = Counter(r for t in lineage for r in t["reason"].to_pylist() if r is not None)
    return LabelSummary(
        parts=len(parts),
        frames=sum(map(len, frames)),
        first=sum(sum(t["first"].to_pylist()) for t in frames),
        atoms=sum(sum(map(len, t["atomic_numbers"].to_pylist())) for t in frames),
        rejected=dict(reasons.most_common()),
        **request["left_out"],
    )
