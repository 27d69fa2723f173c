"""OPTIMADE's filters as Boolean columns: the grammar is theirs, what it asks of is our index."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
from lark import v_args
from optimade.exceptions import BadRequest
from optimade.filtertransformers.base_transformer import BaseTransformer, Quantity
from optimade.server.mappers import BaseResourceMapper

from gnomon.explore.fields import Fields, Truth, compared

Rest = Callable[[str], Truth]
"""What follows the name of a property."""


class Grammar(BaseTransformer):
    """A filter over ``Fields``; a property that is unknown makes it neither true nor false."""

    def __init__(self, mapper: BaseResourceMapper, fields: Callable[[], Fields]) -> None:
        """Take the mapper of structures, and what gives the fields of the present index."""
        super().__init__(mapper)
        self._fields = fields

    @property
    def fields(self) -> Fields:
        """Those of the present index."""
        return self._fields()

    def expression(self, arg: list[Truth]) -> Truth:
        """Alternatives."""
        return reduce(lambda a, b: Truth(a.yes | b.yes, a.no & b.no), arg)

    def expression_clause(self, arg: list[Truth]) -> Truth:
        """Conditions that hold together."""
        return reduce(lambda a, b: Truth(a.yes & b.yes, a.no | b.no), arg)

    def expression_phrase(self, arg: list[Any]) -> Truth:
        """With or without NOT."""
        *negated, truth = arg
        return Truth(truth.no, truth.yes) if any(negated) else truth

    def property(self, args: list[Any]) -> str:
        """Its name, nested ones with dots."""
        found = super().property(args)
        name = found.name if isinstance(found, Quantity) else str(found)
        return ".".join([name, *map(str, args[1:])])

    @v_args(inline=True)
    def property_first_comparison(self, name: str, rest: Rest) -> Truth:
        """A property and what is asked of it."""
        return rest(name)

    def constant_first_comparison(self, arg: list[Any]) -> Truth:
        """The same the other way round."""
        value, operator, name = arg
        return self._compared(self._reversed_operator_map[operator], value)(name)

    @v_args(inline=True)
    def value_op_rhs(self, operator: str, value: Any) -> Rest:
        """``= 3``."""
        return self._compared(str(operator), value)

    def _compared(self, operator: str, value: Any) -> Rest:
        def asked(name: str) -> Truth:
            return self._sensible(self.fields.compare(name, operator, value), name, value)

        return asked

    def _sensible(self, found: Truth | None, name: str, value: Any) -> Truth:
        if found is None:
            raise BadRequest(detail=f"{name} cannot be compared with {value!r}")
        return found

    def known_op_rhs(self, arg: list[Any]) -> Rest:
        """``IS KNOWN``."""
        wanted = str(arg[1]) == "KNOWN"
        return lambda name: Truth.of(self.fields.known(name) == wanted)

    def fuzzy_string_op_rhs(self, arg: list[Any]) -> Rest:
        """``CONTAINS "x"``."""
        how, value = str(arg[0]), arg[-1]
        if not isinstance(value, str):
            raise BadRequest(detail=f"{how} takes a text, not {value!r}")
        return lambda name: self._sensible(self.fields.fuzzy(name, how, value), name, value)

    def value_list(self, arg: list[Any]) -> list[Any]:
        """Values without operators."""
        values = [value for value in arg if value is not None]
        if any(str(value) in self._reversed_operator_map for value in values):
            raise NotImplementedError("operators in lists of values are not supported")
        return values

    def set_op_rhs(self, arg: list[Any]) -> Rest:
        """``HAS ALL "a", "b"``."""
        given = [one for one in arg[1:] if one is not None]
        how, values = (str(given[0]), given[1]) if len(given) > 1 else ("ALL", given)
        if how not in ("ALL", "ANY", "ONLY"):
            raise NotImplementedError("HAS with an operator is not supported")

        def asked(name: str) -> Truth:
            if name not in self.fields.lists:
                return self._other(name)
            among, others = self.fields.lists[name]
            if how == "ONLY":
                return Truth.of(~others(values))
            combine = np.logical_and if how == "ALL" else np.logical_or
            try:
                return Truth.of(reduce(combine, map(among, values)))
            except TypeError as error:
                raise BadRequest(detail=f"{name} cannot hold {values}") from error

        return asked

    def _other(self, name: str) -> Truth:
        """Neither, of a list of another provider's; lists of lists and numbers are refused."""
        if name in self.fields.columns:
            raise BadRequest(detail=f"{name} is no list")
        if name in self.fields.lengths:
            raise NotImplementedError(f"HAS of {name} is not supported")
        nothing = np.zeros(len(self.fields.index), bool)
        return Truth(nothing, nothing)

    def length_op_rhs(self, arg: list[Any]) -> Rest:
        """``LENGTH > 2``."""
        operator, value = "=" if len(arg) == 2 or arg[1] is None else str(arg[1]), arg[-1]

        def asked(name: str) -> Truth:
            lengths = self.fields.lengths.get(name)
            if lengths is None:
                return self._other(name)
            return Truth.of(compared(lengths, operator, value))

        return asked

    def set_zip_op_rhs(self, arg: list[Any]) -> Rest:
        """Lists that belong together."""
        raise NotImplementedError("correlated lists are not supported")

    value_zip = value_zip_list = property_zip_addon = set_zip_op_rhs
