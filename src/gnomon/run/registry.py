"""Things by name: one registry for every kind of plug-in.

A kind has a few built-in names, each with the place of its code, and takes further ones from the
entry points of installed packages.  Nothing is imported before it is asked for.
"""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Registry:
    """The names of one kind of plug-in.

    Attributes:
        kind: what it is, for messages: ``generator``.
        group: entry points of this group are plug-ins: ``gnomon.generators``.
        built_in: names to places, ``module:attribute``.
    """

    kind: str
    group: str
    built_in: Mapping[str, str]

    def names(self) -> tuple[str, ...]:
        """Names built in and of plug-ins, sorted."""
        return tuple(sorted({*self.built_in, *entry_points(group=self.group).names}))

    def check(self, name: str) -> None:
        """Nothing, if the name is known; it is not loaded.

        Raises:
            ValueError: if there is none of this name; it says which there are.
        """
        if name not in self.names():
            raise ValueError(no_such(self.kind, name, self.names()))

    def get(self, name: str) -> Any:
        """What stands under the name, imported; a plug-in cannot replace what is built in.

        Raises:
            ValueError: if there is none of this name, or a plug-in cannot be imported.
        """
        self.check(name)
        if name in self.built_in:
            return EntryPoint(name, self.built_in[name], self.group).load()
        [plugin, *_] = entry_points(group=self.group, name=name)
        try:
            return plugin.load()
        except (ImportError, AttributeError) as error:
            raise ValueError(
                f"the {self.kind} {name!r} ({plugin.value}) cannot be loaded: {error}"
            ) from error


def options_of(name: str, kind: type[M], options: Mapping[str, Any]) -> M:
    """The options of what stands under a name, checked.

    Raises:
        ValueError: for an option that does not exist or a value out of range.
    """
    try:
        return kind(**options)
    except ValidationError as error:
        said = "; ".join(
            f"{name}.{'.'.join(map(str, e['loc']))} = {e['input']!r}: {e['msg']}"
            for e in error.errors()
        )
        raise ValueError(f"{said} (options of {name}: {', '.join(kind.model_fields)})") from error


def no_such(kind: str, name: str, names: Iterable[str]) -> str:
    """The message about an unknown name: what there is, and what was probably meant.

    >>> no_such("model", "structural-3", ["composition-1", "structural-2"])
    "no model 'structural-3' (did you mean structural-2?): there are composition-1, structural-2"
    """
    there = list(names)
    meant = closest(name, there)
    hint = f" (did you mean {meant}?)" if meant else ""
    return f"no {kind} {name!r}{hint}: there are {', '.join(there)}"


def closest(name: str, names: Iterable[str]) -> str | None:
    """The name that was probably meant, whatever its case and its hyphens.

    >>> closest("Structural_2", ["composition-1", "structural-2"])
    'structural-2'
    """
    plain = {one.casefold().replace("_", "-"): one for one in names}
    found = difflib.get_close_matches(name.casefold().replace("_", "-"), plain, n=1)
    return plain[found[0]] if found else None
