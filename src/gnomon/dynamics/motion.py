"""Many crystals in motion at once, on the device: steps in time, each crystal by itself.

Velocity Verlet; Nosé-Hoover chains (Martyna, Klein and Tuckerman, J. Chem. Phys. 97, 2635 (1992))
of three links, integrated to fourth order (Yoshida, Phys. Lett. A 150, 262 (1990)); Langevin
(Vanden-Eijnden and Ciccotti, Chem. Phys. Lett. 429, 310 (2006)): the schemes of ASE, step for step.
A step has two halves, with the forces between them, so that it is known before the forces are
computed whether the neighbours still serve.

Units are ASE's: Å, eV, u, and the time that follows from them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt32

from gnomon.dynamics.descent import ROUNDING
from gnomon.dynamics.md import Ensemble
from gnomon.potential.batch import AtomBatch
from gnomon.potential.network import Potential, energy_forces_stress

LINKS = 3
"""Of a Nosé-Hoover chain."""

YOSHIDA = (1 / (2 - 2 ** (1 / 3)), -(2 ** (1 / 3)) / (2 - 2 ** (1 / 3)), 1 / (2 - 2 ** (1 / 3)))
"""Parts of a step of fourth order."""


class Motion(NamedTuple):
    """Where crystals are, and how they move: in NumPy on the host, in JAX on the device.

    Attributes:
        moved: Å, since the neighbours were found.
        velocities: of the atoms.
        forces, energy: where the atoms are, eV/Å, eV.
        rates: of the links of each crystal's chain, 1/time.
        step: that each crystal has come to.
        active: crystals that are to move.
    """

    moved: Float[Any, "atoms 3"]
    velocities: Float[Any, "atoms 3"]
    forces: Float[Any, "atoms 3"]
    energy: Float[Any, " crystals"]
    rates: Float[Any, "crystals links"]
    step: Int[Any, " crystals"]
    active: Bool[Any, " crystals"]


class Laws(NamedTuple):
    """What the motion follows; all of it may change without a new compilation.

    Attributes:
        timestep: 0 computes the forces and moves nothing.
        thermal: kT, eV.
        time: scale of the thermostat.
        hottest: eV, kinetic energy of an atom beyond which a crystal stops.
        skin: Å, by which the neighbours reach beyond the cutoff.
        steps: of one call.
        masses: of the atoms, u; 1 for padding.
        seeds: of the noise of each atom.
    """

    timestep: Float[Any, ""]
    thermal: Float[Any, ""]
    time: Float[Any, ""]
    hottest: Float[Any, ""]
    skin: Float[Any, ""]
    steps: Int[Any, ""]
    masses: Float[Any, " atoms"]
    seeds: UInt32[Any, " atoms"]


class Half(NamedTuple):
    """What the halves of a step know: the laws, the batch, and each crystal's atoms."""

    laws: Laws
    crystal: Int[Array, " atoms"]
    counts: Float[Array, " crystals"]

    @property
    def masses(self) -> Float[Array, "atoms 1"]:
        """Of the atoms, beside their coordinates."""
        return jnp.asarray(self.laws.masses)[:, None]

    def twice_kinetic(self, motion: Motion) -> Float[Array, " crystals"]:
        """2 K of each crystal, eV."""
        each = (motion.velocities**2 * self.masses).sum(axis=1)
        return jax.ops.segment_sum(each, self.crystal, len(self.counts))


@eqx.filter_jit
def advance(
    potential: Potential, batch: AtomBatch, start: Motion, laws: Laws, ensemble: Ensemble
) -> tuple[Motion, Bool[Array, " crystals"]]:
    """Steps until there were enough, or the neighbours of a crystal serve no more.

    Args:
        potential: anything with its ``energies(batch, vectors)``.
        batch: as it was when its neighbours were found, within cutoff and skin.
        start: the motion so far.
        laws: what it follows.
        ensemble: what is kept constant; no ``npt``.

    Returns:
        the motion, and where the neighbours serve for the next step.  A crystal that is too hot, or
        whose numbers are not finite, is not active any more.
    """
    first, second = HALVES[ensemble]
    crystal = jnp.asarray(batch.crystal)
    real = (jnp.asarray(batch.atomic_numbers) > 0).astype(start.moved.dtype)
    half = Half(laws, crystal, jax.ops.segment_sum(real, crystal, len(batch.lattice)))
    vectors = batch.vectors()

    def serves(motion: Motion) -> Bool[Array, " crystals"]:
        ahead = first(half, motion).moved
        far = jax.ops.segment_max((ahead**2).sum(axis=1), crystal, len(batch.lattice))
        return (2 * jnp.sqrt(far) + ROUNDING <= laws.skin) | ~motion.active

    def going(carry: tuple[Motion, Int[Array, ""]]) -> Bool[Array, ""]:
        motion, count = carry
        return (count < laws.steps) & jnp.all(serves(motion)) & jnp.any(motion.active)

    def once(carry: tuple[Motion, Int[Array, ""]]) -> tuple[Motion, Int[Array, ""]]:
        motion, count = carry
        between = first(half, motion)
        along = between.moved[batch.senders] - between.moved[batch.receivers][:, None]
        energy, forces, _ = energy_forces_stress(potential, batch, vectors + along)
        after = second(half, between._replace(energy=energy, forces=forces))
        return _where_active(motion, after, half), count + 1

    motion, _ = jax.lax.while_loop(going, once, (start, jnp.zeros((), jnp.int32)))
    return motion, serves(motion)


