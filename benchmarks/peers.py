"""Potentials behind one call: gnomon's, the Nequix authors' own package, and CHGNet 0.3.0.

Each gives energies (eV a cell), forces (eV/Å) and stresses (eV/Å3, positive under tension).  Each
can also be driven in two halves, ``prepare`` (neighbours, graphs, padding) and ``compute``, with
the batching that its own package offers.
"""

import hashlib
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from gnomon.crystals import Crystals
from gnomon.io import to_ase, to_pymatgen
from gnomon.structure.neighbors import neighbors

GPA = 1 / 160.21766208
"""eV/Å3 in a GPa."""
ROOM = 1.1
"""Size of a padded batch over that of average crystals, as in Nequix's data loader."""


class Labels(NamedTuple):
    """What a model says of n crystals; NaN throughout a crystal where it fails."""

    energy: np.ndarray
    forces: np.ndarray
    stress: np.ndarray

    @classmethod
    def missing(cls, crystals: Crystals) -> "Labels":
        """Nothing yet."""
        n, atoms = len(crystals), int(crystals.offsets[-1])
        return cls(np.full(n, np.nan), np.full((atoms, 3), np.nan), np.full((n, 3, 3), np.nan))


class Model(Protocol):
    """A potential with the batching of its own package."""

    name: str
    identity: str  # of the very weights
    mp2020_corrected: bool

    def prepare(self, crystals: Crystals, batch_size: int) -> Any:
        """Everything up to the network."""
        ...

    def compute(self, prepared: Any) -> Labels:
        """The network and its derivatives."""
        ...


class Gnomon:
    """A potential of gnomon: a name such as ``gnomon-1``, or a weight file."""

    mp2020_corrected = False

    def __init__(self, weights: str, name: str | None = None) -> None:
        """Load it."""
        import equinox as eqx

        from gnomon.potential.network import energy_forces_stress
        from gnomon.potential.predict import load_potential

        self.loaded = load_potential(weights)
        self.name = name or self.loaded.name
        self.identity = self.loaded.scheme
        self._run = eqx.filter_jit(energy_forces_stress)

    def prepare(self, crystals: Crystals, batch_size: int) -> Any:
        """Batches of one shape, and the indices of their crystals."""
        from gnomon.potential.batch import Shape, batches, needed

        cutoff = self.loaded.cutoff
        whole = needed(crystals, neighbors(crystals, cutoff))
        part = ROOM * batch_size / len(crystals)
        shape = Shape(math.ceil(whole.atoms * part), math.ceil(whole.rows * part), batch_size)
        return crystals, list(batches(crystals, cutoff, shape.rounded()))

    def compute(self, prepared: Any) -> Labels:
        """One call of the network a batch."""
        crystals, batched = prepared
        labels = Labels.missing(crystals)
        for chosen, batch in batched:
            energy, forces, stress = map(np.asarray, self._run(self.loaded.potential, batch))
            rows = np.concatenate(
                [np.arange(*crystals.offsets[i : i + 2]) for i in chosen], dtype=np.int64
            )
            labels.energy[chosen] = energy[: len(chosen)]
            labels.forces[rows] = forces[: len(rows)]
            labels.stress[chosen] = stress[: len(chosen)]
        return labels

    def predict(self, crystals: Crystals) -> Labels:
        """The call that a user makes, with the batches that gnomon chooses."""
        said = self.loaded.predict(crystals)
        return Labels(*map(np.asarray, (said.energy, said.forces, said.stress)))


