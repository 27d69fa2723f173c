"""`gnomon hull`: answers from a table of phases."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gnomon.cli.options import CommandError
from gnomon.cli.shared import Json


def hull(
    phases: Annotated[
        Path,
        typer.Argument(
            help="Parquet with reduced_formula and formation_energy_per_atom (eV/atom)."
        ),
    ],
    queries: Annotated[list[str], typer.Argument(help="Formulas or chemical systems.")],
    window: Annotated[float, typer.Option(help="List phases up to this e_above_hull.")] = 0.0,
    scheme: Annotated[
        str | None, typer.Option(help="Name of the energy scheme, where the file has none.")
    ] = None,
    limits: Annotated[
        bool, typer.Option("--limits", help="Chemical potentials between which each is stable.")
    ] = False,
    open_: Annotated[
        list[str] | None,
        typer.Option("--open", help="An open element and its potential in eV/atom: O=-1.0."),
    ] = None,
    gas: Annotated[
        list[str] | None,
        typer.Option(
            help="A gas in contact and its partial pressure in bar: O2=0.21; H2, N2, O2, H2O, CO2."
        ),
    ] = None,
    temperature: Annotated[float, typer.Option(help="Of the gases, K.")] = 298.15,
    anode: Annotated[
        str | None, typer.Option(help="A metal in contact and in excess, such as Li.")
    ] = None,
    json: Json = False,
) -> None:
    """Answer from the convex hull: e_above_hull, decomposition, the stable phases of a system.

    With --open, --gas or --anode: what becomes of them in contact with reservoirs.

    Example: gnomon hull ground_states.parquet LiFePO4 Li-Fe-P-O
    """
    from dataclasses import asdict

    from gnomon.cli.terminal import put_json
    from gnomon.hull import query

    reservoirs = bool(open_ or gas or anode)
    if limits and reservoirs:
        raise CommandError(
            "--limits are those of a closed system: leave out --open, --gas, --anode"
        )
    surface = _read(phases, scheme)
    if limits:
        _put_limits(surface, queries, json)
    elif reservoirs:
        potentials = _potentials(surface, open_ or [], gas or [], temperature, anode)
        _put_reactions(surface, queries, potentials, window, json)
    else:
        answers = [query(surface, text, window=window) for text in queries]
        if json:
            put_json([_finite(asdict(answer)) for answer in answers])
            return
        for answer in answers:
            _put_answer(answer)


def _read(phases: Path, scheme: str | None) -> Any:
    import pyarrow.parquet as pq

    from gnomon.hull import Hull, phases_from_table

    if not phases.is_file():
        raise ValueError(f"{phases} is no file: give a Parquet table of phases")
    try:
        table = pq.read_table(phases)
    except (OSError, ValueError) as error:
        raise ValueError(f"{phases} cannot be read as Parquet ({error})") from error
    return Hull(phases_from_table(table, scheme))


def _potentials(
    surface: Any, open_: list[str], gas: list[str], temperature: float, anode: str | None
) -> dict[str, float]:
    """The chemical potentials (eV/atom) that the options fix; an element may be fixed once."""
    from gnomon.hull import element_potentials, metal_potential

    sources = [dict([_pair(text, "--open", "O=-1.0")]) for text in open_]
    if gas:
        pressures = [_pair(text, "--gas", "O2=0.21") for text in gas]
        sources.append(element_potentials(dict(pressures), temperature))
    if anode:
        sources.append(metal_potential(surface, anode))
    potentials: dict[str, float] = {}
    for source in sources:
        for symbol, potential in source.items():
            if symbol in potentials:
                raise CommandError(f"the chemical potential of {symbol} is fixed twice")
            potentials[symbol] = potential
    return potentials


def _pair(text: str, option: str, example: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError as error:
        raise CommandError(f"{option} {text!r}: write it as in {option} {example}") from error


def _finite(value: Any) -> Any:
    """Infinities, which JSON lacks, as null."""
    if isinstance(value, dict):
        return {key: _finite(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return None
    return value


def _put_answer(answer: Any) -> None:
    from gnomon.cli.terminal import put_table

    print(f"{answer.query} (phases in the system: {answer.n_phases}; scheme: {answer.scheme})")
    put_table(
        [
            {
                "formula": row.reduced_formula,
                "id": row.id,
                "formation energy (eV/atom)": row.formation_energy_per_atom,
                "e_above_hull (eV/atom)": row.e_above_hull,
                "competes with": " + ".join(f"{x:.3f} {f}" for f, x in row.decomposition) or "-",
            }
            for row in answer.phases
        ],
        empty="no phase within the window",
    )
    print()


def _put_limits(surface: Any, queries: list[str], json: bool) -> None:
    from gnomon.cli.terminal import put_json, put_table
    from gnomon.hull import chemical_potential_limits

    for text in queries:
        if "-" in text:
            raise CommandError(f"--limits are those of a phase: give a formula, not {text}")
    rows = [
        {"formula": text, "element": symbol, "lowest (eV/atom)": low, "highest (eV/atom)": high}
        for text in queries
        for symbol, (low, high) in chemical_potential_limits(surface, text).items()
    ]
    if json:
        names = ("formula", "element", "lowest", "highest")
        put_json([dict(zip(names, row.values(), strict=True)) for row in rows])
    else:
        put_table(rows)


def _put_reactions(
    surface: Any, queries: list[str], potentials: dict[str, float], window: float, json: bool
) -> None:
    from dataclasses import asdict

    from gnomon.cli.terminal import put_json, put_table, say
    from gnomon.hull import open_answers

    found = open_answers(surface, queries, potentials, window=window)
    if json:
        put_json({"chemical_potentials": potentials, "phases": [asdict(row) for row in found]})
        return
    say(
        "chemical potentials (eV/atom): "
        + ", ".join(f"{symbol} {potential:+.4f}" for symbol, potential in potentials.items())
    )
    put_table(
        [
            {
                "formula": row.reduced_formula,
                "id": row.id,
                "reaction energy (eV/atom)": row.reaction_energy,
                "becomes": " + ".join(f"{n:.3g} {f}" for f, n in row.products),
                "takes up": ", ".join(f"{n:+.3g} {s}" for s, n in row.taken_up if n) or "-",
            }
            for row in found
        ],
        empty="no phase within the window",
    )
