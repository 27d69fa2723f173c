"""A static copy of the explorer: the pages over files, for any web server and under any path."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from gnomon.explore.answers import ABOUT, ANSWERS, Answer, Asked, MissingError
from gnomon.explore.explorer import Explorer
from gnomon.explore.files import WRITERS
from gnomon.explore.index import Index
from gnomon.explore.pages import front
from gnomon.explore.query import QueryError
from gnomon.explore.security import POLICY
from gnomon.hull.phases import MissingElementError
from gnomon.run.files import remove, renamed
from gnomon.run.listener import SILENT, Listener

MOST_EXPORTED = 100_000
"""Crystals of an export: browsers hold the columns of a search in memory."""

SHARD = 25
"""Answers of a file, about: one is fetched whole for each of them."""

DATA = "data"
"""The folder of the answers."""

TEXTS = "texts"
"""The folder of the crystals as CIF and extended XYZ."""

SECONDS = 0.05
"""Of one core that a crystal takes (``benchmarks/explore.py --export``)."""

LONG = 2000
"""Crystals from which on it is said how long it takes."""

ABOUT_FILE = "about.json.gz"


@dataclass(frozen=True)
class Exported:
    """What an export wrote.

    Attributes:
        crystals, files, megabytes: how much.
    """

    crystals: int
    files: int
    megabytes: float

    def __str__(self) -> str:
        """In a line."""
        return f"{self.crystals} crystals in {self.files} files, {self.megabytes} MB"


def export(explorer: Explorer, out: Path, listener: Listener = SILENT) -> Exported:
    """Write the pages and all that they ask into a folder, of which an earlier export is replaced.

    Raises:
        ValueError: for more than ``MOST_EXPORTED`` crystals, or a folder with other files.
    """
    index = explorer.index
    if len(index) > MOST_EXPORTED:
        raise ValueError(
            f"{len(index)} crystals: an export holds {MOST_EXPORTED}; gnomon explore serves more"
        )
    if len(index) > LONG:
        minutes = len(index) * SECONDS / 60
        listener.say(f"writing {len(index)} crystals: about {minutes:.0f} minutes of one core")
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not _earlier(out))):
        raise ValueError(f"{out} is there and is no export: name another folder")
    with renamed(out) as folder:
        folder.mkdir()
        for name, page in front(POLICY).items():
            (folder / name).write_bytes(page)
        data = folder / DATA
        held = {one.name: _answers(explorer, one, data, listener) for one in ANSWERS[1:]}
        held[TEXTS] = _texts(index, data, listener)
        _columns(index, data)
        about = ABOUT.of(explorer, {}) | {
            "files": held,
            "most": {name: most for name, (_, _, most) in WRITERS.items()},
        }
        _write(data / ABOUT_FILE, about)
        remove(out)
    written = [path for path in out.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in written)
    return Exported(len(index), len(written), round(size / 1e6, 1))


def _earlier(out: Path) -> bool:
    return (out / DATA / ABOUT_FILE).exists()


def _answers(explorer: Explorer, answer: Answer, data: Path, listener: Listener) -> dict[str, Any]:
    subject = next(iter(answer.parameters), "")
    whole = f"{{{subject}}}" in answer.path

    def key(asked: Asked) -> str:
        return (
            asked[subject] if whole else "&".join("=".join(pair) for pair in sorted(asked.items()))
        )

    groups = list(answer.asked(explorer))
    found = (
        (group[0].get(subject, ""), [key(one) for one in group], _asked(explorer, answer, group[0]))
        for group in groups
    )
    subjects = {group[0].get(subject, "") for group in groups}
    shards = _shards(found, data / answer.name, len(subjects), listener)
    return {"subject": subject, "shards": shards}


def _asked(explorer: Explorer, answer: Answer, asked: Asked) -> Any:
    """The answer, or why there is none, as the server says it."""
    try:
        return answer.of(explorer, asked)
    except (QueryError, MissingError, MissingElementError) as error:
        return {"error": str(error)}


def _texts(index: Index, data: Path, listener: Listener) -> dict[str, Any]:
    found = (
        (
            key,
            [key],
            {name: "".join(writer(index, [row])) for name, (writer, _, _) in WRITERS.items()},
        )
        for key, row in index.row_of.items()
    )
    return {"subject": "id", "shards": _shards(found, data / TEXTS, len(index), listener)}


def shard_of(text: str, shards: int) -> int:
    """The shard of a subject, as ``files.js`` looks for it.

    >>> shard_of("Au-Cu", 7)
    5
    """
    number = 0
    for byte in text.encode():
        number = (number * 31 + byte) % 2**32
    return number % shards


def _shards(
    found: Iterator[tuple[str, list[str], Any]], folder: Path, subjects: int, listener: Listener
) -> int:
    """Write subject, keys and answer of each into files; how many."""
    count = max(1, -(-subjects // SHARD))
    keys: list[dict[str, int]] = [{} for _ in range(count)]
    answers: list[list[bytes]] = [[] for _ in range(count)]
    for done, (subject, names, answer) in enumerate(found):
        at = shard_of(subject, count)
        keys[at] |= dict.fromkeys(names, len(answers[at]))
        answers[at].append(orjson.dumps(answer))
        listener.tick(f"writing {folder.name}", done + 1, subjects)
    for number in range(count):
        body = b'{"keys":%b,"answers":[%b]}' % (
            orjson.dumps(keys[number]),
            b",".join(answers[number]),
        )
        _write_bytes(folder / f"{number}.json.gz", body)
    return count


def _columns(index: Index, data: Path) -> None:
    for number, column in enumerate(index.columns.values()):
        values = column.values.tolist()  # a number that is none becomes null
        _write(data / "columns" / f"{number}.json.gz", {"values": values, "words": column.words})


def _write(path: Path, value: Any) -> None:
    _write_bytes(path, orjson.dumps(value))


def _write_bytes(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data, 6, mtime=0))