class NequixAuthors:
    """The authors' package on JAX, without CUDA kernels.

    Graphs by its ``preprocess_graph`` and padded batches by ``jraph.dynamically_batch`` with the
    sizes that its ``DataLoader`` takes for a batch size; the loader's worker processes, which spin
    while they wait and would take the two cores from the network, stay out.
    """

    mp2020_corrected = False

    def __init__(self, weights: Path, name: str | None = None) -> None:
        """Load a ``.nqx`` file."""
        import equinox as eqx
        from nequix.calculator import from_pretrained
        from nequix.data import atomic_numbers_to_indices

        self.name = name or f"{weights.stem}, authors' package"
        self.identity = f"{self.name} (sha256 {hashlib.sha256(weights.read_bytes()).hexdigest()})"
        self._model, self._config = from_pretrained(model_path=str(weights), use_kernel=False)
        self._species = atomic_numbers_to_indices(self._config["atomic_numbers"])
        self._run = eqx.filter_jit(self._model)

    def prepare(self, crystals: Crystals, batch_size: int) -> Any:
        """Padded batches of graphs of one shape."""
        return crystals, self._batched(to_ase(crystals), batch_size)

    def _batched(self, atoms: Sequence[Any], batch_size: int) -> list[Any]:
        import jraph
        from nequix.data import dict_to_graphstuple, preprocess_graph

        graphs = [
            dict_to_graphstuple(preprocess_graph(a, self._species, self._config["cutoff"], False))
            for a in atoms
        ]
        nodes = np.array([int(g.n_node[0]) for g in graphs])
        edges = np.array([int(g.n_edge[0]) for g in graphs])
        return list(
            jraph.dynamically_batch(
                iter(graphs),
                n_node=math.ceil(max(batch_size * nodes.mean() * ROOM, nodes.max())) + 1,
                n_edge=math.ceil(max(batch_size * edges.mean() * ROOM, edges.max())),
                n_graph=batch_size + 1,
            )
        )

    def compute(self, prepared: Any) -> Labels:
        """One call of the network a batch."""
        import jraph

        crystals, batched = prepared
        labels = Labels.missing(crystals)
        graphs = atoms = 0
        for batch in batched:
            energy, forces, stress = map(np.asarray, self._run(batch))
            k = int(np.asarray(jraph.get_graph_padding_mask(batch)).sum())
            m = int(np.asarray(batch.n_node)[:k].sum())
            labels.energy[graphs : graphs + k] = energy[:k]
            labels.stress[graphs : graphs + k] = stress[:k]
            labels.forces[atoms : atoms + m] = forces[:m]
            graphs, atoms = graphs + k, atoms + m
        return labels


class Chgnet:
    """CHGNet 0.3.0 from its wheel, on the CPU: energies hold MP2020 corrections, stress is GPa."""

    mp2020_corrected = True
    name = identity = "CHGNet 0.3.0"

    def __init__(self) -> None:
        """Load it; crystals with lone atoms are predicted too, as by its own ASE calculator."""
        from chgnet.model import CHGNet

        self.model = CHGNet.load(model_name="0.3.0", use_device="cpu", verbose=False)
        self.model.graph_converter.set_isolated_atom_response("ignore")

    def prepare(self, crystals: Crystals, batch_size: int) -> Any:
        """Crystal graphs, one by one, as ``predict_structure`` makes them."""
        graphs = [self.model.graph_converter(s) for s in to_pymatgen(crystals)]
        return crystals, graphs, batch_size

    def compute(self, prepared: Any) -> Labels:
        """``predict_graph``, its batched prediction."""
        crystals, graphs, batch_size = prepared
        said = self.model.predict_graph(graphs, task="efs", batch_size=batch_size)
        said = [said] if isinstance(said, dict) else said
        return Labels(
            np.array([float(row["e"]) for row in said]) * crystals.n_atoms,
            np.concatenate([row["f"] for row in said]),
            np.stack([row["s"] for row in said]) * GPA,
        )


def label(
    model: Model, crystals: Crystals, batch_size: int = 16, chunk: int = 256
) -> tuple[Labels, list[str]]:
    """What a model says of many crystals, and one line for each that it fails on.

    A chunk that raises is done again crystal by crystal, so that one bad crystal costs only itself.
    """

    def run(part: Crystals) -> Labels:
        if isinstance(model, Gnomon):
            return model.predict(part)
        return model.compute(model.prepare(part, batch_size))

    order = np.argsort(crystals.n_atoms, kind="stable")  # little padding
    labels, failures = Labels.missing(crystals), []
    for start in range(0, len(order), chunk):
        chosen = order[start : start + chunk]
        try:
            _put(labels, crystals, chosen, run(crystals.take(chosen)))
        except Exception:  # any failure of any package is data here
            failures += _one_by_one(labels, crystals, chosen, run)
    lost = ~np.isfinite(labels.energy)
    lost |= ~np.isfinite(labels.stress).all(axis=(1, 2))
    lost[crystals.crystal_index[~np.isfinite(labels.forces).all(axis=1)]] = True
    named = {int(line.split(":")[0]) for line in failures}
    failures += [f"{i}: not finite" for i in np.flatnonzero(lost) if int(i) not in named]
    labels.energy[lost] = np.nan
    return labels, failures


def _one_by_one(
    labels: Labels, crystals: Crystals, chosen: np.ndarray, run: Callable[[Crystals], Labels]
) -> list[str]:
    failures = []
    for i in chosen:
        try:
            _put(labels, crystals, np.array([i]), run(crystals.take([int(i)])))
        except Exception as error:
            failures.append(f"{i}: {type(error).__name__}: {error}"[:200])
    return failures


def _put(labels: Labels, crystals: Crystals, chosen: np.ndarray, said: Labels) -> None:
    rows = np.concatenate([np.arange(*crystals.offsets[i : i + 2]) for i in chosen])
    labels.energy[chosen], labels.forces[rows], labels.stress[chosen] = said
