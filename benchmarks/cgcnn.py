"""CGCNN with torch_geometric's CGConv, the peer of the structural network.

Xie and Grossman, Phys. Rev. Lett. 120, 145301 (2018), with the sizes that they published: 64
features an atom, 3 convolutions, the 12 nearest neighbours within 8 Å, distances in 41 Gaussians
every 0.2 Å, one hidden layer of 128.  Softplus follows each convolution and the mean over atoms, as
in their code.  Not theirs: elements are embedded by learned vectors, not by their table of 92
properties; the loss is the mean absolute error and the optimiser Adam with a rate that falls to
zero along a cosine of the time spent, both of which make it better in little time.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch_geometric.nn import CGConv, global_mean_pool

from gnomon.crystals import Crystals
from gnomon.elements import MAX_Z
from gnomon.ragged import ragged_take
from gnomon.structure.neighbors import neighbors

RADIUS = 8.0
"""Å."""
NEIGHBORS = 12
GAUSSIANS = 41
SPACING = 0.2
"""Å between Gaussians, and their width."""


@dataclass(frozen=True)
class Columns:
    """Graphs of n crystals; the edges of crystal i are ``edge_offsets[i]:edge_offsets[i + 1]``.

    Batches are slices of columns: cheaper than torch_geometric's ``DataLoader``, which joins
    objects one by one.
    """

    crystals: Crystals
    senders: np.ndarray
    receivers: np.ndarray
    distances: np.ndarray
    edge_offsets: np.ndarray

    @classmethod
    def of(cls, crystals: Crystals) -> "Columns":
        """The 12 nearest neighbours of every atom; of several equally far the first ones."""
        found = neighbors(crystals, RADIUS, NEIGHBORS)
        order = np.lexsort((found.distances, found.receivers))
        receivers = found.receivers[order]
        first = np.searchsorted(receivers, receivers)
        order = order[np.arange(len(order)) - first < NEIGHBORS]
        receivers = found.receivers[order]
        cell = crystals.crystal_index[receivers]
        return cls(
            crystals,
            found.senders[order] - crystals.offsets[cell],
            receivers - crystals.offsets[cell],
            found.distances[order].astype(np.float32),
            np.searchsorted(cell, np.arange(len(crystals) + 1)),
        )

    def batch(self, index: np.ndarray) -> "Batch":
        """The crystals at these indices."""
        atoms, offsets = ragged_take(self.crystals.offsets, index)
        edges, edge_offsets = ragged_take(self.edge_offsets, index)
        start = np.repeat(offsets[:-1], np.diff(edge_offsets))
        pairs = np.stack([self.senders[edges] + start, self.receivers[edges] + start])
        cell = np.repeat(np.arange(len(index)), np.diff(offsets))
        return Batch(
            torch.from_numpy(self.crystals.atomic_numbers[atoms].astype(np.int64)),
            torch.from_numpy(pairs),
            torch.from_numpy(self.distances[edges]),
            torch.from_numpy(cell),
        )


class Batch(NamedTuple):
    """Crystals side by side."""

    atomic_numbers: torch.Tensor
    pairs: torch.Tensor
    distances: torch.Tensor
    crystal: torch.Tensor


class Network(torch.nn.Module):
    """One number a crystal."""

    def __init__(self, width: int = 64, convolutions: int = 3, hidden: int = 128) -> None:
        """Random weights."""
        super().__init__()
        self.elements = torch.nn.Embedding(MAX_Z + 1, width)
        self.convolutions = torch.nn.ModuleList(
            CGConv(width, dim=GAUSSIANS, batch_norm=True) for _ in range(convolutions)
        )
        self.hidden = torch.nn.Linear(width, hidden)
        self.readout = torch.nn.Linear(hidden, 1)
        self.register_buffer("centers", torch.arange(GAUSSIANS) * SPACING)

    def forward(self, batch: Batch) -> torch.Tensor:
        """Scaled energies of the crystals of a batch."""
        softplus = torch.nn.functional.softplus
        x = self.elements(batch.atomic_numbers)
        gaussians = torch.exp(-(((batch.distances[:, None] - self.centers) / SPACING) ** 2))
        for convolution in self.convolutions:
            x = softplus(convolution(x, batch.pairs, gaussians))
        x = softplus(global_mean_pool(x, batch.crystal))
        return self.readout(softplus(self.hidden(x)))[:, 0]


@dataclass(frozen=True)
class Settings:
    """How CGCNN is trained: half the batch of the authors' code makes more steps."""

    batch: int = 128
    learning_rate: float = 3e-3
    width: int = 64


class Trainer:
    """A network in training on some rows."""

    def __init__(self, graphs: Columns, energies: np.ndarray, rows: np.ndarray, seed: int) -> None:
        """A fresh network; targets are shifted and scaled by the mean and deviation of the rows."""
        torch.manual_seed(seed)
        self.settings = Settings()
        self.graphs, self.rows = graphs, rows
        self.shift, self.scale = energies[rows].mean(), energies[rows].std()
        self.targets = torch.tensor((energies - self.shift) / self.scale, dtype=torch.float32)
        self.network = Network(self.settings.width)
        self.optimizer = torch.optim.Adam(self.network.parameters(), self.settings.learning_rate)
        self.rng = np.random.default_rng(seed)
        self.crystals_seen = 0

    def batches(self) -> Iterator[np.ndarray]:
        """Rows in random order without end."""
        size = min(self.settings.batch, len(self.rows))
        while True:
            order = self.rng.permutation(self.rows)
            for start in range(0, len(order) - size + 1, size):
                yield order[start : start + size]

    def step(self, index: np.ndarray, rate: float) -> None:
        """One step of Adam on the mean absolute error."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.network.train()
        self.optimizer.zero_grad()
        error = self.network(self.graphs.batch(index)) - self.targets[index]
        error.abs().mean().backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.crystals_seen += len(index)

    def train(self, seconds: float) -> None:
        """Train for so long, the rate falling to zero."""
        began = time.perf_counter()
        for index in self.batches():
            spent = (time.perf_counter() - began) / seconds
            if spent >= 1:
                return
            rise = min(1.0, spent / 0.03)
            fall = 0.5 * (1 + np.cos(np.pi * spent))
            self.step(index, float(self.settings.learning_rate * rise * fall))

    @torch.no_grad()
    def predict(self, rows: np.ndarray) -> np.ndarray:
        """Energies, eV/atom."""
        self.network.eval()
        size = self.settings.batch
        parts = [
            self.network(self.graphs.batch(rows[i : i + size])).numpy()
            for i in range(0, len(rows), size)
        ]
        return self.shift + self.scale * np.concatenate(parts).astype(np.float64)


def train(
    crystals: Crystals, energies: np.ndarray, rows: np.ndarray, seconds: float, seed: int = 0
) -> tuple[Trainer, dict[str, Any]]:
    """Train for so many seconds, graphs included; facts about the training."""
    began, cpu = time.perf_counter(), time.process_time()
    graphs = Columns.of(crystals)
    built = time.perf_counter() - began
    trainer = Trainer(graphs, energies, rows, seed)
    trainer.train(max(seconds - built, 1.0))
    return trainer, {
        "wall_s": round(time.perf_counter() - began, 1),
        "cpu_s": round(time.process_time() - cpu, 1),
        "of_it_graphs_s": round(built, 1),
        "epochs": round(trainer.crystals_seen / len(rows), 2),
        "parameters": sum(p.numel() for p in trainer.network.parameters()),
        "batch": trainer.settings.batch,
        "learning_rate": trainer.settings.learning_rate,
    }
