"""Sizes in the footer of a Parquet file, read without pyarrow.

pyarrow ends the whole process (``std::terminate``) where a damaged footer holds histograms of
another length than its columns have levels, and no exception can be caught.  A footer is a struct
of Thrift's compact protocol, of which plain numbers are wanted here.
"""

from collections.abc import Callable, Iterator
from io import BufferedReader
from typing import Any, NamedTuple

MAX_DEPTH = 32
"""Structs within structs; a footer has six."""

LARGEST = 16_000_000
"""Bytes of a footer: of 5,000 row groups of 20 columns and more."""

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


def row_groups(file: BufferedReader) -> list[RowGroup]:
    """What the footer of a file says of its row groups.

    Raises:
        FooterError: if it is damaged, or longer than ``LARGEST`` bytes.
    """
    size = file.seek(0, 2)
    file.seek(max(size - 8, 0))
    tail = file.read(8)
    length = int.from_bytes(tail[:4], "little")
    if tail[4:] != b"PAR1" or length > size - 8:
        raise FooterError("no footer of Parquet at the end of the file")
    if length > LARGEST:
        raise FooterError(f"a footer of {length} bytes: write the file in fewer row groups")
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
        self._readers: dict[int, Callable[[int], Any]] = {
            1: lambda _: True,
            2: lambda _: False,
            3: lambda _: self._byte(),
            **dict.fromkeys((4, 5, 6), lambda _: self._whole()),
            7: lambda _: self._bytes(8),
            8: lambda _: self._bytes(self._varint()),
            **dict.fromkeys((9, 10), self._list),
            12: self.struct,
        }

    def struct(self, depth: int = 0) -> dict[int, Any]:
        """Fields of a struct, by their numbers."""
        if depth > MAX_DEPTH:
            raise FooterError("too deep")
        found: dict[int, Any] = {}
        number = 0
        while kind := self._byte():
            number = number + (kind >> 4) if kind >> 4 else self._whole()
            found[number] = self._reader(kind)(depth + 1)
        return found

    def _reader(self, kind: int) -> Callable[[int], Any]:
        """What reads a value of this kind, within structs so deep."""
        if (reader := self._readers.get(kind & 15)) is None:
            raise FooterError(f"a value of the kind {kind & 15}")
        return reader

    def _list(self, depth: int) -> list[Any]:
        head = self._byte()
        count = self._varint() if head >> 4 == 15 else head >> 4
        if count > len(self._data) - self._at:  # each takes a byte at least
            raise FooterError(f"a list of {count}")
        if head & 15 in (1, 2):
            return [self._byte() == 1 for _ in range(count)]
        reader = self._reader(head)
        return [reader(depth + 1) for _ in range(count)]

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
