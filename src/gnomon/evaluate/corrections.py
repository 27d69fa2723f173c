"""Materials Project 2020 corrections: uncorrected PBE(+U) energies made comparable with that hull.

Potentials trained on raw PBE(+U) energies of the Materials Project predict oxides, sulfides,
halides ... and what it calculates with +U too high against the elements.  The scheme adds a fitted
energy for each anion, and for each +U metal in an oxide or a fluoride (Wang et al., Sci. Rep. 11,
15496 (2021)).  The numbers and the rules are pymatgen's, its option ``require_bound`` included.

Whether an element counts as an anion, pymatgen reads off oxidation states.  Here they are always
worked out first, as the Materials Project does, from the reduced formula; of any size, where
pymatgen stops at 20 atoms, beyond which Cl of Li20O9Cl2 would go without correction.  Where no set
of states balances the charges, the scheme's second rule holds: the most electronegative element is
the anion, unless the others cannot bring its atoms near the state -1 that the scheme asks of an
anion.  NaCl7, mostly Cl2 molecules, has none: corrected as a chloride it would lie on the hull.
``Corrections.anions_by`` says which rule it was, and a message of the evaluation if it mattered.
"""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64, Shaped

from gnomon.chemistry.mean_states import mean_states
from gnomon.chemistry.oxidation import common_states
from gnomon.crystals import Crystals
from gnomon.elements import SYMBOLS, Counts, electronegativities, element
from gnomon.evaluate import Evaluations, Evaluator
from gnomon.io import to_pymatgen

if TYPE_CHECKING:
    from pymatgen.core import Composition
    from pymatgen.entries.compatibility import MaterialsProject2020Compatibility

SCHEME_SUFFIX = ", MP2020 corrections"
"""What a corrected energy scheme is called after the name of the scheme without corrections."""

PLUS_U = "GGA/GGA+U mixing"
"""In the names that pymatgen gives to corrections of +U."""

OXYGEN, SULFUR = 8, 16

TOLD_BY_STRUCTURE = ("O", "S")
TOLD_BY_STATES = frozenset(("Br", "I", "Se", "Si", "Sb", "Te", "H", "N", "F", "Cl"))

HALOGENS = ("F", "Cl", "Br", "I")

OXIDE_CUTOFF = 1.05
"""Of pymatgen's O-O distances that tell oxides from peroxides: as its scheme calls it."""

LEAST_STATE = -0.5
"""The mean state to which an anion must come at least, where no states balance the charges."""

LEAST_STATE_OF_HALOGENS = -0.82
"""The same of F, Cl, Br and I, which make molecules where they are not charged.

The Materials Project corrects every halogen atom, those of CsI3, KF5 and NaCl7 too, which puts such
crystals on its hull, though most of their halogens are not the anions that the correction was
fitted to.  BaHoF6 and Cs2AgF6, at -5/6, want an unusual state of the metal and are halides; PbCl5,
at -4/5, has one chlorine more than lead can charge."""

LEAST_STATE_OF_OXYGEN = -1 / 3
"""The same of O, whose kind the structure tells: that of ozonides, which take no correction.

In KO8, of O2 molecules beside a superoxide, pymatgen takes all eight for superoxide."""

LEAST_CHARGE = 1.0
"""What O and F must take of each +U metal at least, e, for a potential's energy to hold +U.

The Materials Project puts +U on all metals of such kinds as soon as there is one O or F.  A
potential sees the surroundings of atoms: below this it gives the energy of the metal without +U,
and the correction for +U, -2 eV a chromium, would make Cr12F the most stable of all fluorides.  One
crystal of the Materials Project (formula hashes below 75) lies below it, Cs11Fe10S16O, which
nequix-oam-1-pft has 0.64 and gnomon-2 0.62 eV/atom too low with that correction."""

