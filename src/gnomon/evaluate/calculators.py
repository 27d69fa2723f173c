"""ASE calculators by dotted name, and nothing else by it: a settings file may come from anyone.

A name is looked at before anything is imported.  Modules of Python's standard library hold no
calculators and are refused, and so is what lies in the folder of a campaign.  A class is called if
it is a calculator; a function if it is one of ``FACTORIES``, or if the user trusts it.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", re.ASCII)

FACTORIES = frozenset(
    (
        "ase.calculators.kim.KIM",
        "gpaw.GPAW",
        "mace.calculators.mace_anicc",
        "mace.calculators.mace_mp",
        "mace.calculators.mace_off",
        "mace.calculators.mace_omol",
        "mace.calculators.mace_polar",
        "tensorpotential.calculator.foundation_models.grace_fm",
        "tensorpotential.calculator.grace_fm",
    )
)
"""Functions of well-known packages that return a calculator."""

INTERFACE = ("get_potential_energy", "get_forces", "get_stress")
"""What ASE's atoms ask a calculator for, each with the atoms as argument."""


def make_calculator(name: str, options: dict[str, Any], trust: bool = False) -> Any:
    """An ASE calculator by its dotted name.

    >>> make_calculator("ase.calculators.emt.EMT", {}).name
    'emt'

    Args:
        name: ``module.Class``, or a function that returns a calculator.
        options: keyword arguments.
        trust: call a function that is not one of ``FACTORIES``, too.

    Raises:
        ValueError: if the name leads nowhere, or to what is no calculator, or is not trusted, or
            the calculator refuses the options.
    """
    _check(name)
    factory = _found(name)
    if not (inspect.isclass(factory) and _is_calculator(factory)) and name not in FACTORIES:
        if not callable(factory) or inspect.isclass(factory):
            raise _no_calculator(name, "it has not the methods of one")
        if not trust:
            raise _no_calculator(
                name,
                "it is a function, which could do anything: if it returns a calculator and you "
                "trust it, say --trust-factory (in settings: trust_factory = true)",
            )
    try:
        made = factory(**options)
    except Exception as error:  # whatever a foreign constructor raises is about its options
        raise ValueError(f"{name} cannot be made with options {options}: {error}") from error
    if not _is_calculator(made):
        raise _no_calculator(name, f"it returned {type(made).__name__}, which has not its methods")
    return made


def _check(name: str) -> None:
    """Refuse what cannot be a calculator; nothing is imported."""
    if not NAME.fullmatch(name):
        raise _no_calculator(name, "that is no dotted name")
    package = name.partition(".")[0]
    if package in sys.stdlib_module_names:
        raise _no_calculator(name, f"{package} belongs to Python itself")
    spec = find_spec(package)
    if spec is None:
        raise _no_calculator(name, f"there is no package {package}: install it")
    places = [spec.origin] if spec.origin else list(spec.submodule_search_locations or ())
    for place in filter(None, places):
        for folder in Path(place).resolve().parents:
            if (folder / "provenance.json").is_file():
                raise _no_calculator(name, f"{place} lies in the folder of a campaign, {folder}")


def _found(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise _no_calculator(name, str(error)) from error


def _is_calculator(thing: Any) -> bool:
    methods = [getattr(thing, name, None) for name in INTERFACE]
    return all(callable(m) and "atoms" in inspect.signature(m).parameters for m in methods)


def _no_calculator(name: str, reason: str) -> ValueError:
    return ValueError(
        f"{name!r} is no ASE calculator: {reason}; give module.Class, as in "
        "'ase:ase.calculators.emt.EMT'"
    )
