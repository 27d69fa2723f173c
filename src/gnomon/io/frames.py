"""``Frames``: crystals with energy, forces and stress of ONE energy scheme; their files."""

from __future__ import annotations

import dataclasses
import gzip
import io
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Bool, Float, Float64, Int, Shaped

from gnomon.crystals import Crystals, chosen_rows
from gnomon.io.arrow import to_arrow
from gnomon.io.checks import screen
from gnomon.io.frame_readers import Columns, files, parsed
from gnomon.io.labels import SCHEME_KEY, Labels
from gnomon.io.objects import as_crystals, to_ase
from gnomon.io.plausible import looked_at
from gnomon.io.reading import CHUNK, MAX_ATOMS, MAX_BYTES
from gnomon.io.reasons import REJECTS, InputError, Reason
from gnomon.io.records import Limits, Parsed
from gnomon.io.sources import Source
from gnomon.ragged import ragged_take
from gnomon.run.files import write_atomically


@dataclass(frozen=True, eq=False)
class Frames:
    """A batch of n labelled crystals in columns, all of one energy scheme.  Arrays are read-only.

    >>> salt = Crystals.single(5.64 * np.eye(3), [11, 17], [[0, 0, 0], [0.5, 0.5, 0.5]])
    >>> frames = Frames.of(salt, np.array([-6.7]), np.zeros((2, 3)), scheme="PBE")
    >>> len(frames), str(frames.group[0]), bool(np.isnan(frames.stress).all())
    (1, 'NaCl', True)

    Attributes:
        crystals: the geometries.
        energy: (n,), total energy of each cell, eV.
        forces: (atoms, 3), eV/Å; NaN throughout a crystal whose source has none.
        stress: (n, 3, 3), eV/Å^3 in ASE's sign (positive under tension); NaN where there is none.
        first: (n,), whether the frame is the unrelaxed start of a relaxation, far from equilibrium.
        group: (n,), reduced formula: what ``gnomon.learn.split`` splits by.
        scheme: the energy scheme of all of them.

    Raises:
        ValueError: if shapes disagree, an energy is not finite, or the scheme is empty.
    """

    crystals: Crystals
    energy: Float[np.ndarray, " n"]
    forces: Float[np.ndarray, "atoms 3"]
    stress: Float[np.ndarray, "n 3 3"]
    first: Bool[np.ndarray, " n"]
    group: Shaped[np.ndarray, " n"]
    scheme: str

    def __post_init__(self) -> None:
        n, atoms = len(self.crystals), int(self.crystals.offsets[-1])
        shapes = {"energy": (n,), "forces": (atoms, 3), "stress": (n, 3, 3), "first": (n,)}
        for name, shape in {**shapes, "group": (n,)}.items():
            given = getattr(self, name)
            if given.shape != shape:
                raise ValueError(f"Frames takes {name} of shape {shape}, not {given.shape}")
            kind = {"first": np.bool_, "group": np.object_}.get(name, np.float64)
            frozen = np.array(given, kind)
            frozen.setflags(write=False)
            object.__setattr__(self, name, frozen)
        if not np.isfinite(self.energy).all():
            raise ValueError("Frames takes finite energies: leave frames without one out")
        if not self.scheme:
            raise ValueError("Frames takes the name of an energy scheme, such as 'PBE+U, MPtrj'")

    @classmethod
    def of(
        cls,
        crystals: Any,
        energy: Float[np.ndarray, " n"],
        forces: Float[np.ndarray, "atoms 3"] | None = None,
        stress: Float[np.ndarray, "n 3 3"] | None = None,
        *,
        scheme: str,
        first: Bool[np.ndarray, " n"] | None = None,
    ) -> Frames:
        """Frames of crystals of any kind (``as_crystals``), grouped by reduced formula.

        What is not given is NaN (``first``: False); shapes and units are those of the columns.
        """
        crystals = as_crystals(crystals)
        none = Labels.none(len(crystals), int(crystals.offsets[-1]))
        return cls(
            crystals,
            energy,
            none.forces if forces is None else forces,
            none.stress if stress is None else stress,
            np.zeros(len(crystals), bool) if first is None else first,
            crystals.reduced_formulas,
            scheme,
        )

    @staticmethod
    def concatenate(batches: Sequence[Frames]) -> Frames:
        """One batch out of several, in order.

        Raises:
            ValueError: if there are none, or if their energy schemes differ.
        """
        schemes = list(dict.fromkeys(b.scheme for b in batches))
        if len(schemes) != 1:
            names = " and ".join(repr(s) for s in schemes)
            raise ValueError(
                f"frames of the schemes {names} are not comparable: train on one of them at a time"
                if schemes
                else "no frames to concatenate"
            )
        columns = ("energy", "forces", "stress", "first", "group")
        joined = {name: np.concatenate([getattr(b, name) for b in batches]) for name in columns}
        crystals = Crystals.concatenate([b.crystals for b in batches])
        return Frames(crystals, scheme=schemes[0], **joined)

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.crystals)

    def take(self, index: Sequence[int] | Int[np.ndarray, " k"] | Bool[np.ndarray, " n"]) -> Frames:
        """The frames at these indices, or where a Boolean mask is true, in order."""
        chosen = chosen_rows(index, len(self))
        labels = Labels(self.energy, self.forces, self.stress).take(self.crystals.offsets, chosen)
        crystals = self.crystals.take(chosen)
        return Frames(crystals, *labels, self.first[chosen], self.group[chosen], self.scheme)

    @property
    def energy_per_atom(self) -> Float64[np.ndarray, " n"]:
        """eV/atom."""
        return self.energy / self.crystals.n_atoms

    @property
    def has_forces(self) -> Bool[np.ndarray, " n"]:
        """Whether each frame has forces."""
        without = np.isnan(self.forces).any(axis=1)
        return np.bincount(self.crystals.crystal_index[without], minlength=len(self)) == 0

    @property
    def has_stress(self) -> Bool[np.ndarray, " n"]:
        """Whether each frame has a stress."""
        return np.isfinite(self.stress).all(axis=(1, 2))