LEAST_STATES = {
    **dict.fromkeys(HALOGENS, LEAST_STATE_OF_HALOGENS),
    "O": LEAST_STATE_OF_OXYGEN,
    "S": 0.0,  # the structure alone tells
}

OXIDISED = {"Kr": 2, "Xe": 8}
"""Highest states of noble gases, which pymatgen does not list (XeF4 is corrected in its data)."""


class AnionRule(StrEnum):
    """How the anions of a compound were found."""

    NONE_NEEDED = "none_needed"
    OXIDATION_STATES = "oxidation_states"
    ELECTRONEGATIVITY = "electronegativity"
    NO_ANION = "no_anion"


UNBALANCED = (AnionRule.ELECTRONEGATIVITY, AnionRule.NO_ANION)


@dataclass(frozen=True)
class Adjustment:
    """One correction of one crystal: its name in the scheme and its value, eV/atom."""

    name: str
    value: float


@dataclass(frozen=True, eq=False)
class Corrections:
    """Corrections of n crystals.

    Attributes:
        per_atom: (n,), eV/atom, to be added to an uncorrected PBE(+U) energy.
        adjustments: what each is the sum of.
        anions_by: (n,), ``AnionRule`` values; none is needed for an element.
        message: (n,), where no states balance and an anion that goes by states is at stake, what
            was done instead; else empty.
    """

    per_atom: Float64[np.ndarray, " n"]
    adjustments: tuple[tuple[Adjustment, ...], ...]
    anions_by: Shaped[np.ndarray, " n"]
    message: Shaped[np.ndarray, " n"]


@dataclass(frozen=True)
class Corrected:
    """An evaluator whose energies are those of another, MP2020 corrections added.

    The corrections are those of the relaxed crystals, as potentials have them.  Evaluations without
    an energy stay so.

    Attributes:
        evaluator: a potential whose energies are uncorrected PBE(+U) energies as the Materials
            Project mixes them: +U for Co, Cr, Fe, Mn, Mo, Ni, V and W in oxides and fluorides.

    Raises:
        ValueError: if its scheme has the corrections already.
    """

    evaluator: Evaluator

    def __post_init__(self) -> None:
        if "MP2020" in self.evaluator.scheme:
            raise ValueError(
                f"the energies of {self.evaluator.scheme!r} hold the MP2020 corrections already: "
                "correct an evaluator of uncorrected energies, or use this one as it is"
            )

    @property
    def scheme(self) -> str:
        """The inner scheme and the corrections."""
        return self.evaluator.scheme + SCHEME_SUFFIX

    def evaluate(self, crystals: Any) -> Iterator[Evaluations]:
        """Yield the inner results, their energies corrected, in the same parts."""
        for part in self.evaluator.evaluate(crystals):
            energies, messages = part.energy_per_atom.copy(), part.message.copy()
            known = np.flatnonzero(np.isfinite(energies))
            found = learned_corrections(part.relaxed.take(known))
            energies[known] += found.per_atom
            for i, told in zip(known, found.message, strict=True):
                messages[i] = "; ".join(filter(None, (messages[i], told)))
            yield replace(part, scheme=self.scheme, energy_per_atom=energies, message=messages)


def mp2020_correction_per_atom(crystals: Crystals) -> Float64[np.ndarray, " n"]:
    """Correction of each crystal, eV/atom, to be added to an uncorrected PBE(+U) energy."""
    return mp2020_corrections(crystals).per_atom


