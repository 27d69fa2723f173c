"""Laws that every generator, evaluator, model and hull keeps: checks for the tests of plug-ins.

Each check runs what it is given on a few crystals and raises ``BrokenLaw`` with a sentence that
says which law is broken, and where.
"""

from collections.abc import Callable
from itertools import combinations

import numpy as np
import pyarrow as pa
from jaxtyping import Float64

from gnomon.crystals import Crystals
from gnomon.evaluate import Evaluations, Evaluator, Status
from gnomon.generate import LINEAGE, Candidates, Generator
from gnomon.hull.convex import Hull
from gnomon.models import EnergyModel
from gnomon.represent.laws import written_otherwise

OGANESSON = Crystals.single(np.eye(3) * 4.0, [118], [[0.0, 0.0, 0.0]])
"""A crystal of an element that evaluators do not know."""


class BrokenLaw(AssertionError):  # noqa: N818  (the name says what happened)
    """What was checked breaks a law; the message says which."""


def check_generator(
    make: Callable[[], Generator], parents: Crystals, *, seed: int = 0
) -> Candidates:
    """Check the laws of generators, and return all candidates.

    The parents stay as they are; the same parents and seed give the same candidates with the same
    lineage, whoever makes them; each candidate has a row of lineage, in order, with the generator's
    name and the id of one of the parents or none.

    Args:
        make: makes the generator anew, as a campaign does on every start.
        parents: what to generate from; no crystals for generators that need none.
        seed: of every random choice.

    Returns:
        The candidates of all chunks.

    Raises:
        BrokenLaw: if one does not hold.

    >>> from gnomon.generate.registry import generator
    >>> make = lambda: generator("prototypes", "Au-Cu", max_atoms=2)
    >>> found = check_generator(make, Crystals.empty())
    >>> len(found.crystals) > 10
    True
    """
    generator, before = make(), _bytes(parents)
    chunks = list(generator.generate(parents, seed=seed))
    _hold(_bytes(parents) == before, "the parents were changed: they are inputs, read only")
    for chunk in chunks:
        rows = chunk.lineage
        _hold(
            rows.schema.equals(LINEAGE), f"the lineage has the columns {rows.schema}: use LINEAGE"
        )
        _hold(
            rows["id"].to_pylist() == chunk.crystals.ids.tolist(),
            "the lineage does not list the candidates in their order",
        )
        _hold(
            set(rows["generator"].to_pylist()) <= {generator.name},
            f"the lineage names another generator than {generator.name!r}",
        )
        unknown = {*rows["parent_id"].to_pylist()} - {None, *parents.ids}
        _hold(not unknown, f"the lineage names parents that were not given: {sorted(unknown)[:3]}")
    again = list(make().generate(parents, seed=seed))
    _hold(
        [chunk.lineage for chunk in again] == [chunk.lineage for chunk in chunks],
        "the same parents and seed gave other candidates the second time",
    )
    lineage = pa.concat_tables([LINEAGE.empty_table(), *(chunk.lineage for chunk in chunks)])
    return Candidates(Crystals.concatenate([chunk.crystals for chunk in chunks]), lineage)


def check_evaluator(
    evaluator: Evaluator,
    crystals: Crystals,
    *,
    broken: Crystals = OGANESSON,
    tolerance: float = 2e-3,
    seed: int = 0,
) -> Evaluations:
    """Check the laws of evaluators, and return the evaluations of the crystals.

    There is one row a crystal, in the order given; a failure is a row with a status and no energy,
    and stops no other; inputs stay as they are; the energy per atom depends neither on the cell's
    orientation, origin and order of atoms nor on its size.

    Args:
        evaluator: what is checked.
        crystals: some that it can evaluate.
        broken: crystals that it cannot evaluate.
        tolerance: between energies of one crystal written differently, eV/atom.
        seed: of the ways in which crystals are written.

    Raises:
        BrokenLaw: if a law does not hold.

    >>> from ase.build import bulk
    >>> from gnomon.evaluate.by_name import evaluator
    >>> from gnomon.io import as_crystals
    >>> emt = evaluator("ase:ase.calculators.emt.EMT", workers=1)
    >>> check_evaluator(emt, as_crystals([bulk("Cu")])).status.tolist()
    ['converged']
    """
    _hold(bool(evaluator.scheme), "an evaluator names its energy scheme")
    given = Crystals.concatenate([crystals, broken, crystals[:1]])
    found = _evaluated(evaluator, given)
    last = len(given) - 1
    for i, (status, energy) in enumerate(zip(found.status, found.energy_per_atom, strict=True)):
        _hold(status in {s.value for s in Status}, f"row {i} has the unknown status {status!r}")
        converged = status == Status.CONVERGED
        _hold(
            np.isfinite(energy) if converged else True,
            f"row {i} is {status} with an energy of {energy}",
        )
        is_broken = len(crystals) <= i < last
        wrong = f"row {i}, a crystal that {'cannot' if is_broken else 'can'} be evaluated"
        _hold(converged != is_broken, f"{wrong}, is {status}: {found.message[i]}")
    energies = found.energy_per_atom[: len(crystals)]
    _hold(
        abs(found.energy_per_atom[last] - energies[0]) <= tolerance,
        "the first crystal has another energy after a failure",
    )
    for way, same in written_otherwise(crystals, seed).items():
        other = _evaluated(evaluator, same).energy_per_atom
        _same_energies(energies, other, tolerance, way)
    return _evaluated(evaluator, crystals)


