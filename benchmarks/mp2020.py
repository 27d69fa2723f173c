"""MP2020 corrections of energies, eV a cell, through pymatgen.

CHGNet 0.3.0 is trained on corrected energies (its README, limitations, 2), the Nequix weights and
gnomon-1 on uncorrected ones, and the frames of MPtrj hold uncorrected ones (measured: on oxides and
halides CHGNet is off by 390 meV/atom with its corrections and by 26 without).  The comparisons are
of uncorrected energies, so the correction is taken off CHGNet's.  It is what the Materials Project
would apply to the cell: +U where its settings ask for it.  On the 972 crystals of the WBM file it
is the file's own difference of corrected and uncorrected energies, two silicides (ErCuSi2 and
Eu3(Cu2Si)2) excepted.
"""

import warnings
from typing import Any

import numpy as np

from gnomon.crystals import Crystals
from gnomon.io import to_pymatgen


def mp2020_corrections(crystals: Crystals) -> np.ndarray:
    """Corrections (n,) in eV a cell, to be added to uncorrected energies; NaN where undefined."""
    from pymatgen.entries.compatibility import (  # noqa: PLC0415
        CompatibilityError,
        MaterialsProject2020Compatibility,
    )

    scheme = MaterialsProject2020Compatibility(check_potcar=False)
    corrections = np.full(len(crystals), np.nan)
    with warnings.catch_warnings():
        # said where no oxidation states can be guessed; pymatgen then corrects the most
        # electronegative element, as the Materials Project does
        warnings.simplefilter("ignore", UserWarning)
        for i, structure in enumerate(to_pymatgen(crystals)):
            try:
                adjustments = scheme.get_adjustments(_entry(structure, scheme))
            except CompatibilityError:
                continue
            corrections[i] = sum(adjustment.value for adjustment in adjustments)
    return corrections


def _entry(structure: Any, scheme: Any) -> Any:
    """An entry with the +U values that the Materials Project gives its elements."""
    from pymatgen.entries.computed_entries import ComputedStructureEntry  # noqa: PLC0415

    elements = structure.composition.elements
    anion = max(elements, key=lambda element: element.X).symbol
    settings = scheme.u_settings.get(anion, {})
    hubbards = {e.symbol: settings.get(e.symbol, 0) for e in elements}
    run_type = "GGA+U" if any(hubbards.values()) else "GGA"
    return ComputedStructureEntry(
        structure, 0.0, parameters={"run_type": run_type, "hubbards": hubbards}
    )
