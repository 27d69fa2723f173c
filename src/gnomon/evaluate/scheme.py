"""Energy schemes as values: what an energy depends on beside the crystal, and its name in tables.

Tables hold the name of a scheme, and the name holds everything, so that two tables which say the
same can be joined without asking more:

    >>> scheme = EnergyScheme.parse("PBE (VASP; +U Materials Project; PAW PBE; 520 eV)")
    >>> scheme.functional, scheme.hubbard_u, scheme.basis
    ('PBE', 'Materials Project', '520 eV')
    >>> difference(str(scheme), "r2SCAN (VASP; PAW PBE; 520 eV)")
    'functional: PBE and r2SCAN; hubbard_u: Materials Project and none'
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields

HUBBARD = "+U "
PSEUDOPOTENTIALS = "PAW "

CORRECTED = re.compile(r"(?P<rest>.*), (?P<corrections>[^,()]+) corrections", re.DOTALL)
DFT = re.compile(
    r"(?P<functional>[^();]+) \((?P<code>[^();]+)"
    r"(?:; \+U (?P<hubbard_u>[^();]+))?"
    r"; PAW (?P<pseudopotentials>[^();]+)"
    r"; (?P<basis>[^();]+)\)"
)


@dataclass(frozen=True)
class EnergyScheme:
    """What an energy depends on beside the crystal.

    A scheme is either a calculation from first principles (functional, code, pseudopotentials,
    basis) or a ``checkpoint``: a potential or calculator by the name that its evaluator gives it.

    Attributes:
        checkpoint: of a potential or calculator, its release or hash included.
        functional: such as PBE, or ``r2SCAN@PBE`` for r2SCAN on the density of PBE.
        code: program and release.
        hubbard_u: the rule by which +U is chosen, empty without +U.
        pseudopotentials: the set of PAW data.
        basis: cutoff and what else fixes the numerical quality.
        corrections: fitted energies that were added, such as MP2020.

    Raises:
        ValueError: if it is neither or both, or a part holds a character that the name needs.
    """

    checkpoint: str = ""
    functional: str = ""
    code: str = ""
    hubbard_u: str = ""
    pseudopotentials: str = ""
    basis: str = ""
    corrections: str = ""

    def __post_init__(self) -> None:
        first_principles = (self.functional, self.code, self.pseudopotentials, self.basis)
        if self.checkpoint and any((*first_principles, self.hubbard_u)):
            raise ValueError(
                f"the scheme of the checkpoint {self.checkpoint!r} cannot have a functional or "
                "basis of its own: leave them out"
            )
        if not self.checkpoint and not all(first_principles):
            raise ValueError(
                "a scheme needs a checkpoint, or all of functional, code, pseudopotentials and "
                f"basis; got {self}"
            )
        for name in ("functional", "code", "hubbard_u", "pseudopotentials", "basis"):
            if re.search(r"[();]", getattr(self, name)):
                raise ValueError(f"{name} {getattr(self, name)!r} must be without ( ) and ;")
        if re.search(r"[,()]", self.corrections):
            raise ValueError(f"corrections {self.corrections!r} must be without , ( and )")

    def __str__(self) -> str:
        """The name that tables hold."""
        name = self.checkpoint
        if not name:
            hubbard = [HUBBARD + self.hubbard_u] if self.hubbard_u else []
            paw = PSEUDOPOTENTIALS + self.pseudopotentials
            name = f"{self.functional} ({'; '.join([self.code, *hubbard, paw, self.basis])})"
        return f"{name}, {self.corrections} corrections" if self.corrections else name

    @classmethod
    def parse(cls, name: str) -> EnergyScheme:
        """The scheme of this name; a name that is no calculation's is that of a checkpoint.

        Raises:
            ValueError: if the name is empty.
        """
        corrected = CORRECTED.fullmatch(name)
        rest, corrections = corrected.group("rest", "corrections") if corrected else (name, "")
        if not rest:
            raise ValueError(f"no energy scheme {name!r}: name what the energies come from")
        if found := DFT.fullmatch(rest):
            parts = {key: text or "" for key, text in found.groupdict().items()}
            return cls(**parts, corrections=corrections)
        return cls(checkpoint=rest, corrections=corrections)


def short_name(scheme: str) -> str:
    """What a scheme is called in a sentence; tables and notes have its name in full.

    >>> short_name("gnomon-2 (sha256 3d1059e43636), MP2020 corrections")
    'gnomon-2'
    >>> short_name("PBE (GPAW 26.7; PAW 1.2.1; 400 eV)")
    'PBE (GPAW 26.7)'
    """
    parts = EnergyScheme.parse(scheme)
    if parts.checkpoint:
        return parts.checkpoint.partition(" (")[0]
    return f"{parts.functional} ({parts.code})"


def difference(one: str, other: str) -> str:
    """In what two schemes differ, by their names; empty where they are one scheme."""
    a, b = EnergyScheme.parse(one), EnergyScheme.parse(other)
    return "; ".join(
        f"{field.name}: {getattr(a, field.name) or 'none'} and {getattr(b, field.name) or 'none'}"
        for field in fields(EnergyScheme)
        if getattr(a, field.name) != getattr(b, field.name)
    )
