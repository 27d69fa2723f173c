"""Trained ensembles: networks, target and card, whatever the kind of network, and their files."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from gnomon.learn.card import run_key
from gnomon.learn.fit import Session, Trained, keep
from gnomon.learn.model_file import ModelFile, ModelFileError, read_model_file, write_model_file
from gnomon.learn.split import SplitConfig
from gnomon.models import Predictions
from gnomon.models.bundled import NAMES, model_path
from gnomon.models.card import Data, ModelCard
from gnomon.models.target import JoinedTarget, Target, blank_arrays, target_arrays, target_of
from gnomon.run.listener import SILENT, Listener
from gnomon.run.registry import Registry, no_such

MODELS = Registry(
    "kind of model",
    "gnomon.models",
    {
        "composition": "gnomon.models.composition.model:CompositionModel",
        "formula-property": "gnomon.models.composition.model:FormulaPropertyModel",
        "heads": "gnomon.models.heads:HeadsModel",
        "property": "gnomon.models.structural.model:PropertyModel",
        "structural": "gnomon.models.structural.model:StructuralModel",
    },
)
"""Classes that read a file of their kind (``Ensemble.read``), by the kind that the file names."""

Network = TypeVar("Network", bound=eqx.Module)
AnyData = TypeVar("AnyData", bound=Data)
Config = TypeVar("Config", bound=SplitConfig)
Model = TypeVar("Model", bound="Ensemble[Any]")


class Ensemble(ABC, Generic[Network]):
    """Trained networks of one energy scheme (see ``gnomon.models.EnergyModel``)."""

    kind: ClassVar[str]
    """What files and cards say that it is."""

    def __init__(
        self, networks: Network, target: Target | JoinedTarget, card: ModelCard | None = None
    ) -> None:
        """Networks with a leading axis of members on every array, and what makes energies of them.

        The networks have settings, ``config``, from which ``untrained`` makes others of their kind.
        """
        self.networks: Any = networks
        self.target = target
        self.card = card

    @property
    def scheme(self) -> str:
        """Energy scheme of the predictions; of a property its name and unit."""
        return "" if self.card is None else self.card.scheme

    @property
    def members(self) -> int:
        """Networks in the ensemble."""
        return len(self.networks.elements)

    @abstractmethod
    def predict(self, crystals: Any) -> Predictions:
        """Predictions for every crystal (``gnomon.io.as_crystals``), in order."""

    @staticmethod
    @abstractmethod
    def untrained(config: Any, members: int) -> Any:
        """Networks of settings, which may come as JSON, with random weights."""

    def save(self, path: Path, *, half: bool = False) -> None:
        """Write the model to a file, with its card in the header.

        Args:
            path: file to write.
            half: write weights in half precision, which halves the file.
        """
        assert self.card is not None
        about = {
            "kind": self.kind,
            "network": self.networks.config.model_dump(mode="json"),
            "members": self.members,
            "joined": self.target.joined,
            "half": half,
            "card": self.card.model_dump(mode="json"),
        }
        weights = eqx.filter(self.networks, eqx.is_array)
        stored = _halved(weights) if half else weights
        write_model_file(path, about, (stored, target_arrays(self.target)))

    @classmethod
    def read(cls: type[Model], file: ModelFile) -> Model:
        """The model in a file that ``save`` wrote.

        Raises:
            ModelFileError: if it is a model of another kind, or does not fit its header.
        """
        about = file.about
        if about.get("kind") != cls.kind:
            raise ModelFileError(
                f"{file.path} holds a model of kind {about.get('kind')!r} where a {cls.kind} one "
                "is wanted"
            )
        networks = eqx.filter_eval_shape(lambda: cls.untrained(about["network"], about["members"]))
        weights = eqx.filter(networks, lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct))
        stored = jax.eval_shape(_halved, weights) if about["half"] else weights
        parts = len(about["joined"] or (0,))
        arrays, targets = file.fill((stored, blank_arrays(parts)))
        arrays = jax.tree.map(lambda array, like: jnp.asarray(array, like.dtype), arrays, weights)
        card = ModelCard.model_validate(about["card"])
        return cls(eqx.combine(arrays, networks), target_of(targets, about["joined"]), card)

    @classmethod
    def load(cls: type[Model], name_or_path: str | Path) -> Model:
        """A model of this kind by name, or from a file.

        Raises:
            FileNotFoundError: if there is none.
            ModelFileError: if the file is damaged, no model, or a model of another kind.
        """
        return cls.read(read_model_file(model_path(name_or_path)))


def load_model(name_or_path: str | Path) -> Any:
    """A model by name, as on the command line, or from a file, which says what kind it is.

    >>> from ase.build import bulk
    >>> model = load_model("structural-2")
    >>> found = model.predict([bulk("NaCl", "rocksalt", a=5.64), bulk("MgO", "rocksalt", a=4.21)])
    >>> found.median.round(1).tolist(), model.kind
    ([-2.1, -3.0], 'structural')

    Args:
        name_or_path: ``structural-2`` and ``composition-1`` are in the package; else a file.

    Returns:
        An ``EnergyModel``: formation energies in eV/atom of its ``scheme``, from crystals or, for
        a composition model, from their formulas alone.

    Raises:
        FileNotFoundError: if there is none.
        ModelFileError: if the file is damaged or no model.
    """
    path = model_path(name_or_path)
    if not path.is_file():
        raise FileNotFoundError(f"{no_such('model', str(name_or_path), NAMES)}, or give a file")
    file = read_model_file(path)
    try:
        kind = MODELS.get(str(file.about.get("kind")))
    except ValueError as error:
        raise ModelFileError(f"{file.path}: {error}") from error
    return kind.read(file)


@runtime_checkable
class Kept(Trained, Protocol):
    """A trained model that can be written to a file."""

    def save(self, path: Path) -> None:
        """Write it."""


Made = TypeVar("Made", bound=Kept)


def train_into(
    out: Path,
    train: Callable[[AnyData, Config, Session], Made],
    data: AnyData,
    config: Config,
    listener: Listener = SILENT,
) -> Made:
    """The model in a file, which is trained and written there unless it is.

    A training that was killed goes on from ``out`` + ``.partial``, with the same result as if it
    had not been.

    Args:
        out: the file.
        train: as the functions of that name: data, settings and a session to a model.
        data: what to train on.
        config: settings.
        listener: hears how it goes.

    Raises:
        ValueError: if ``out`` holds a model of other data or settings, or as ``train``.
    """

    def make(partial: Path) -> Made:
        return train(data, config, Session(partial, listener))

    key = run_key(data.columns, config, data.scheme)
    return keep(out, key, make, load=load_model, save=lambda path, model: model.save(path))


def _halved(weights: Any) -> Any:
    """Arrays of numbers in half precision."""

    def half(leaf: Any) -> Any:
        return leaf.astype(np.float16) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

    return jax.tree.map(half, weights)
