"""What is explored: campaign folders and files of crystals, and how to tell that they changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gnomon import __version__
from gnomon.io.sources import find
from gnomon.run.files import cache_folder
from gnomon.run.manifest import MANIFEST
from gnomon.run.store import Store

FORMAT = 2
"""Of the index; a new one makes all indexes anew."""


@dataclass(frozen=True)
class Collection:
    """A campaign folder, or one source of crystals.

    Attributes:
        name: unique among those that are explored.
        path: as given, absolute.
        campaign: whether it is the folder of one.
    """

    name: str
    path: Path
    campaign: bool

    @property
    def files(self) -> Iterator[Path]:
        """What the index of it is made from."""
        if not self.campaign:
            yield from (Path(source.name) for source in find(str(self.path), None))
            return
        yield self.path / "provenance.json"
        manifest = self.path / MANIFEST  # names every shard and marker with its sha256
        shards = self.path.glob("*/round=*/*")  # of a campaign from before there were manifests
        yield from [manifest] if manifest.exists() else sorted(shards)
        yield from sorted((self.path / "tables").glob("*.parquet"))

    @property
    def fingerprint(self) -> str:
        """Changes when a file does: a hash of names, sizes and times of change, and the versions.

        Raises:
            OSError: if a file is not there.
        """
        stats = [(str(path), path.stat()) for path in self.files]
        said = [FORMAT, __version__, [(name, s.st_size, s.st_mtime_ns) for name, s in stats]]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()

    @property
    def index_path(self) -> Path:
        """Where its index is kept: in gnomon's cache, as the folder itself is only read."""
        key = hashlib.sha256(f"{self.campaign} {self.path}".encode()).hexdigest()[:24]
        return cache_folder() / "explore" / f"{key}.parquet"

    @property
    def embeddings_path(self) -> Path:
        """Where embeddings of its crystals are kept, once they were made."""
        return self.index_path.with_suffix(".embeddings.parquet")


def collections_of(given: Sequence[str]) -> tuple[Collection, ...]:
    """The campaigns and sources of crystals that these paths name.

    Raises:
        InputError: if one is neither.
    """
    found: list[Collection] = []
    for text in given:
        path = Path(text).expanduser().absolute()
        campaign = path.is_dir() and Store(path).exists
        if not campaign:
            find(str(path), None)
        stem = path.name.removeprefix("campaign-") if campaign else path.name
        taken = {one.name for one in found}
        numbered = (f"{stem} ({n})" for n in range(2, len(given) + 2))
        name = stem if stem not in taken else next(n for n in numbered if n not in taken)
        found.append(Collection(name, path, campaign))
    return tuple(found)
