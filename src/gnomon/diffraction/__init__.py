"""Powder diffraction: patterns of crystals, scans, which phases a scan shows and how much of each.

>>> from gnomon.crystals import Crystals
>>> salt = Crystals.single(
...     [[0, 2.82, 2.82], [2.82, 0, 2.82], [2.82, 2.82, 0]], [11, 17], [[0, 0, 0], [0.5, 0.5, 0.5]]
... )
>>> scan = simulate(salt, [1.0], seed=1)
>>> found = identify(scan, Candidates.of(salt), DiffractionSettings(refine=False))
>>> [phase.formula for phase in found.phases]
['NaCl']
"""

from gnomon.diffraction.candidates import PBE, Candidates
from gnomon.diffraction.identify import DiffractionSettings, Identification, Phase, identify
from gnomon.diffraction.measured import measured
from gnomon.diffraction.scans import Peak, Scan, ScanError, read_scan
from gnomon.diffraction.simulate import SimulationSettings, simulate

__all__ = [
    "PBE",
    "Candidates",
    "DiffractionSettings",
    "Identification",
    "Peak",
    "Phase",
    "Scan",
    "ScanError",
    "SimulationSettings",
    "identify",
    "measured",
    "read_scan",
    "simulate",
]
