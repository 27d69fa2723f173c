"""Sizes in the footer of a Parquet file, read without pyarrow.

pyarrow ends the whole process (``std::terminate``) where a damaged footer holds histograms of
another length than its columns have levels, and no exception can be caught.  A footer is a struct
of Thrift's compact protocol, of which plain numbers are wanted here.
"""

from collections.abc import Callable, Iterator
from functools import partial
from io import BufferedReader
from typing import Any, NamedTuple

MAX_DEPTH = 32
"""Structs within structs; a footer has six."""

_VARINT = 10
"""Bytes of the longest whole number."""


class FooterError(ValueError):
    """Bytes that are no footer."""


class Column(NamedTuple):
    """A column of a row group: its name, its values, and its bytes once decompressed."""

    name: str
    values: int
    size: int


class RowGroup(NamedTuple):
    """Rows that are stored together."""

    rows: int
    columns: list[Column]


def row_groups(file: BufferedReader, largest: int) -> list[RowGroup]:
    """What the footer of a file says of its row groups.

    Raises:
        FooterError: if it is damaged, or longer than ``largest`` bytes.
    """
    size = file.seek(0, 2)
    file.seek(max(size - 8, 0))
    tail = file.read(8)
    length = int.from_bytes(tail[:4], "little")
    if tail[4:] != b"PAR1" or length > min(size - 8, largest):
        raise FooterError("no footer of Parquet at the end of the file")
    file.seek(size - 8 - length)
    try:
        return list(_groups(_Thrift(file.read(length)).struct()))
    except (LookupError, TypeError, AttributeError, UnicodeError) as error:
        raise FooterError(f"a damaged footer: {error}") from error


def _groups(footer: dict[int, Any]) -> Iterator[RowGroup]:
    for group in footer.get(4, ()):
        chunks = [column[3] for column in group[1]]
        columns = [Column(c[3][0].decode(), int(c[5]), int(c[6])) for c in chunks]
        yield RowGroup(int(group[3]), columns)


class _Thrift:
    """Values of the compact protocol: structs as dictionaries by field number."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def struct(self, depth: int = 0) -> dict[int, Any]:
        if depth > MAX_DEPTH:
            raise FooterError("too deep")
        found: dict[int, Any] = {}
        number = 0
        while kind := self._byte():
            number = number + (kind >> 4) if kind >> 4 else self._whole()
            found[number] = self._value(kind & 15, depth)
        return found

    def _value(self, kind: int, depth: int) -> Any:
        if kind in (1, 2):
            return kind == 1
        if kind == 12:
            return self.struct(depth + 1)
        readers: dict[int, Callable[[], Any]] = {
            3: self._byte,
            **dict.fromkeys((4, 5, 6), self._whole),
            7: partial(self._bytes, 8),
            8: lambda: self._bytes(self._varint()),
            **dict.fromkeys((9, 10), partial(self._list, depth)),
        }
        if kind not in readers:
            raise FooterError(f"a value of the kind {kind}")
        return readers[kind]()

    def _list(self, depth: int) -> list[Any]:
        head = self._byte()
        count = self._varint() if head >> 4 == 15 else head >> 4
        if count > len(self._data) - self._at:  # each takes a byte at least
            raise FooterError(f"a list of {count}")
        if head & 15 in (1, 2):
            return [self._byte() == 1 for _ in range(count)]
        return [self._value(head & 15, depth + 1) for _ in range(count)]

    def _byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def _bytes(self, count: int) -> bytes:
        if count > len(self._data) - self._at:
            raise FooterError(f"{count} bytes beyond the end")
        self._at += count
        return self._data[self._at - count : self._at]

    def _varint(self) -> int:
        value = 0
        for place in range(_VARINT):
            byte = self._byte()
            value |= (byte & 127) << 7 * place
            if byte < 128:
                return value
        raise FooterError("a number of more than 64 bits")

    def _whole(self) -> int:
        """A signed number: 0, -1, 1, -2 ... as 0, 1, 2, 3."""
        value = self._varint()
        return value >> 1 ^ -(value & 1)