def _where_active(before: Motion, after: Motion, half: Half) -> Motion:
    """The motion of the crystals that move, one step later; those that came apart stay."""
    hot = half.twice_kinetic(after) > 2 * half.laws.hottest * half.counts
    sound = jnp.isfinite(after.energy) & jnp.isfinite(half.twice_kinetic(after)) & ~hot
    going = before.active & sound
    of_atoms = going[half.crystal][:, None]
    taken = (jnp.asarray(half.laws.timestep) > 0).astype(before.step.dtype)
    return Motion(
        moved=jnp.where(of_atoms, after.moved, before.moved),
        velocities=jnp.where(of_atoms, after.velocities, before.velocities),
        forces=jnp.where(of_atoms, after.forces, before.forces),
        energy=jnp.where(going, after.energy, before.energy),
        rates=jnp.where(going[:, None], after.rates, before.rates),
        step=before.step + taken * going,
        active=going,
    )


def _kick(half: Half, motion: Motion) -> Motion:
    """Half a step of the velocities."""
    change = half.laws.timestep / 2 * motion.forces / half.masses
    return motion._replace(velocities=motion.velocities + change)


def _drift(half: Half, motion: Motion) -> Motion:
    """A step of the positions."""
    return motion._replace(moved=motion.moved + half.laws.timestep * motion.velocities)


def _chain(half: Half, motion: Motion) -> Motion:
    """Half a step of the thermostats."""
    thermal, links = half.laws.thermal, [motion.rates[:, i] for i in range(LINKS)]
    inertia = [3 * half.counts * thermal * half.laws.time**2]
    inertia += [jnp.full_like(inertia[0], thermal * half.laws.time**2)] * (LINKS - 1)
    inertia = [jnp.maximum(one, 1e-9) for one in inertia]  # padding, and NVE's 0 K
    twice, scale = half.twice_kinetic(motion), jnp.ones_like(half.counts)

    def turn(i: int, time: Float[Array, ""]) -> None:
        drag = jnp.exp(-time / 4 * links[i + 1]) if i + 1 < LINKS else 1.0
        if i:
            pull = inertia[i - 1] * links[i - 1] ** 2 - thermal
        else:
            pull = twice * scale**2 - 3 * half.counts * thermal
        links[i] = (links[i] * drag + time / 2 * pull / inertia[i]) * drag

    for part in YOSHIDA:
        time = part * half.laws.timestep / 2
        for i in reversed(range(LINKS)):
            turn(i, time)
        scale = scale * jnp.exp(-time * links[0])
        for i in range(LINKS):
            turn(i, time)
    velocities = motion.velocities * scale[half.crystal][:, None]
    return motion._replace(velocities=velocities, rates=jnp.stack(links, axis=1))


def _noise(half: Half, motion: Motion) -> tuple[Float[Array, "atoms 3"], Float[Array, "atoms 3"]]:
    """Two normal deviates for each coordinate, by the atom's seed and the crystal's step."""

    def drawn(seed: UInt32[Array, ""], step: Int[Array, ""]) -> Float[Array, "2 3"]:
        key = jax.random.fold_in(jax.random.key(seed), step)
        return jax.random.normal(key, (2, 3), motion.moved.dtype)

    both = jax.vmap(drawn)(jnp.asarray(half.laws.seeds), motion.step[half.crystal])
    return both[:, 0], both[:, 1]


def _push(half: Half, motion: Motion) -> tuple[Motion, Float[Array, "atoms 3"]]:
    """Half a step of the velocities with friction and noise, and the noise of the positions."""
    dt, rate = half.laws.timestep, 1 / jnp.asarray(half.laws.time)
    one, other = _noise(half, motion)
    sigma = jnp.sqrt(2 * half.laws.thermal * rate / half.masses)
    of_positions = dt**1.5 * sigma / (2 * np.sqrt(3)) * other
    of_velocities = (jnp.sqrt(dt) / 2 - dt**1.5 * rate / 8) * sigma * one - rate / 2 * of_positions
    pull = (dt / 2 - dt**2 * rate / 8) * motion.forces / half.masses
    drag = (dt * rate / 2 - dt**2 * rate**2 / 8) * motion.velocities
    velocities = motion.velocities + pull - drag + of_velocities
    return motion._replace(velocities=velocities), of_positions


def _langevin(half: Half, motion: Motion) -> Motion:
    pushed, noise = _push(half, motion)
    drifted = _drift(half, pushed)
    return drifted._replace(moved=drifted.moved + noise)


HALVES: dict[Ensemble, tuple[Callable[[Half, Motion], Motion], Callable[[Half, Motion], Motion]]]
HALVES = {
    Ensemble.NVE: (lambda half, motion: _drift(half, _kick(half, motion)), _kick),
    Ensemble.NVT_NOSE_HOOVER: (
        lambda half, motion: _drift(half, _kick(half, _chain(half, motion))),
        lambda half, motion: _chain(half, _kick(half, motion)),
    ),
    Ensemble.NVT_LANGEVIN: (_langevin, lambda half, motion: _push(half, motion)[0]),
}
"""The step before the forces, and the one after them."""
