"""Functions as commands: options from settings, the listener, and what is printed in the end.

Parameters are arguments of the command, those after ``*`` its options; what the docstring says of
them under "Args" is their help.  A parameter that is annotated with a pydantic model (or with a
dataclass such as a generator) becomes the options that stand for its fields: their names, types,
defaults and help are those of the fields, and the command gets the validated model.  ``Section``
says which fields and by which names; ``Given`` asks for what the user gave instead, where defaults
come from elsewhere.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from types import GenericAlias, UnionType
from typing import Annotated, Any, Generic, TypeVar, Union, get_args, get_origin
from typing import get_type_hints as hints_of

import typer
from pydantic import BaseModel, ValidationError
from typer.models import ParameterInfo

from gnomon.cli.terminal import listening, put_json, put_table, say
from gnomon.run.listener import Listener

M = TypeVar("M")


class CommandError(ValueError):
    """Arguments that make no sense, alone or together."""


@dataclass(frozen=True)
class Output:
    """What a command found.

    Attributes:
        data: printed as JSON with ``--json``.
        shown: the same for people, on stdout: rows of a table, texts; ``data`` if it is a list.
        said: lines on stderr.
        code: exit code.
    """

    data: Any
    shown: tuple[Sequence[Mapping[str, Any]] | str, ...] = ()
    said: tuple[str, ...] = ()
    code: int = 0

    def put(self, as_json: bool) -> None:
        """Print it."""
        if as_json:
            put_json(self.data)
        else:
            for one in self.shown or ((self.data,) if isinstance(self.data, list) else ()):
                print(one) if isinstance(one, str) else put_table(one)
        for line in self.said:
            say(line)


@dataclass(frozen=True)
class Section:
    """Which fields of a model are options, and how they are called.

    Attributes:
        only: fields with dots, such as ``budget.minutes``; empty for all.
        names: fields to what they are called, where that is not ``--`` and the field's name.
        defaults: fields to this command's own defaults.
        without: fields that are no options.
    """

    only: tuple[str, ...] = ()
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    without: tuple[str, ...] = ()


@dataclass(frozen=True)
class Given(Generic[M]):
    """What the user gave of the fields of a model.

    Attributes:
        model: the model.
        values: fields, with dots, to values.
        options: all fields that are options to their names, for messages.
    """

    model: type[M]
    values: dict[str, Any]
    options: dict[str, str]

    def over(self, base: BaseModel | None = None, **more: Any) -> M:
        """The model with these values on top of those of ``base``.

        Raises:
            CommandError: for a value out of range; it names the option.
        """
        nested = {} if base is None else base.model_dump()
        for path, value in {**self.values, **more}.items():
            *sections, name = path.split(".")
            place = nested
            for section in sections:
                place[section] = place.get(section) or {}
                place = place[section]
            place[name] = value
        try:
            return self.model(**nested)
        except ValidationError as error:
            raise CommandError("; ".join(map(self._explain, error.errors()))) from error

    def _explain(self, error: Any) -> str:
        path = ".".join(part for part in error["loc"] if isinstance(part, str))
        option, message = self.options.get(path), error["msg"].removeprefix("Value error, ")
        if option is None:
            return message
        said = "" if error["type"] == "value_error" else f" {error['input']}"
        return f"{option}{said}: {message}"


@dataclass(frozen=True)
class _Option:
    """A field of a model as an option."""

    path: str
    declared: tuple[str, ...]
    annotation: Any
    default: Any
    about: str
    fixed: bool

    @property
    def name(self) -> str:
        return self.path.rpartition(".")[2]

    def parameter(self) -> inspect.Parameter:
        """The same for Typer."""
        kind: Any = _plain(self.annotation)
        default = self.default
        if get_origin(kind) is tuple and get_args(kind)[1:] == (...,):
            one = _plain(get_args(kind)[0])
            kind = GenericAlias(list, (str if _is_model(one) else one,))
            default = list(default) if isinstance(default, tuple) else default and [default]
            default = default or None
        elif get_origin(kind) is dict:
            kind, default = list[str], None
        declared = self.declared
        if kind is bool and default:
            declared = tuple(f"{name}/--no-{name[2:]}" for name in declared)
        kind = kind | None if default is None else kind
        annotation = Annotated[kind, typer.Option(*declared, help=sentence(self.about))]
        return _keyword(self.name, annotation, default)

    def value(self, given: Any) -> Any:
        """What the field takes."""
        kind = get_origin(_plain(self.annotation))
        if kind is dict:
            return named_values(given or (), self.declared[0])
        return tuple(given) if kind is tuple and given is not None else given


def as_command(function: Callable[..., Any]) -> Callable[..., int]:
    """The function as Typer takes it: all options in its signature, its output printed."""
    hints = hints_of(function, include_extras=True)
    sections: dict[str, tuple[Any, bool, list[_Option]]] = {}
    parameters = [_keyword("context", typer.Context, inspect.Parameter.empty)]
    about = _described(function, "Args")
    for parameter in inspect.signature(function).parameters.values():
        model, section, raw = _section(hints[parameter.name])
        if model is not None:
            options = list(_options(model, section, raw))
            sections[parameter.name] = (model, raw, options)
            parameters += [option.parameter() for option in options]
        elif hints[parameter.name] is not Listener:
            parameters.append(_plain_parameter(parameter, hints[parameter.name], about))
    shows = hints["return"] is Output
    if shows:
        shown = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
        parameters.append(_keyword("json", shown, False))
    names = [parameter.name for parameter in parameters]
    assert len(set(names)) == len(names), f"{function.__name__}: an option stands twice: {names}"

    def command(context: Any, **values: Any) -> int:
        as_json = shows and values.pop("json")
        for name, (model, raw, options) in sections.items():
            given = {}
            for option in options:
                value = values.pop(option.name)
                if option.fixed or _is_given(context, option.name):
                    given[option.path] = option.value(value)
            found = Given(model, given, {option.path: option.declared[0] for option in options})
            values[name] = found if raw else found.over()
        with listening(context.obj) as listener:
            heard = {"listener": listener} if Listener in hints.values() else {}
            output = function(**values, **heard)
        if output is None:
            return 0
        output.put(as_json)
        return int(output.code)

    command.__name__ = function.__name__
    command.__doc__ = re.sub(r"\n +Args:\n(?: {8,}.*\n|\n)*", "\n", function.__doc__ or "")
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return command


def named_values(texts: Iterable[str], option: str) -> dict[str, Any]:
    """Values by name from ``NAME=VALUE`` or objects of JSON; a value is JSON, or else text.

    >>> named_values(["model=7net-l3i5", "cutoff=6", '{"device": "cpu"}'], "--option")
    {'model': '7net-l3i5', 'cutoff': 6, 'device': 'cpu'}

    Raises:
        CommandError: if a text is neither.
    """
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        try:
            found |= json.loads(text if text.startswith("{") else f'{{"{name}": {value}}}')
        except ValueError as error:
            if not equals or text.startswith("{") or not name.isidentifier():
                raise CommandError(
                    f"{option} {text!r}: give NAME=VALUE, as in cutoff=6, or an object of JSON"
                ) from error
            found[name] = value
    return found


def sentence(text: str) -> str:
    """A description as help: it begins with a capital, but for names, and ends with a full stop."""
    first = text[:1] if "_" in text.partition(" ")[0] else text[:1].upper()
    return f"{first}{text[1:].rstrip('.')}." if text else ""


def _keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=default, annotation=annotation)


def _plain_parameter(
    parameter: inspect.Parameter, hint: Any, about: Mapping[str, str]
) -> inspect.Parameter:
    """An argument, or where it is keyword-only an option: ``from_`` is called ``--from``."""
    kind, *marks = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    info = next((copy(mark) for mark in marks if isinstance(mark, ParameterInfo)), None)
    if info is None and parameter.kind is inspect.Parameter.KEYWORD_ONLY:
        info = typer.Option(f"--{parameter.name.rstrip('_').replace('_', '-')}")
    info = info or typer.Argument()
    if parameter.name in about:
        info.help = sentence(about[parameter.name])
    return _keyword(parameter.name, Annotated[kind, info], parameter.default)


def _is_given(context: Any, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _section(hint: Any) -> tuple[Any, Section, bool]:
    """The model that an annotation names, if any, how it is shown, and whether as ``Given``."""
    kind, *others = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    section = next((other for other in others if isinstance(other, Section)), Section())
    if get_origin(kind) is Given:
        return get_args(kind)[0], section, True
    return (kind if _is_model(kind) else None), section, False


def _is_model(kind: Any) -> bool:
    is_class = isinstance(kind, type)
    return is_class and kind is not Listener and (issubclass(kind, BaseModel) or is_dataclass(kind))


def _options(model: Any, section: Section, raw: bool) -> Iterator[_Option]:
    for path, annotation, default, about in _fields(model):
        if (section.only and path not in section.only) or path in section.without:
            continue
        plain = f"--{path.rpartition('.')[2].replace('_', '-')}"
        declared = section.names.get(path, (plain,))
        fixed = path in section.defaults and not raw
        shown = section.defaults.get(path, default)
        yield _Option(path, declared, annotation, shown, about, fixed)


def _fields(model: Any, prefix: str = "", own: Any = None) -> Iterator[tuple[str, Any, Any, str]]:
    """Dotted name, type, default (empty: required) and meaning of each field, inner ones too.

    Args:
        model: a pydantic model or a dataclass, whose docstring says what the attributes are.
        prefix: of the names.
        own: an instance whose values are the defaults.
    """
    said = _described(model, "Attributes")
    if not issubclass(model, BaseModel):
        kinds = hints_of(model)
        for one in fields(model):
            if one.init and one.name in said:
                given = one.default if one.default_factory is MISSING else one.default_factory()
                default = inspect.Parameter.empty if given is MISSING else given
                yield one.name, kinds[one.name], default, said[one.name]
        return
    for name, one in model.model_fields.items():
        default = inspect.Parameter.empty
        if own is not None:
            default = getattr(own, name)
        elif not one.is_required():
            default = one.get_default(call_default_factory=True)
        if _is_model(_plain(one.annotation)):
            yield from _fields(_plain(one.annotation), f"{prefix}{name}.", default)
        else:
            yield f"{prefix}{name}", one.annotation, default, one.description or said.get(name, "")


def _described(what: Any, section: str) -> dict[str, str]:
    """What a section of a docstring says of each name, in its first sentence."""
    text = (what.__doc__ or "").partition(f"{section}:\n")[2]
    found = re.findall(r"^( +)(\w+): (.*(?:\n\1 +.*)*)", text, re.MULTILINE)
    said = {name: " ".join(words.replace("``", "").split()) for _, name, words in found}
    return {name: re.split(r"\.\s", words)[0] for name, words in said.items()}


def _plain(kind: Any) -> Any:
    """X of X | None and of Annotated[X, ...]; of X | tuple[X, ...] the tuple."""
    if get_origin(kind) in (Union, UnionType):
        kinds = [k for k in get_args(kind) if k is not type(None)]
        kind = next((k for k in kinds if get_origin(k) is tuple), kinds[0])
    return _plain(get_args(kind)[0]) if get_origin(kind) is Annotated else kind
