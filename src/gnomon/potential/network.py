"""The potential: an equivariant graph network whose energy is a sum over atoms.

NequIP (Batzner et al., Nat. Commun. 13, 2453 (2022)) as Nequix simplifies it (Koker et al.,
arXiv:2508.16067): one-hot elements, Bessel functions under a smooth envelope, convolutions with
spherical harmonics, a self-connection, a norm over all irreps, gates.  Irreps, Clebsch-Gordan
coefficients and harmonics come from e3nn-jax; the contraction is written for processors without
special kernels: channels lie innermost, and the sum over a row of neighbours is a matrix product.
"""

from __future__ import annotations

import itertools
import math

import e3nn_jax as e3nn
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from gnomon.potential.batch import AtomBatch
from gnomon.potential.config import PotentialConfig
from gnomon.potential.irreps import (
    Features,
    channels,
    gate,
    hidden_irreps,
    place,
    product_paths,
    same,
    with_gates,
)
from gnomon.potential.radial import lengths, radial_basis
from gnomon.potential.repulsion import screened_repulsion

EPSILON = 1e-12
"""Keeps the norm of vanishing features finite."""


class Potential(eqx.Module):
    """Energies of crystals in eV."""

    atom_energies: Float[Array, " species"]
    embedding: Float[Array, "species size"] | None
    layers: list[Convolution]
    readout: Float[Array, "channels 1"]
    config: PotentialConfig = eqx.field(static=True)

    def __init__(self, config: PotentialConfig, *, key: PRNGKeyArray) -> None:
        """Random weights.

        Raises:
            ValueError: for irreps that the network cannot gate.
        """
        *layer_keys, last, of_elements = jax.random.split(key, config.n_layers + 2)
        table = (len(config.elements), config.embedding or 0)
        inputs, outputs = hidden_irreps(config)
        self.config = config
        self.atom_energies = jnp.zeros(len(config.elements))
        self.embedding = jax.random.normal(of_elements, table) if config.embedding else None
        self.layers = [
            Convolution(config, into, out, key=layer_key)
            for into, out, layer_key in zip(inputs, outputs, layer_keys, strict=True)
        ]
        self.readout = jax.random.normal(last, (outputs[-1].count("0e"), 1))

    def __call__(self, batch: AtomBatch) -> Float[Array, " crystals"]:
        """Energies of the crystals of a batch, eV; 0 for padding."""
        return self.energies(batch, batch.vectors())

    def energies(
        self, batch: AtomBatch, vectors: Float[Array, "rows width 3"]
    ) -> Float[Array, " crystals"]:
        """Energies in eV where the neighbours are seen along these vectors (Å)."""
        atoms = self.atomic_energies(batch, vectors)
        kept = jnp.where(jnp.asarray(batch.atomic_numbers) > 0, atoms, 0.0)
        return jax.ops.segment_sum(kept, batch.crystal, len(batch.lattice))

    def atomic_energies(
        self, batch: AtomBatch, vectors: Float[Array, "rows width 3"]
    ) -> Float[Array, " atoms"]:
        """Each atom's share of the energy, eV; meaningless for padding."""
        config = self.config
        species = jnp.asarray(config.species)[batch.atomic_numbers]
        features, distances = self._features(batch, vectors, species)
        energies = features @ (self.readout / math.sqrt(len(self.readout)))
        energies = energies[:, 0] * config.scale + config.shift + self.atom_energies[species]
        if config.repulsion:
            energies = energies + screened_repulsion(batch, distances, config.cutoff)
        return energies

    def invariants(self, batch: AtomBatch) -> Float[Array, "atoms channels"]:
        """What the readout sees of each atom; meaningless for padding."""
        species = jnp.asarray(self.config.species)[batch.atomic_numbers]
        return self._features(batch, batch.vectors(), species)[0]

    def _features(
        self,
        batch: AtomBatch,
        vectors: Float[Array, "rows width 3"],
        species: Int[Array, " atoms"],
    ) -> tuple[Float[Array, "atoms channels"], Float[Array, "rows width"]]:
        """Scalars of the last layer, and the distances of neighbours (Å)."""
        config = self.config
        distances, directions = lengths(vectors, jnp.asarray(batch.mask), config.cutoff)
        harmonics = e3nn.spherical_harmonics(
            e3nn.s2_irreps(config.lmax), directions, normalize=False, normalization="component"
        ).array
        radial = radial_basis(distances, config)
        if self.embedding is None:
            features = [jax.nn.one_hot(species, len(config.elements), dtype=radial.dtype)[:, None]]
        else:
            features = [self.embedding[species][:, None]]
        for layer in self.layers:
            features = layer(features, species, harmonics, radial, batch)
        return features[0][:, 0], distances


