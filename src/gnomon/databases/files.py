"""Files of crystals, of any format that gnomon reads, as a source of reference phases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gnomon.databases.answers import Answer, Answers, Fetched
from gnomon.databases.systems import System
from gnomon.io.sources import find
from gnomon.run.files import sha256_of
from gnomon.run.listener import Listener


@dataclass(frozen=True)
class Files:
    """A file, a folder or a glob.

    Attributes:
        name: as given.
    """

    name: str

    def fetch(self, systems: Sequence[System], answers: Answers, listener: Listener) -> Fetched:
        """Take the checksums; the files stay where they are.

        Raises:
            InputError: if there is no such file.
        """
        paths = [Path(source.name).resolve() for source in find(self.name, None)]
        found = [Answer(path=str(path), sha256=sha256_of(path)) for path in paths]
        return Fetched.now(found, source=self.name, kind="file", provider=self.name)