@dataclass(frozen=True)
class ReadFrames:
    """What was read: n accepted + n rejected = n frames found.

    Attributes:
        frames: the accepted ones.
        rejects: the others, each with its reason (schema ``gnomon.io.REJECTS``).
        warnings: of how many frames each warning is, such as of labels that are not read.
    """

    frames: Frames
    rejects: pa.Table
    warnings: Counter[str] = field(default_factory=Counter)


def read_frames(
    sources: str | Path | Sequence[str | Path],
    *,
    scheme: str | None = None,
    max_atoms: int = MAX_ATOMS,
) -> ReadFrames:
    """Frames of files, or of the files that lie directly in folders, such as those of a label run.

    Parquet (as ``write_frames`` writes it), extended XYZ (energy in eV, forces in eV/Å, a stress in
    eV/Å^3 or a virial in eV, of 9 or 6 numbers) and JSON (a list of documents with a pymatgen
    ``structure`` and an uncorrected total ``energy``), each also as ``.gz``.

    Args:
        sources: one or several paths.
        scheme: the energy scheme of files that do not name theirs.
        max_atoms: atoms beyond which a frame is rejected as too large.

    Raises:
        ValueError: if a source is not there, holds no frames or is of two schemes, or if ``scheme``
            is neither named by the file nor given, or named by both and different.
    """
    results = list(iter_frames(sources, scheme=scheme, max_atoms=max_atoms))
    rejects = pa.concat_tables([REJECTS.empty_table(), *(r.rejects for r in results)])
    frames = [r.frames for r in results if len(r.frames)]
    if not frames:
        reasons = rejects["reason"].to_pylist()
        raise InputError(
            f"{sources}: no frames; {len(rejects)} rejected"
            + (f", the first as {reasons[0]}: {rejects['detail'][0]}" if reasons else "")
        )
    said = sum((r.warnings for r in results), Counter[str]())
    return ReadFrames(Frames.concatenate(frames), rejects, said)


def iter_frames(
    sources: str | Path | Sequence[str | Path],
    *,
    scheme: str | None = None,
    max_atoms: int = MAX_ATOMS,
    chunk: int = CHUNK,
) -> Iterator[ReadFrames]:
    """What ``read_frames`` returns, file by file, about ``chunk`` frames at a time.

    Raises:
        ValueError: as ``read_frames`` does, except that two files may be of two schemes.
    """
    limits = Limits(max_atoms, MAX_BYTES)
    for source in files(sources):
        for columns in parsed(source, limits, chunk):
            yield _accept(source, columns, limits, scheme)


def write_frames(path: str | Path, frames: Frames, *, overwrite: bool = False) -> None:
    """Write frames as ``.parquet`` (exact), ``.extxyz`` or ``.extxyz.gz`` (8 decimals).

    Raises:
        FileExistsError: if the path exists and ``overwrite`` is not set.
        ValueError: for another suffix.
    """
    target = Path(path)
    suffix = "".join(target.suffixes[-2:] if target.suffix == ".gz" else [target.suffix])
    if suffix not in _WRITERS:
        raise InputError(f"{target}: frames are written as one of {', '.join(_WRITERS)}")
    if target.exists() and not overwrite:
        raise FileExistsError(f"{target} exists: choose another name, or pass overwrite=True")
    write_atomically(target, _WRITERS[suffix](frames))


