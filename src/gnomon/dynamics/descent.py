"""Many crystals downhill at once, on the device: L-BFGS on positions and cells, each by itself.

A crystal's coordinates are the displacements of its atoms (Å) and a symmetric strain times
J = V^(1/3) n^(1/6), which makes a strain about as stiff as a displacement (Sheppard et al., J.
Chem. Phys. 136, 074103 (2012)).  Both are counted from where the crystal is: a step moves the
atoms and then strains them with their cell.  Each crystal has its own history, trust radius and
counters; a step that raises the energy is taken back and shortened.

L-BFGS: Nocedal and Wright, Numerical Optimization (2006), algorithm 7.4.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Shaped

from gnomon.potential.batch import AtomBatch
from gnomon.potential.network import Potential, energy_forces_stress

HISTORY = 16
"""Pairs of steps and changes of force that a crystal remembers."""

MAX_MOVE = 0.2
"""Å; no atom moves farther in one step, strain left out."""

MAX_STRAIN = 0.04
"""No cell is strained by more in one step."""

MIN_TRUST = 0.05
"""Smallest trust radius, as a share of ``MAX_MOVE`` and ``MAX_STRAIN``."""

FIRST_STEP = 1 / 70
"""Å2/eV; step over force where nothing is remembered (as ASE's LBFGS begins)."""

LONGEST_STEP = 0.5
"""Å2/eV; largest inverse curvature that the latest pair may suggest for all directions."""

MIN_CURVATURE = 1e-3
"""eV/Å2; pairs of less curvature say nothing about a minimum and are not remembered."""

MAX_HASTE = 64.0
"""Where the energy curves down along a step, the next one is twice as long, up to this factor."""

RISE = 1e-4
"""eV/atom; energies may rise by this much, which single precision cannot tell from falling."""

ROUNDING = 1e-4
"""Å; by which neighbours must reach farther than single precision says."""

STUCK = 1e-3
"""Share of ``MAX_MOVE`` below which a step is not shortened further."""


class Rows(NamedTuple):
    """Coordinates, forces or steps of a batch: of atoms (Å, eV/Å), and of cells in like units."""

    atoms: Float[Any, "*m atoms 3"]
    cells: Float[Any, "*m crystals 3 3"]


class Descent(NamedTuple):
    """Where crystals stand: one alone in NumPy on the host, those of a batch in JAX on the device.

    Attributes:
        positions, lattice: Å; of the lowest point so far.
        energy, force, stress, fmax: there, eV; eV/Å; eV/Å3; the largest force as ASE's cell filters
            count it: the rows of -V stress / n beside those of the atoms, in the cell as it is.
        step: to be tried next.
        steps, changes: the last ``HISTORY`` steps, and by how much the force fell along each.
        weight: 1 / (steps . changes), 0 where there is none.
        trust: radius, as a share of ``MAX_MOVE`` and ``MAX_STRAIN``.
        haste: factor on the steps of L-BFGS, 1 where the energy curves up.
        jacobian: J, Å; of each crystal as given.
        calls: evaluations so far.
        active: False for what is converged, hopeless or padding.
    """

    positions: Float[Any, "atoms 3"]
    lattice: Float[Any, "crystals 3 3"]
    energy: Float[Any, " crystals"]
    force: Rows
    stress: Float[Any, "crystals 3 3"]
    fmax: Float[Any, " crystals"]
    step: Rows
    steps: Rows
    changes: Rows
    weight: Float[Any, "m crystals"]
    trust: Float[Any, " crystals"]
    haste: Float[Any, " crystals"]
    jacobian: Float[Any, " crystals"]
    calls: Int[Any, " crystals"]
    active: Bool[Any, " crystals"]


class Limits(NamedTuple):
    """When to stop, and how far the neighbours in the batch are good for.

    Attributes:
        fmax: eV/Å.
        calls: evaluations of one crystal in all.
        steps: of one call of ``descend``.
        finished: crystals that may end before ``descend`` returns.
        cutoff, reach: Å; of the potential, and of the neighbours.
        relax_cell: 1 or 0.
    """

    fmax: Array | np.floating
    calls: Array | np.integer
    steps: Array | np.integer
    finished: Array | np.integer
    cutoff: Array | np.floating
    reach: Array | np.floating
    relax_cell: Array | np.floating


@eqx.filter_jit
def descend(
    potential: Potential, batch: AtomBatch, start: Descent, limits: Limits
) -> tuple[Descent, Bool[Array, " crystals"]]:
    """Steps until enough crystals have ended, one needs new neighbours, or there were enough.

    Args:
        potential: anything with its ``energies(batch, vectors)``.
        batch: with neighbours within ``limits.reach`` in the geometry that it holds; they must
            serve for the first step of ``start``.
        start: the descent so far.
        limits: arrays; all of them may change without a new compilation.

    Returns:
        the descent, and where the neighbours still serve for the next step.
    """
    built = batch
    begun = jnp.sum(start.active)

    def going(carry: tuple[Descent, Int[Array, ""]]) -> Bool[Array, ""]:
        state, count = carry
        ended = begun - jnp.sum(state.active)
        fits = jnp.all(within_reach(built, state, limits) | ~state.active)
        more = (ended < limits.finished) & jnp.any(state.active)
        return (count < limits.steps) & ((count == 0) | (fits & more))

    def once(carry: tuple[Descent, Int[Array, ""]]) -> tuple[Descent, Int[Array, ""]]:
        state, count = carry
        return _advance(potential, batch, state, limits), count + 1

    state, _ = jax.lax.while_loop(going, once, (start, jnp.zeros((), jnp.int32)))
    return state, within_reach(built, state, limits)


def moved(
    state: Descent, crystal: Int[Array, " atoms"]
) -> tuple[Float[Array, "atoms 3"], Float[Array, "crystals 3 3"]]:
    """Positions and lattices after the step; exp(strain) to second order, never singular."""
    strain = state.step.cells / state.jacobian[:, None, None]
    stretch = jnp.eye(3, dtype=strain.dtype) + strain + 0.5 * strain @ strain
    positions = state.positions + state.step.atoms
    return (
        jnp.einsum("ai,aij->aj", positions, stretch[crystal]),
        state.lattice @ stretch,
    )


def within_reach(built: AtomBatch, state: Descent, limits: Limits) -> Bool[Array, " crystals"]:
    """Whether the neighbours still hold all pairs within the cutoff after the step.

    With the strain F since the neighbours were found and the largest displacement u beside it, a
    pair that was at least ``reach`` apart is now at least (1 - |F - 1|) reach - 2 u apart.
    """
    positions, lattice = moved(state, jnp.asarray(built.crystal))
    strain = jnp.linalg.inv(jnp.asarray(built.lattice)) @ lattice
    affine = jnp.einsum("ai,aij->aj", jnp.asarray(built.positions), strain[built.crystal])
    displaced = jnp.sqrt(_largest(((positions - affine) ** 2).sum(axis=1), built))
    change = jnp.abs(strain - jnp.eye(3, dtype=strain.dtype))
    # the spectral norm is at most the root of the largest column sum times the largest row sum
    norm = jnp.sqrt(change.sum(axis=1).max(axis=1) * change.sum(axis=2).max(axis=1))
    return (1 - norm) * limits.reach - 2 * displaced >= limits.cutoff + ROUNDING


def _advance(potential: Potential, batch: AtomBatch, state: Descent, limits: Limits) -> Descent:
    """One evaluation of every crystal, and the step after it."""
    crystal = jnp.asarray(batch.crystal)
    positions, lattice = moved(state, crystal)
    here = eqx.tree_at(lambda b: (b.positions, b.lattice), batch, (positions, lattice))
    energy, forces, stress = energy_forces_stress(potential, here)
    volume = jnp.abs(jnp.linalg.det(lattice))[:, None, None]
    virial = -volume * stress * limits.relax_cell
    force = Rows(forces, virial / state.jacobian[:, None, None])
    real = (jnp.asarray(batch.atomic_numbers) > 0).astype(energy.dtype)
    n_atoms = jnp.maximum(jax.ops.segment_sum(real, crystal, len(lattice)), 1)
    pulls = jnp.sqrt((virial**2).sum(axis=2).max(axis=1)) / n_atoms
    fmax = jnp.maximum(jnp.sqrt(_largest((forces**2).sum(axis=1), batch)), pulls)

    first = state.calls == 0
    finite = jnp.isfinite(energy) & jnp.isfinite(fmax) & jnp.isfinite(_dot(force, force, crystal))
    slope = _dot(state.step, state.force, crystal)
    rise = energy - state.energy
    stuck = _length(state.step, state.jacobian, batch) < STUCK
    kept = state.active & finite & (first | stuck | (rise <= RISE * n_atoms))

    steps, changes, weight, upward = _remembered(state, force, kept & ~first, crystal)
    hasty = jnp.where(upward, 1.0, jnp.minimum(2 * state.haste, MAX_HASTE))
    haste = jnp.where(kept & ~first, hasty, jnp.where(kept, state.haste, 1.0))
    state = state._replace(
        positions=jnp.where(kept[crystal][:, None], positions, state.positions),
        lattice=jnp.where(kept[:, None, None], lattice, state.lattice),
        energy=jnp.where(kept, energy, state.energy),
        force=_where(kept, force, state.force, crystal),
        stress=jnp.where(kept[:, None, None], stress, state.stress),
        fmax=jnp.where(kept, fmax, state.fmax),
        steps=steps,
        changes=changes,
        weight=weight,
    )
    trust = jnp.where(kept, jnp.minimum(1.2 * state.trust, 1.0), 0.5 * state.trust)
    trust = jnp.maximum(trust, MIN_TRUST)
    ahead = _times(_direction(state, crystal), haste, crystal)
    longest = _length(ahead, state.jacobian, batch)
    ahead = _times(ahead, jnp.minimum(1.0, trust / jnp.maximum(longest, 1e-12)), crystal)
    # the minimum of the parabola through both energies and the slope
    back = jnp.where(finite, jnp.clip(slope / (2 * (rise + slope)), 0.1, 0.5), 0.25)
    step = _where(kept, ahead, _times(state.step, back, crystal), crystal)
    calls = state.calls + state.active
    hopeless = ~finite & (first | stuck)
    ended = (kept & (fmax < limits.fmax)) | (calls >= limits.calls) | hopeless
    return state._replace(
        step=_where(state.active, step, state.step, crystal),
        trust=jnp.where(state.active, trust, state.trust),
        haste=haste.astype(state.haste.dtype),
        calls=calls,
        active=state.active & ~ended,
    )


def _remembered(
    state: Descent, force: Rows, kept: Bool[Array, " crystals"], crystal: Int[Array, " atoms"]
) -> tuple[Rows, Rows, Float[Array, "m crystals"], Bool[Array, " crystals"]]:
    """The history with the step just taken, where its curvature is positive, and where it is."""
    change = Rows(state.force.atoms - force.atoms, state.force.cells - force.cells)
    along = _dot(state.step, change, crystal)
    length2 = _dot(state.step, state.step, crystal)
    kept = kept & (along > MIN_CURVATURE * length2) & (length2 > 0)

    def push(past: Rows, latest: Rows) -> Rows:
        later = jax.tree.map(lambda p, new: jnp.concatenate([p[1:], new[None]]), past, latest)
        return _where(kept, later, past, crystal)

    weight = 1 / jnp.where(kept, along, 1.0)
    weights = jnp.where(kept, jnp.concatenate([state.weight[1:], weight[None]]), state.weight)
    return push(state.steps, state.step), push(state.changes, change), weights, kept


def _direction(state: Descent, crystal: Int[Array, " atoms"]) -> Rows:
    """The inverse Hessian that the history suggests, times the force."""

    def newer(ahead: Rows, pair: tuple[Rows, Rows, Array]) -> tuple[Rows, Array]:
        step, change, weight = pair
        share = weight * _dot(step, ahead, crystal)
        return _plus(ahead, change, -share, crystal), share

    def older(ahead: Rows, pair: tuple[Rows, Rows, Array, Array]) -> tuple[Rows, None]:
        step, change, weight, share = pair
        return _plus(ahead, step, share - weight * _dot(change, ahead, crystal), crystal), None

    history = (state.steps, state.changes, state.weight)
    ahead, shares = jax.lax.scan(newer, state.force, history, reverse=True)
    latest = Rows(state.changes.atoms[-1], state.changes.cells[-1])
    size = state.weight[-1] * _dot(latest, latest, crystal)
    known = state.weight[-1] > 0
    scale = jnp.where(known, jnp.minimum(1 / jnp.where(known, size, 1.0), LONGEST_STEP), FIRST_STEP)
    return jax.lax.scan(older, _times(ahead, scale, crystal), (*history, shares))[0]


def _dot(one: Rows, other: Rows, crystal: Int[Array, " atoms"]) -> Float[Array, " crystals"]:
    atoms = jax.ops.segment_sum((one.atoms * other.atoms).sum(axis=1), crystal, len(one.cells))
    return atoms + (one.cells * other.cells).sum(axis=(1, 2))


def _spread(values: Shaped[Array, " crystals"], crystal: Int[Array, " atoms"]) -> Rows:
    """One value for each crystal, in the place of its rows."""
    return Rows(values[crystal][:, None], values[:, None, None])


def _times(rows: Rows, factor: Float[Array, " crystals"], crystal: Int[Array, " atoms"]) -> Rows:
    return jax.tree.map(jnp.multiply, rows, _spread(factor, crystal))


def _plus(
    one: Rows, other: Rows, factor: Float[Array, " crystals"], crystal: Int[Array, " atoms"]
) -> Rows:
    return jax.tree.map(lambda a, b, f: a + b * f, one, other, _spread(factor, crystal))


def _where(
    chosen: Bool[Array, " crystals"], one: Rows, other: Rows, crystal: Int[Array, " atoms"]
) -> Rows:
    return jax.tree.map(jnp.where, _spread(chosen, crystal), one, other)


def _length(
    step: Rows, jacobian: Float[Array, " crystals"], batch: AtomBatch
) -> Float[Array, " crystals"]:
    """The farthest that a step goes, as a share of what one step may."""
    farthest = jnp.sqrt(_largest((step.atoms**2).sum(axis=1), batch))
    strain = jnp.abs(step.cells).max(axis=(1, 2)) / jacobian
    return jnp.maximum(farthest / MAX_MOVE, strain / MAX_STRAIN)


def _largest(values: Float[Array, " atoms"], batch: AtomBatch) -> Float[Array, " crystals"]:
    """Of the atoms of each crystal; 0 for padding."""
    real = jnp.where(jnp.asarray(batch.atomic_numbers) > 0, values, 0.0)
    largest = jax.ops.segment_max(real, batch.crystal, len(batch.lattice))
    return jnp.maximum(largest, 0.0)