class Convolution(eqx.Module):
    """Features of an atom from those of its neighbours, then norm and gates."""

    radial: list[Float[Array, "into out"]]
    before: list[Float[Array, "into into"]]
    after: list[Float[Array, "into out"]]
    skip: list[Array | None]
    norm: list[Float[Array, " channels"]] | None
    config: PotentialConfig = eqx.field(static=True)
    input_irreps: e3nn.Irreps = eqx.field(static=True)
    output_irreps: e3nn.Irreps = eqx.field(static=True)

    def __init__(
        self,
        config: PotentialConfig,
        input_irreps: e3nn.Irreps,
        output_irreps: e3nn.Irreps,
        *,
        key: PRNGKeyArray,
    ) -> None:
        """Random weights, of unit variance but for the radial perceptron's."""
        self.config, self.input_irreps, self.output_irreps = config, input_irreps, output_irreps
        keys = iter(jax.random.split(key, 64))
        paths = product_paths(input_irreps, output_irreps, config)
        sizes = [config.radial_basis_size, *[config.radial_mlp_size] * config.radial_mlp_layers]
        sizes.append(sum(input_irreps[path.source].mul for path in paths))
        scales = [*[config.mlp_init_scale] * (len(sizes) - 2), 1.0]
        self.radial = [
            jax.random.normal(next(keys), (a, b)) * math.sqrt(scale / a)
            for (a, b), scale in zip(itertools.pairwise(sizes), scales, strict=True)
        ]
        self.before = [jax.random.normal(next(keys), (mul, mul)) for mul, _ in input_irreps]
        gated = with_gates(output_irreps)
        self.after = [
            jax.random.normal(next(keys), (channels(paths, input_irreps, k), mul))
            for k, (mul, _) in enumerate(gated)
        ]
        copies = (len(config.elements),) if config.index_weights else ()
        self.skip = [
            jax.random.normal(next(keys), (*copies, source.mul, mul)) if source else None
            for source, mul in ((same(input_irreps, ir), mul) for mul, ir in gated)
        ]
        self.norm = [jnp.ones(mul) for mul, _ in gated] if config.layer_norm else None

    def __call__(
        self,
        features: Features,
        species: Int[Array, " atoms"],
        harmonics: Float[Array, "rows width m"],
        radial: Float[Array, "rows width basis"],
        batch: AtomBatch,
    ) -> Features:
        """New features of every atom."""
        sums = self._gather(features, harmonics, self._edge_weights(radial), batch)
        scale = 1 / math.sqrt(self.config.avg_n_neighbors)
        mixed = [
            value @ (weights * (scale / math.sqrt(len(weights))))
            for value, weights in zip(sums, self.after, strict=True)
        ]
        mixed = [
            value if kept is None else value + kept
            for value, kept in zip(mixed, self._kept(features, species), strict=True)
        ]
        return gate(self._normalised(mixed), self.output_irreps)

    def _edge_weights(
        self, radial: Float[Array, "rows width basis"]
    ) -> Float[Array, "rows width channels"]:
        value = radial
        for weights in self.radial[:-1]:
            value = jax.nn.silu(value @ weights)
        return value @ self.radial[-1]

    def _gather(
        self,
        features: Features,
        harmonics: Float[Array, "rows width m"],
        weights: Float[Array, "rows width channels"],
        batch: AtomBatch,
    ) -> Features:
        """Sums over neighbours, one array an output irrep, the channels of all paths in a row."""
        prepared = [x @ (w / math.sqrt(len(w))) for x, w in zip(features, self.before, strict=True)]
        seen = [x[batch.senders] for x in prepared]
        found: list[list[Array]] = [[] for _ in self.after]
        for path in product_paths(self.input_irreps, self.output_irreps, self.config):
            harmonic = harmonics[..., path.degree**2 : (path.degree + 1) ** 2]
            coefficients = jnp.asarray(path.coefficients, harmonic.dtype)
            turns = jnp.einsum("rwj,ijm->rwim", harmonic, coefficients)
            messages = seen[path.source] * weights[:, :, None, path.weights]
            found[path.target].append(jnp.einsum("rwim,rwic->rmc", turns, messages))
        return [
            jax.ops.segment_sum(
                jnp.concatenate(parts, axis=-1),
                batch.receivers,
                len(batch.positions),
                indices_are_sorted=True,
            )
            for parts in found
        ]

    def _kept(self, features: Features, species: Int[Array, " atoms"]) -> list[Array | None]:
        """The self-connection: what an atom keeps of its own features."""
        kept: list[Array | None] = []
        for weights, (_, ir) in zip(self.skip, with_gates(self.output_irreps), strict=True):
            if weights is None:
                kept.append(None)
                continue
            value = features[place(self.input_irreps, ir)]
            scaled = weights / math.sqrt(weights.shape[-2])
            if self.config.index_weights:
                kept.append(jnp.einsum("amc,acd->amd", value, scaled[species]))
            else:
                kept.append(value @ scaled)
        return kept

    def _normalised(self, features: Features) -> Features:
        """Divided by the root of a mean power over irreps: the squares summed over channels and
        averaged over components, over the number of components, as Nequix's weights expect it."""
        if self.norm is None:
            return features
        power = sum(
            jnp.sum(jnp.mean(x**2, axis=1, keepdims=True), axis=2, keepdims=True)
            / (x.shape[1] * len(features))
            for x in features
        )
        scale = jax.lax.rsqrt(power + EPSILON)
        return [x * (w * scale) for x, w in zip(features, self.norm, strict=True)]


