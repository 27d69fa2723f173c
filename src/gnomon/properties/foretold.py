"""Properties of candidates before anybody relaxes them, by the networks in the package.

What a campaign with objectives chooses by (``gnomon.discover.breeding``): thousands of candidates a
minute, at the volume as proposed.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import pyarrow as pa

from gnomon.crystals import Crystals
from gnomon.properties.registry import PropertySettings, in_order

MODULI: Mapping[str, Any] = {"moduli": "predicted"}


def foretold(name: str, options: Mapping[str, Any], crystals: Crystals) -> pa.Table:
    """The table of a property, and of what it needs first, from networks alone.

    Args:
        name: of the property.
        options: of it.
        crystals: n candidates, each once.
    """
    done: dict[str, pa.Table] = {}
    for each, one in in_order([name], PropertySettings(options={name: options})).items():
        done[each] = one.compute(crystals, {other: done[other] for other in one.needs})
    return done[name]


hardness = partial(foretold, "hardness", MODULI)
debye = partial(foretold, "debye", MODULI)
band_gap = partial(foretold, "band_gap", {})
bulk_modulus = partial(foretold, "bulk_modulus", {})
shear_modulus = partial(foretold, "shear_modulus", {})
debye_temperature = partial(foretold, "debye_temperature", {})
thermal_expansion = partial(foretold, "thermal_expansion", {})
last_phonon_peak = partial(foretold, "last_phonon_peak", {})