def mp2020_corrections(crystals: Crystals) -> Corrections:
    """Corrections of all crystals, and what each consists of.

    Only O and S need the structure, by pymatgen's distances: oxide, hydroxide (corrected as an
    oxide), peroxide, superoxide, ozonide; sulfide, polysulfide (as a sulfide), sulfate (none).
    """
    from pymatgen.core.structure_analyzer import oxide_type, sulfide_type

    oxides = _types(crystals, OXYGEN, lambda one: oxide_type(one, OXIDE_CUTOFF))
    # pymatgen's None must not reach the entry: what is not said counts as a sulfide there
    sulfides = _types(crystals, SULFUR, lambda one: sulfide_type(one) or "sulfate")
    found = []
    for counts, oxide, sulfide in zip(crystals.reduced_counts, oxides, sulfides, strict=True):
        found.append((*_adjustments(counts, str(oxide), str(sulfide)), counts))
    return Corrections(
        per_atom=np.array([sum(a.value for a in each) for each, _, _ in found], dtype=np.float64),
        adjustments=tuple(each for each, _, _ in found),
        anions_by=np.array([rule for _, rule, _ in found], dtype=object),
        message=np.array([_told(*each) for each in found], dtype=object),
    )


def learned_corrections(crystals: Crystals) -> Corrections:
    """Corrections of energies that a potential learned: no +U where it cannot have learned it.

    As ``mp2020_corrections``, but metals from which O and F take less than ``LEAST_CHARGE`` each
    are taken as metals without +U, and the message says so.
    """
    found = mp2020_corrections(crystals)
    adjustments, messages = list(found.adjustments), found.message.copy()
    for i, counts in enumerate(crystals.reduced_counts):
        metals = hubbard_u(counts)
        atoms = {SYMBOLS[z]: n for z, n in counts}
        charge = 2 * atoms.get("O", 0) + atoms.get("F", 0)
        if not metals or charge >= LEAST_CHARGE * sum(atoms[metal] for metal in metals):
            continue
        adjustments[i] = tuple(one for one in adjustments[i] if PLUS_U not in one.name)
        told = f"too little O and F for +U on {', '.join(metals)}: taken as without"
        messages[i] = "; ".join(filter(None, (messages[i], told)))
    per_atom = np.array([sum(a.value for a in each) for each in adjustments], dtype=np.float64)
    return replace(found, per_atom=per_atom, adjustments=tuple(adjustments), message=messages)


def _told(adjustments: tuple[Adjustment, ...], rule: AnionRule, counts: Counts) -> str:
    """What is to be said of the rule, where another one would have another result.

    Rare states, such as Cl at +7 in KClO4, may balance what common ones do not.
    """
    by_states = {SYMBOLS[z] for z, _ in counts} & TOLD_BY_STATES
    if rule not in UNBALANCED or not by_states:
        return ""
    corrected = {a.name.rpartition("(")[2].rstrip(")") for a in adjustments} & TOLD_BY_STATES
    rare = mean_states(counts, tuple(_known_states(z) for z, _ in counts))
    if (
        rule is AnionRule.ELECTRONEGATIVITY
        and rare
        and corrected
        == {
            SYMBOLS[z]
            for (z, _), state in zip(counts, rare, strict=True)
            if SYMBOLS[z] in by_states and state <= -1
        }
    ):
        return ""
    names = ", ".join(a.name.removeprefix("MP2020 ") for a in adjustments) or "none"
    aside = ", rare ones aside" if rare else ""
    return f"no oxidation states balance the charges{aside} ({rule}); MP2020 corrections: {names}"


@cache
def _known_states(z: int) -> tuple[int, ...]:
    """All states of an element that pymatgen lists; of oxygen those in oxides and peroxides."""
    if z == OXYGEN:
        return (-2, -1)
    return tuple(sorted({*common_states(z), *map(int, element(z).oxidation_states)}))


