"""Weight fractions by Rietveld refinement with rietx, from the phases and cells of a search."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gemmi
import numpy as np
from jaxtyping import Float

from gnomon.crystals import Crystals
from gnomon.diffraction.fit import Model, Part
from gnomon.diffraction.reflections import B_ISO, SYMPREC
from gnomon.diffraction.scans import Scan
from gnomon.elements import SYMBOLS
from gnomon.structure.symmetry import asymmetric, conventional, operations

TUBES = {
    "CrKa": 2.2897,
    "FeKa": 1.9360,
    "CoKa": 1.7889,
    "CuKa": 1.5406,
    "MoKa": 0.7093,
    "AgKa": 0.5594,
}
"""Kα1 lines of tubes that rietx knows, Å."""

TEXTURED = 0.1
"""|ln r| from which a texture is refined."""


@dataclass(frozen=True)
class Refined:
    """What a refinement says.

    Attributes:
        fractions: (phases,), parts by weight.
        errors: (phases,), standard errors.
        calculated: (points,), counts.
        r_wp: weighted profile R factor.
    """

    fractions: Float[np.ndarray, " phases"]
    errors: Float[np.ndarray, " phases"]
    calculated: Float[np.ndarray, " points"]
    r_wp: float


def refined(scan: Scan, crystals: Crystals, model: Model) -> Refined | None:
    """The phases of a search, refined; None where rietx finds no end or knows no such tube.

    Cells, widths and textures begin where the search ended; scales, a background over the one of
    the scan, the zero, cells, widths and the textures of textured phases are refined.

    Args:
        scan: the scan.
        crystals: the phases, as candidates.
        model: of the search.

    Raises:
        ModuleNotFoundError: where rietx is not installed (the extra ``synthesis``).
    """
    import rietx
    from rietx.schemas.instrument import BackgroundFixedPlusChebyshev

    tube = min(TUBES, key=lambda name: abs(TUBES[name] - scan.lines[0][0]))
    if abs(TUBES[tube] - scan.lines[0][0]) > 0.002:
        return None
    instrument = rietx.Instrument.bragg_brentano(radiation=tube)
    blank = rietx.PatternData(two_theta=scan.two_theta.tolist(), intensity=scan.background.tolist())
    instrument.background = BackgroundFixedPlusChebyshev.from_pattern(blank, n_terms=6)
    instrument.profile.w.value = 0.06**2
    instrument.profile.x.value = 0.02
    phases = [
        _phase(crystal, part, scale)
        for crystal, part, scale in zip(crystals, model.parts, model.scales, strict=True)
    ]
    data = rietx.PatternData(
        two_theta=scan.two_theta.tolist(),
        intensity=scan.counts.tolist(),
        sigma=scan.noise.tolist(),
    )
    refinement = rietx.Refinement(rietx.Structure(phases=phases), instrument)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # rietx's own doubts are in its result
            result = refinement.fit(data, plan=_plan(model.parts), telemetry=False)
    except (ValueError, ArithmeticError, np.linalg.LinAlgError, RuntimeError):
        return None
    if result.qpa is None or result.status == "diverged":
        return None
    rows = result.qpa.phases
    return Refined(
        np.array([row.weight_fraction for row in rows], np.float64),
        np.array([row.weight_fraction_stderr or np.nan for row in rows], np.float64),
        np.array(result.y_calc, np.float64),
        float(result.statistics.rwp),
    )


def _plan(parts: Sequence[Part]) -> Any:
    from rietx.strategy.staged import RefinementPlan, Stage

    last = ["instrument.profile.w", "phases.*.lor_size"]
    if any(_textured(part) for part in parts):
        last.append("phases.*.preferred_orientation.r")
    return RefinementPlan(
        stages=[
            Stage("scales", ["phases.*.scale", "instrument.background.c*"], 30),
            Stage("places", ["instrument.zero_shift", "phases.*.cell.*"], 30),
            Stage("shapes", last, 40),
        ],
        closing_window_tol=None,
    )


def _textured(part: Part) -> bool:
    return bool(abs(np.log(part.texture[1])) > TEXTURED)


def _phase(crystal: Crystals, part: Part, scale: float) -> Any:
    """A phase of rietx in the strained conventional cell."""
    import rietx

    cell = conventional(crystal, SYMPREC)
    _, numbers, frac = cell.arrays(0)
    rotations, translations = operations(cell, SYMPREC)[0]
    lattice = part.source.lattice @ part.source.strain(part.strain)
    lengths = np.linalg.norm(lattice, axis=1)
    angles = [
        float(np.degrees(np.arccos(lattice[i] @ lattice[j] / lengths[i] / lengths[j])))
        for i, j in ((1, 2), (0, 2), (0, 1))
    ]
    given = dict(zip(["a", "b", "c", "alpha", "beta", "gamma"], [*lengths, *angles], strict=True))
    texture = None
    if _textured(part):
        axis = tuple(int(i == part.texture[0]) for i in range(3))
        r = rietx.Parameter(value=part.texture[1], min=0.2)
        texture = rietx.PreferredOrientation(axis=axis, r=r)
    return rietx.Phase(
        name=part.source.formula,
        space_group="P 1 [operations listed]",
        symmetry_operations=_triplets(rotations, translations),
        cell=rietx.Cell(**{k: rietx.Parameter(value=float(v)) for k, v in given.items()}),
        atoms=[
            rietx.Atom(
                label=f"{SYMBOLS[numbers[i]]}{n}",
                species=SYMBOLS[numbers[i]],
                **{k: rietx.Parameter(value=float(v)) for k, v in zip("xyz", frac[i], strict=True)},
                biso=rietx.Parameter(value=B_ISO),
            )
            for n, i in enumerate(asymmetric(cell, SYMPREC), 1)
        ],
        scale=rietx.Parameter(value=max(scale, 1e-12), min=0.0),
        lor_size=rietx.Parameter(value=part.width / 2, min=0.0),
        preferred_orientation=texture,
    )


def _triplets(rotations: Any, translations: Any) -> list[str]:
    """Operations as x,y,z."""
    found = []
    for rotation, translation in zip(rotations, translations, strict=True):
        op = gemmi.Op()
        op.rot = (rotation * gemmi.Op.DEN).tolist()
        op.tran = np.rint(translation * gemmi.Op.DEN).astype(int).tolist()
        found.append(op.wrap().triplet())
    return found