def check_model(
    model: EnergyModel, crystals: Crystals, *, tolerance: float = 1e-4, seed: int = 0
) -> None:
    """Check the laws of energy models.

    There is one prediction a crystal, in order; those without one have a reason; inputs stay as
    they are; energies depend neither on the company nor on how a crystal is written.

    Args:
        model: what is checked.
        crystals: two or more.
        tolerance: between energies of one crystal written differently, eV/atom.
        seed: of the ways in which crystals are written.

    Raises:
        BrokenLaw: if a law does not hold.

    >>> from ase.build import bulk
    >>> from gnomon.io import as_crystals
    >>> from gnomon.models.ensemble import load_model
    >>> check_model(load_model("composition-1"), as_crystals([bulk("Cu"), bulk("Ag")]))
    """
    _hold(isinstance(model.scheme, str), "a model names its energy scheme")
    before, found = _bytes(crystals), model.predict(crystals)
    _hold(_bytes(crystals) == before, "the crystals were changed: they are inputs, read only")
    _hold(
        found.members.shape[1:] == found.reasons.shape == (len(crystals),),
        f"{len(crystals)} crystals have predictions of shape {found.members.shape}",
    )
    there = np.isfinite(found.members).all(axis=0)
    _hold(
        bool((there == (found.reasons == "")).all()),
        "a row has either an energy of every member or a reason why it has none",
    )
    alone = np.concatenate([model.predict(one).median for one in crystals])
    _same_energies(found.median, alone, tolerance, "alone")
    for way, same in written_otherwise(crystals, seed).items():
        _same_energies(found.median, model.predict(same).median, tolerance, way)


def assert_hull(hull: Hull, *, most: int = 14, tolerance: float = 1e-8) -> None:
    """Assert that no phase lies below its hull, and that the hull is what its phases say.

    Every decomposition is a mixture of the phase's own composition, at the energy of the hull.  Of
    ``most`` phases or fewer, energies are compared with those of all mixtures of as many phases as
    there are elements (a vertex of the linear program is one of them).

    Args:
        hull: what is checked.
        most: phases up to which all mixtures are tried.
        tolerance: eV/atom.

    Raises:
        BrokenLaw: if something else is found.

    >>> from gnomon.hull.phases import Phases, compositions
    >>> ids = np.array(["gold", "copper", "ordered"], dtype=object)
    >>> energies = np.array([0, 0, -0.05])  # eV/atom
    >>> assert_hull(Hull(Phases(ids, compositions(["Au", "Cu", "AuCu"]), energies, "demo")))
    """
    phases = hull.phases
    own, energies = phases.composition, phases.formation_energy_per_atom
    above = hull.e_above_hull(own, energies)
    _hold(bool((above >= 0).all()), f"{phases.ids[above.argmin()]} lies below its own hull")
    fractions = own / own.sum(axis=1, keepdims=True)
    places = {name: i for i, name in reversed(list(enumerate(phases.ids.tolist())))}
    unique = len(places) == len(phases)
    for i, mixture in enumerate(hull.decomposition(own)):
        rows, shares = [places[name] for name in mixture], np.array([*mixture.values()])
        name = phases.ids[i]
        _hold(
            not unique or np.allclose(shares @ fractions[rows], fractions[i], atol=1e-8),
            f"{name} falls into {mixture}, which has another composition",
        )
        mixed = float(shares @ energies[rows]) if unique else energies[i] - above[i]
        _hold(
            abs(mixed + above[i] - energies[i]) <= tolerance,
            f"{name} is {above[i]} eV/atom above the hull, but its mixture has {mixed} eV/atom",
        )
    if len(phases) <= most:
        lowest = _lowest_mixtures(fractions, energies)
        _hold(
            np.allclose(energies - above, lowest, atol=tolerance, rtol=0),
            "a mixture of phases lies below the hull",
        )


def _lowest_mixtures(
    fractions: Float64[np.ndarray, "n 119"], energies: Float64[np.ndarray, " n"]
) -> Float64[np.ndarray, " n"]:
    """The lowest energy at each phase's composition, of all mixtures of independent phases."""
    columns = fractions[:, fractions.any(axis=0)]
    lowest = energies.copy()
    for rows in combinations(range(len(energies)), columns.shape[1]):
        part = columns[list(rows)]
        if abs(np.linalg.det(part)) < 1e-9:
            continue
        shares = columns @ np.linalg.inv(part)
        mixed = np.where((shares > -1e-9).all(axis=1), shares @ energies[list(rows)], np.inf)
        lowest = np.minimum(lowest, mixed)
    return lowest


def _evaluated(evaluator: Evaluator, crystals: Crystals) -> Evaluations:
    before = _bytes(crystals)
    found = Evaluations.concatenate(list(evaluator.evaluate(crystals)))
    _hold(_bytes(crystals) == before, "the crystals were changed: they are inputs, read only")
    _hold(found.scheme == evaluator.scheme, f"evaluations of another scheme, {found.scheme!r}")
    _hold(
        found.ids.tolist() == crystals.ids.tolist(),
        "there is not one row a crystal in the order given",
    )
    return found


def _same_energies(energies: np.ndarray, others: np.ndarray, tolerance: float, way: str) -> None:
    for i, (one, other) in enumerate(zip(energies, others, strict=True)):
        same = abs(one - other) <= tolerance or (np.isnan(one) and np.isnan(other))
        _hold(same, f"crystal {i} has {one:.6f} eV/atom, and {other:.6f} eV/atom {way}")


def _bytes(crystals: Crystals) -> list[bytes]:
    columns = (crystals.lattice, crystals.atomic_numbers, crystals.frac_coords, crystals.offsets)
    return [column.tobytes() for column in columns]


def _hold(law: object, message: str) -> None:
    if not law:
        raise BrokenLaw(message)
