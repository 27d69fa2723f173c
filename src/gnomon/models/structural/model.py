"""The trained structural ensemble: crystals in, formation energies with an uncertainty out."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Float32, Float64, Shaped

from gnomon.crystals import Crystals
from gnomon.elements import COVALENT_RADII
from gnomon.io.objects import as_crystals
from gnomon.learn.optimize import each_member
from gnomon.models import Predictions
from gnomon.models.ensemble import Ensemble
from gnomon.models.structural.network import Structural, StructuralConfig
from gnomon.models.target import UNSEEN, lacking
from gnomon.represent.graphs import BatchSize, GraphBatch, Graphs, build_graphs, pack
from gnomon.structure.neighbors import neighbors

CHUNK = 4096
"""Crystals whose graphs are in memory at a time in a prediction."""

MIN_VOLUME = 1.0
"""Å^3 an atom; the densest of 24,440 Materials Project crystals has 5.7.

Below it lie cells of almost no volume, whose neighbours would fill the memory."""

TOUCH = 1.25
"""Sums of covalent radii.  Alkali metals and their alloys have no atoms within 4 Å of each other
and hang together all the same; the networks learned from 37 such crystals what they have to say."""

BATCH = BatchSize(crystals=129, nodes=1025, edges=12288)
"""Room in a batch of a prediction: one shape to compile."""


class StructuralModel(Ensemble[Structural]):
    """The trained structural networks of one energy scheme."""

    kind = "structural"

    @staticmethod
    def untrained(config: Any, members: int) -> Structural:
        """Networks with random weights."""
        return initial_networks(StructuralConfig.model_validate(config), 1.0, members, 0)

    def predict(self, crystals: Any) -> Predictions:
        """Formation energies per atom, eV/atom; NaN with a reason where there can be none.

        There is none for a crystal with an element that the training data lacks, with atoms out of
        touch (none within the cutoff, nor within ``TOUCH`` of another), or with less than
        ``MIN_VOLUME`` an atom: the network has learned nothing that applies.

        Args:
            crystals: whatever ``gnomon.io.as_crystals`` takes.
        """
        (predictions,) = self.predict_scaled(as_crystals(crystals), np.ones(1))
        return predictions

    def predict_scaled(
        self, crystals: Crystals, lengths: Float64[np.ndarray, " s"]
    ) -> list[Predictions]:
        """What ``predict`` says of the crystals with all lengths times each factor.

        Graphs are built once for all factors, with the reach that the smallest one needs: scaled
        distances beyond the cutoff have no weight, so the energies are those of the scaled cells.

        Raises:
            ValueError: if there is no factor, or one is not positive.
        """
        if not len(lengths) or not np.all(lengths > 0):
            raise ValueError(f"lengths are scaled by positive factors, not by {lengths.tolist()}")
        parts = [self._predict(part, lengths) for part in _chunks(crystals)]
        return [Predictions.concatenate([p for p, _ in same]) for same in zip(*parts, strict=True)]

    def predict_and_embed(
        self, crystals: Crystals
    ) -> tuple[Predictions, Float32[np.ndarray, "n features"]]:
        """What ``predict`` says, and what the readouts of all members see of each crystal.

        Crystals whose embeddings are near are alike to the networks
        (``gnomon.models.uncertainty.domain``).
        They are NaN where there is no prediction.
        """
        parts = [self._predict(part, np.ones(1), embed=True)[0] for part in _chunks(crystals)]
        predictions = Predictions.concatenate([p for p, _ in parts])
        return predictions, np.concatenate([seen for _, seen in parts])

    def embed(self, crystals: Crystals) -> Float32[np.ndarray, "n features"]:
        """The embeddings of ``predict_and_embed``."""
        return self.predict_and_embed(crystals)[1]

    def _predict(
        self, crystals: Crystals, lengths: Float64[np.ndarray, " s"], embed: bool = False
    ) -> list[tuple[Predictions, Float32[np.ndarray, "n features"]]]:
        """Predictions at each factor, with embeddings if asked for and else with no features."""
        refusals = [self._refusals(crystals, factor) for factor in lengths.tolist()]
        # one too dense at every factor would cost the memory that the refusal saves
        rows = np.flatnonzero(np.any([r == "" for r in refusals], axis=0))
        config = self.networks.config
        # every edge that crystals scaled by the smallest factor have
        reach = config.cutoff / float(min(1.0, lengths.min()))
        graphs = build_graphs(crystals[rows], reach, config.max_neighbors)
        fractions = crystals.fractions[rows]
        found = []
        for factor, reasons in zip(lengths.tolist(), refusals, strict=True):
            # edges may now reach beyond the cutoff, where they fade
            scaled = replace(graphs, distances=graphs.distances * np.float32(factor))
            connected = _shortest(scaled) < config.cutoff
            lone = np.flatnonzero(~connected)
            connected[lone] = _in_touch(crystals[rows[lone]].scale_volume(factor**3))
            asked = reasons[rows] == ""
            reasons[rows[asked & ~connected]] = f"no two atoms within {config.cutoff:g} Å"
            index = np.flatnonzero(asked & connected)
            outputs, features = run(self.networks, scaled, index, embed=embed)
            energies = np.full((len(outputs), len(crystals)), np.nan)
            energies[:, rows] = self.target.energies(fractions, outputs)
            seen = np.full((len(crystals), features.shape[1]), np.nan, np.float32)
            seen[rows] = features
            found.append((Predictions(energies, reasons), seen))
        return found

    def _refusals(self, crystals: Crystals, length: float) -> Shaped[np.ndarray, " n"]:
        """Why a crystal of lengths times a factor is not looked at, empty where it is."""
        unseen = lacking(crystals.composition > 0, self.target.seen, UNSEEN)
        dense = crystals.volumes * length**3 < MIN_VOLUME * crystals.n_atoms
        return np.where(dense & (unseen == ""), f"less than {MIN_VOLUME:g} Å^3 an atom", unseen)


class PropertyModel(StructuralModel):
    """Networks that were taught another property of crystals (``gnomon.models.transfer``).

    Predictions are in the unit that was learned, not in eV/atom; their ``scheme`` says which.
    """

    kind = "property"


def run(
    networks: Structural,
    graphs: Graphs,
    index: np.ndarray,
    size: BatchSize = BATCH,
    embed: bool = False,
) -> tuple[Float64[np.ndarray, "m n"], Float32[np.ndarray, "n features"]]:
    """Outputs of the networks for these graphs, and what the readouts of all members saw.

    NaN for the other graphs; no features unless they are asked for.
    """
    members, features = networks.elements.shape[0], networks.config.features if embed else 0
    out = np.full((members, len(graphs)), np.nan)
    seen = np.full((len(graphs), members, features), np.nan, np.float32)
    # small graphs first: batches of equals waste little room
    order = index[np.argsort(graphs.n_edges[index], kind="stable")]
    for chosen, batch in pack(graphs, order, size):
        outputs, embeddings = apply(networks, batch, embed)
        out[:, chosen] = np.asarray(outputs)[:, : len(chosen)]
        seen[chosen] = np.asarray(embeddings)[:, : len(chosen)].swapaxes(0, 1)
    return out, seen.reshape(len(graphs), members * features)


@eqx.filter_jit
def apply(
    networks: Structural, batch: GraphBatch, embed: bool
) -> tuple[Float[Array, "m B"], Float[Array, "m B features"]]:
    """Every member on one batch: outputs, and features if they are asked for."""
    arrays, rest = eqx.partition(networks, eqx.is_array)

    def member(part: Structural) -> tuple[Float[Array, " B"], Float[Array, "B features"]]:
        network = eqx.combine(part, rest)
        features = network.embed(batch)
        return jax.vmap(network.readout)(features), features if embed else features[:, :0]

    outputs: tuple[Array, Array] = each_member(member, arrays)
    return outputs


def _chunks(crystals: Crystals) -> Iterator[Crystals]:
    """The crystals ``CHUNK`` at a time; one chunk of none for none."""
    return (crystals[i : i + CHUNK] for i in range(0, max(len(crystals), 1), CHUNK))


def _shortest(graphs: Graphs) -> Float64[np.ndarray, " n"]:
    """Length of the shortest edge of each crystal, Å; inf for one without edges."""
    shortest = np.full(len(graphs), np.inf)
    having = graphs.n_edges > 0
    starts = graphs.edge_offsets[:-1][having]
    if len(starts):
        shortest[having] = np.minimum.reduceat(graphs.distances, starts)
    return shortest


def _in_touch(crystals: Crystals) -> Bool[np.ndarray, " n"]:
    """Whether any two atoms of a crystal are within ``TOUCH``."""
    radii = COVALENT_RADII[crystals.atomic_numbers]
    found = neighbors(crystals, 2 * TOUCH * float(radii.max(initial=0.1)))
    reach = TOUCH * (radii[found.receivers] + radii[found.senders])
    touching = np.zeros(len(crystals), bool)
    touching[crystals.crystal_index[found.receivers[found.distances < reach]]] = True
    return touching


def initial_networks(
    config: StructuralConfig, coordination: float, members: int, seed: int
) -> Structural:
    """Untrained networks, each from its own key."""
    keys = jax.random.split(jax.random.key(seed), members)
    return eqx.filter_vmap(lambda key: Structural(config, coordination, key=key))(keys)