@lru_cache(maxsize=200_000)
def _adjustments(
    counts: Counts, oxide: str, sulfide: str
) -> tuple[tuple[Adjustment, ...], AnionRule]:
    """Of one reduced formula, as (atomic number, atoms), with its types of oxide and sulfide."""
    if len(counts) < 2:
        return (), AnionRule.NONE_NEEDED
    from pymatgen.core import Composition
    from pymatgen.entries.computed_entries import ComputedEntry

    scheme = _scheme()
    with warnings.catch_warnings():
        # some elements (He, Ne, ...) have no electronegativity; a lack of states is returned
        warnings.simplefilter("ignore", UserWarning)
        ordered = _by_electronegativity(counts)
        composition = Composition({SYMBOLS[z]: n for z, n in ordered})
        anion = SYMBOLS[ordered[-1][0]]
        states, rule = _states_and_rule(composition, anion)
        if rule is AnionRule.NO_ANION and anion == "O":
            oxide = "ozonide"  # takes none
        hubbards = hubbard_u(counts)
        entry = ComputedEntry(
            composition,
            0.0,
            parameters={"run_type": "GGA+U" if hubbards else "GGA", "hubbards": hubbards},
            data={"oxidation_states": states, "oxide_type": oxide, "sulfide_type": sulfide},
        )
        parts = scheme.get_adjustments(entry)
    n_atoms = sum(n for _, n in counts)
    found = tuple(Adjustment(part.name, float(part.value) / n_atoms) for part in parts)
    return found, rule


def hubbard_u(counts: Counts) -> dict[str, float]:
    """U (eV) that the Materials Project puts on elements of a compound, in oxides and fluorides.

    >>> hubbard_u(((26, 2), (8, 3))), hubbard_u(((26, 1), (16, 1)))
    ({'Fe': 5.3}, {})

    Args:
        counts: (atomic number, atoms) of each element.
    """
    settings = _scheme().u_settings.get(SYMBOLS[_by_electronegativity(counts)[-1][0]], {})
    return {SYMBOLS[z]: settings[SYMBOLS[z]] for z, _ in counts if SYMBOLS[z] in settings}


def _by_electronegativity(counts: Counts) -> list[tuple[int, int]]:
    """The elements, the anion last.

    pymatgen's own sort leaves a list in order as it is, but would be spoilt by the nan of noble
    gases, and at ties (CuSi, PdH) go by the order of the atoms: here the anion wins.
    """
    chi, fitted = np.nan_to_num(electronegativities()), _scheme().comp_correction
    return sorted(counts, key=lambda count: (chi[count[0]], SYMBOLS[count[0]] in fitted))


def _states_and_rule(
    composition: "Composition", most_electronegative: str
) -> tuple[dict[str, float], AnionRule]:
    """States that the scheme is to read, and the rule that gave them."""
    elements = list(composition)
    counts = tuple((e.Z, int(composition[e])) for e in elements)
    states = mean_states(counts)
    if states:
        symbols = [e.symbol for e in elements]
        return dict(zip(symbols, states, strict=True)), AnionRule.OXIDATION_STATES
    supply = sum(
        amount * max(0.0, OXIDISED.get(element.symbol, element.max_oxidation_state))
        for element, amount in composition.items()
        if element.symbol != most_electronegative
    )
    least = -supply / composition[most_electronegative]
    bound = LEAST_STATES.get(most_electronegative, LEAST_STATE)
    if least <= bound + 1e-9:
        return {}, AnionRule.ELECTRONEGATIVITY
    # above -1, and below 0 lest it be taken for unknown: the scheme itself declines it
    return {most_electronegative: min(least, -1e-9)}, AnionRule.NO_ANION


@cache
def _scheme() -> "MaterialsProject2020Compatibility":
    from pymatgen.entries.compatibility import MaterialsProject2020Compatibility

    # pseudopotentials cannot be checked: a potential names none
    return MaterialsProject2020Compatibility(check_potcar=False)


def _types(
    crystals: Crystals, anion: int, type_of: Callable[[object], str]
) -> Shaped[np.ndarray, " n"]:
    """Types of the compounds that hold the anion; elements and all others have none."""
    compound = (crystals.composition > 0).sum(axis=1) > 1
    types = np.full(len(crystals), "none", dtype=object)
    for i in np.flatnonzero((crystals.composition[:, anion] > 0) & compound).tolist():
        (structure,) = to_pymatgen(crystals[i])
        types[i] = type_of(structure)
    return types
