"""Checks of settings that several rooms have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import AfterValidator


def read_by(parse: Callable[[str], Any]) -> AfterValidator:
    """Texts of a setting that a parser can read; they stay as they are.

    >>> from typing import Annotated
    >>> from pydantic import TypeAdapter
    >>> TypeAdapter(Annotated[tuple[str, ...], read_by(int)]).validate_python(("1", "2"))
    ('1', '2')

    Args:
        parse: raises ``ValueError`` for what it cannot read, which names the text.
    """

    def check(texts: tuple[str, ...]) -> tuple[str, ...]:
        for text in texts:
            parse(text)
        return texts

    return AfterValidator(check)
