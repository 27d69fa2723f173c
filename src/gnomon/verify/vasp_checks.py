"""Whether a run of VASP was made with the settings that its energy scheme means.

Energies of other settings are no worse, but they cannot share a hull with the rest: every check
names the setting, what was found and what belongs there.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from gnomon.verify.vasp_inputs import NEWER, Protocol
from gnomon.verify.vasp_outputs import Run

SAME_CUTOFF = 1.0
"""eV: cutoffs are whole numbers."""

SAME_U = 0.01
"""eV: values of U have two digits."""

NO_MOMENT = 0.1
"""μB: a start from less than this stays without a moment."""

NEWER_SINCE = 2004
"""Year from which on potentials of Ga, Ge, Li, Mg and Na are newer than the Materials Project's,
those being of 2000 and 2001: Li_sv 10Sep2004 came after Li_sv 23Jan2001."""

MAGNETIC = 1.0
"""μB: elements that a set starts with at least as much are magnetic to it; 0.6 is its 'none'."""


def wrong_settings(
    run: Run, make_inputs: Callable[[Any], Any], protocol: Protocol, *, first: bool
) -> str:
    """The first setting that is not that of pymatgen's set, in a sentence, or empty.

    Args:
        run: as read.
        make_inputs: the set that belongs to the job, for a structure.
        protocol: that the job is of, which says how old potentials may be.
        first: whether no run came before: only then must moments begin large.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pymatgen's advice was given when inputs were written
        inputs = make_inputs(run.initial)
        incar, kpoints = dict(inputs.incar), inputs.kpoints
        symbols = list(inputs.potcar_symbols)
        species = list(inputs.poscar.site_symbols)
    found = (
        _functional(run, incar)
        or _cutoff(run, incar)
        or _pseudopotentials(run, symbols)
        or _release(run, protocol)
        or _hubbard(run, dict(zip(species, incar.get("LDAUU", []), strict=False)))
        or _spin(run, incar, first)
        or _k_points(run, kpoints)
    )
    return f"{found}; run the exported inputs unchanged" if found else ""


def _functional(run: Run, incar: dict[str, Any]) -> str:
    wanted = str(incar.get("METAGGA", "PBE")).upper()
    gga = str(run.settings.get("GGA", "PE")).strip().upper()
    names = {"PE": "PBE", "--": "PBE", "91": "PW91", "PS": "PBEsol"}
    found = str(run.settings.get("METAGGA") or names.get(gga, gga)).upper()
    # a meta-GGA stands on the PBE correlation of its potentials: GGA is then without effect
    return "" if found == wanted else f"the functional is {found} where {wanted} belongs"


def _cutoff(run: Run, incar: dict[str, Any]) -> str:
    wanted = float(incar["ENCUT"])
    found = float(run.settings.get("ENCUT", np.nan))
    if abs(found - wanted) <= SAME_CUTOFF:
        return ""
    return f"ENCUT is {found:g} eV where {wanted:g} eV belongs"


def _pseudopotentials(run: Run, symbols: list[str]) -> str:
    kinds = {title.split()[0] for title in run.potcar}
    if other := sorted(kinds - {"PAW_PBE"}):
        return f"pseudopotentials of the kind {other[0]} where PAW_PBE belongs"
    found = [title.split()[1] if len(title.split()) > 1 else "?" for title in run.potcar]
    wrong = sorted(set(found) - set(symbols))
    if wrong or len(found) < len(symbols):
        missing = sorted(set(symbols) - set(found))
        return (
            f"the pseudopotential is {', '.join(wrong) or 'missing'} where "
            f"{', '.join(missing) or ', '.join(symbols)} belongs"
        )
    return ""


def _release(run: Run, protocol: Protocol) -> str:
    """Whether a potential of ``NEWER`` is too old or too new; a title without a year passes."""
    if protocol is Protocol.R2SCAN:
        return ""
    for title in run.potcar:
        year = re.search(r"\d{4}$", title.strip())
        if year is None or title.split()[1] not in NEWER.values():
            continue
        newer = int(year[0]) >= NEWER_SINCE
        if newer != bool(protocol.newer):
            wanted = "a newer release" if protocol.newer else "the release before"
            return f"the pseudopotential is {title!r} where one of {wanted} belongs"
    return ""


def _hubbard(run: Run, wanted: dict[str, float]) -> str:
    values = run.settings.get("LDAUU", [])
    species = [title.split()[1].split("_")[0] for title in run.potcar]
    found = dict(zip(species, values, strict=False))
    for symbol in sorted({*found, *wanted}):
        a, b = found.get(symbol, 0.0), wanted.get(symbol, 0.0)
        if abs(a - b) > SAME_U:
            return f"U of {symbol} is {a:g} eV where {b:g} eV belongs"
    return ""


def _spin(run: Run, incar: dict[str, Any], first: bool) -> str:
    found, wanted = int(run.settings.get("ISPIN", 1)), int(incar.get("ISPIN", 1))
    if found != wanted:
        return f"ISPIN is {found} where {wanted} belongs: no moment can form"
    starts = [float(m) for m in incar.get("MAGMOM", [])]
    if not run.magmom or not starts:
        return ""
    if len(run.magmom) != len(starts):
        return f"MAGMOM has {len(run.magmom)} moments for {len(starts)} atoms"
    if first and max(starts) >= MAGNETIC and not any(abs(m) > NO_MOMENT for m in run.magmom):
        return f"MAGMOM starts every atom without a moment where {max(starts):g} μB belongs"
    return ""


def _k_points(run: Run, kpoints: Any) -> str:
    if kpoints is None or run.divisions is None:
        return ""
    wanted, found = int(np.prod(kpoints.kpts[0])), int(np.prod(run.divisions))
    if found >= wanted:
        return ""
    mesh = " x ".join(str(n) for n in run.divisions)
    belongs = " x ".join(str(int(n)) for n in kpoints.kpts[0])
    return f"the k-points are {mesh} where {belongs} belong"