def energy_forces_stress(
    potential: Potential, batch: AtomBatch, vectors: Float[Array, "rows width 3"] | None = None
) -> tuple[Float[Array, " crystals"], Float[Array, "atoms 3"], Float[Array, "crystals 3 3"]]:
    """Energies (eV), forces (eV/Å) and stresses (eV/Å3, positive under tension).

    With the gradient g of the energy with respect to the vectors r to the neighbours, the force on
    an atom is the sum of g over the rows that it receives less the sum over those that it sends,
    and the stress is sum r ⊗ g / V: exact derivatives, for any cell (Thompson, Plimpton and
    Mattson, J. Chem. Phys. 131, 154107 (2009)).

    Args:
        potential: the network.
        batch: crystals.
        vectors: Å, along which the neighbours are seen; those of the batch unless given.
    """
    vectors = batch.vectors() if vectors is None else vectors

    def total(
        along: Float[Array, "rows width 3"],
    ) -> tuple[Float[Array, ""], Float[Array, " crystals"]]:
        energies = potential.energies(batch, along)
        return energies.sum(), energies

    gradient, energies = jax.grad(total, has_aux=True)(vectors)
    gradient = jnp.where(batch.mask[..., None], gradient, 0.0)
    n_atoms, n_crystals = len(batch.positions), len(batch.lattice)
    forces = jax.ops.segment_sum(gradient.sum(axis=1), batch.receivers, n_atoms)
    forces = forces - jax.ops.segment_sum(
        gradient.reshape(-1, 3), jnp.ravel(batch.senders), n_atoms
    )
    virial = jnp.einsum("rwi,rwj->rij", vectors, gradient)
    of_row = jnp.asarray(batch.crystal)[batch.receivers]
    virials = jax.ops.segment_sum(virial, of_row, n_crystals)
    volumes = jnp.abs(jnp.linalg.det(jnp.asarray(batch.lattice)))
    stress = (virials + jnp.swapaxes(virials, 1, 2)) / (2 * volumes[:, None, None])
    return energies, forces, stress