def _accept(source: Source, columns: Columns, limits: Limits, scheme: str | None) -> ReadFrames:
    """Check geometries and labels; a frame that fails becomes a reject."""
    parsed = screen(columns.parsed, limits)
    if source.format != "parquet":  # of which there may be millions
        parsed = looked_at(parsed)
    parsed = _check_labels(parsed, columns.labels)
    kept = np.flatnonzero(parsed.reasons == None)  # noqa: E711  (elementwise)
    atoms, offsets = ragged_take(parsed.offsets, kept)
    crystals = Crystals(
        parsed.lattice[kept], parsed.atomic_numbers[atoms], parsed.frac_coords[atoms], offsets
    )
    frames = Frames.of(
        crystals,
        *columns.labels.take(parsed.offsets, kept),
        scheme=_scheme(source.name, columns.scheme, scheme),
        first=columns.first[kept],
    )
    said = Counter(
        part for text in parsed.labels["warnings"].to_pylist() if text for part in text.split("; ")
    )
    return ReadFrames(frames, parsed.rejects(), said)


def _check_labels(parsed: Parsed, labels: Labels) -> Parsed:
    """Reasons for frames without an energy, and for labels that are infinite or partly NaN."""
    n = len(parsed.reasons)
    atoms_of = np.repeat(np.arange(n), np.diff(parsed.offsets))
    missing = np.bincount(atoms_of[np.isnan(labels.forces).any(axis=1)], minlength=n)
    given = np.bincount(atoms_of[np.isfinite(labels.forces).any(axis=1)], minlength=n)
    infinite = np.bincount(atoms_of[np.isinf(labels.forces).any(axis=1)], minlength=n) > 0
    infinite |= np.isinf(labels.energy) | np.isinf(labels.stress).any(axis=(1, 2))
    holes = np.isnan(labels.stress)
    partial_labels = ((missing > 0) & (given > 0)) | (
        holes.any(axis=(1, 2)) & ~holes.all(axis=(1, 2))
    )
    reasons, details = parsed.reasons.copy(), parsed.details.copy()
    for bad, reason, detail in (
        (infinite, Reason.not_finite, "an energy, a force or a stress is infinite"),
        (partial_labels, Reason.not_finite, "some forces or stresses are NaN, others are not"),
        (np.isnan(labels.energy), Reason.incomplete, "no energy"),
    ):
        new = bad & (reasons == None)  # noqa: E711  (elementwise)
        reasons[new], details[new] = reason, detail
    return dataclasses.replace(parsed, reasons=reasons, details=details)


def _scheme(source: str, own: str | None, given: str | None) -> str:
    if own and given and own != given:
        raise InputError(f"{source}: its energies are of the scheme {own!r}, not {given!r}")
    if not own and not given:
        raise InputError(
            f"{source} does not name its energy scheme: say scheme=, such as 'PBE+U, MPtrj'"
        )
    return own or given or ""


# --- writing ----------------------------------------------------------------------------------


def _parquet(frames: Frames) -> bytes:
    offsets = pa.array(frames.crystals.offsets * 3, pa.int32())
    table = to_arrow(frames.crystals)
    for name, column in {
        "energy": pa.array(frames.energy),  # eV, of the whole cell
        "forces": pa.ListArray.from_arrays(offsets, pa.array(frames.forces.reshape(-1))),
        "stress": pa.FixedSizeListArray.from_arrays(pa.array(frames.stress.reshape(-1)), 9),
        "first": pa.array(frames.first),
    }.items():
        table = table.append_column(name, column)
    table = table.replace_schema_metadata({SCHEME_KEY: frames.scheme})
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def _text(frames: Frames) -> bytes:
    """Extended XYZ."""
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.io.extxyz import write_xyz

    file = io.StringIO()
    has_forces, has_stress = frames.has_forces, frames.has_stress
    for i, atoms in enumerate(to_ase(frames.crystals)):
        own = slice(*frames.crystals.offsets[i : i + 2].tolist())
        labels: dict[str, Any] = {"energy": float(frames.energy[i])}
        if has_forces[i]:
            labels["forces"] = frames.forces[own]
        if has_stress[i]:
            labels["stress"] = frames.stress[i][[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
        atoms.calc = SinglePointCalculator(atoms, **labels)
        facts = {"id": frames.crystals.ids[i], "first": bool(frames.first[i])}
        atoms.info |= {**facts, SCHEME_KEY: frames.scheme}
        write_xyz(file, [atoms])
    return file.getvalue().encode()


_WRITERS: dict[str, Callable[[Frames], bytes]] = {
    ".parquet": _parquet,
    ".extxyz": _text,
    ".extxyz.gz": lambda frames: gzip.compress(_text(frames), mtime=0),
}
