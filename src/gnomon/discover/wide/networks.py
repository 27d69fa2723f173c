"""The network that ranks a campaign without a system: that of the package, taught by each round.

Its energies are held against the database's hull, so what it learns has to be of the database's
scheme: an evaluation is brought there by the offset that is expected at its place, from the phases
evaluated in both (``gnomon.discover.wide.offsets``).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gnomon.crystals import Crystals
from gnomon.discover.campaign import Campaign
from gnomon.discover.wide.database import Database
from gnomon.discover.wide.offsets import offset_of, places
from gnomon.io import from_arrow
from gnomon.models.bundled import STRUCTURAL, model_path
from gnomon.models.card import Labelled
from gnomon.run.files import sha256_of

FEWEST = 10
"""Candidates with an energy that teach a network."""

REPLAYED = 2
"""Crystals of the database beside each row of a candidate, so that what was known stays known."""

LEARNING = {"epochs": 10, "batch": 32, "learning_rate": 3e-4, "averaging": 0.95}
"""By AdamW.  60 labels of halides (hashes 75 to 79), energies moved by a made-up 0.15 eV/atom an
element, brought the error on others (hashes 80 to 84) from 202 to 89 meV/atom at a rate of 5e-4 and
to 96 at 2e-4, that on crystals without halogens from 31 to 37 and 34.  Where nothing was moved and
nothing was to be learned, 25 to 43 meV/atom became 27 to 48, and 26 to 45."""


def network_of(number: int, campaign: Campaign) -> str:
    """The network that ranks a round: the last one that was taught until then, or the package's."""
    store = campaign.store
    for before in range(number, 1, -1):
        if store.has(name := store.model_name(before)):
            return str((store.root / name).absolute())
    return STRUCTURAL


def teach(number: int, campaign: Campaign, database: Database) -> str:
    """Teach the network that ranks a round what was evaluated before; what is to be said of it.

    Each round begins with the network of the package, so that what comes out depends on labels and
    seed alone.
    """
    if number == 1:
        return ""
    labels = labels_of(campaign, database)
    if len(labels) < 2 * FEWEST:
        return ""
    from gnomon.models.ensemble import load_model, train_into  # JAX: seconds to import
    from gnomon.models.structural.train import going_on, train

    seed = campaign.config.seed
    start, first = load_model(STRUCTURAL), sha256_of(model_path(STRUCTURAL))
    every_row = {"train_below": 100, "validate_below": 100}
    settings = going_on(start, first, optimizer=LEARNING, seed=seed, **every_row)
    with campaign.store.making(campaign.store.model_name(number)) as path:
        data = with_known(labels, database, [seed, number])
        train_into(path, partial(train, start=start), data, settings)
        checksum = sha256_of(path)
    return (
        f"round {number}: {STRUCTURAL} learned from {len(labels) // 2} evaluated candidates "
        f"(sha256 {checksum[:12]}...)"
    )


def with_known(labels: Labelled, database: Database, seed: Sequence[int]) -> Labelled:
    """The labels and ``REPLAYED`` times as many crystals of the database, drawn by a seed."""
    known = np.random.default_rng(seed).permutation(len(database))[: REPLAYED * len(labels)]
    return Labelled(
        Crystals.concatenate([labels.crystals, database.crystals[known]]),
        np.concatenate([labels.values, database.formation_energy_per_atom[known]]),
        name=f"{len(labels)} labels of a campaign, and {len(known)} known crystals",
        scheme=labels.scheme,
    )


def labels_of(campaign: Campaign, database: Database) -> Labelled:
    """Candidates at the volume that they relaxed to, and as relaxed, with one energy each.

    That of the level that answers, or the one expected there, less the offset of that level from
    the database: eV/atom of the database's scheme.
    """
    placed = campaign.level(0).placed
    new = np.flatnonzero((placed.found.rounds > 0) & placed.compound)
    relaxed, energies = placed.found.relaxed[new], campaign.expected_energies[new]
    at = pc.index_in(pa.array(placed.found.ids[new], pa.string()), campaign.crystals["id"])
    proposed = from_arrow(campaign.crystals.take(at))
    grown = (relaxed.volumes / relaxed.n_atoms) / (proposed.volumes / proposed.n_atoms)
    proposed = proposed.scale_volume(grown)
    composition = relaxed.composition.astype(np.float64)
    above = database.hull.e_above_hull(composition, energies)
    offset = offset_of(campaign.answers, database)
    values = energies - offset.expected(places(composition, above))
    both = Crystals.concatenate([proposed, relaxed])
    return Labelled(both, np.concatenate([values, values]), scheme=database.scheme)
