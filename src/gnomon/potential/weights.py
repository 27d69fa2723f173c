"""Weights by name: those that come with gnomon, and those that their authors publish.

Published weights are fetched once, kept in the user's cache and checked by sha256 at every use:
name and sha256 are the identity of a potential and part of its energy scheme.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from gnomon.run.download import ChecksumError, download
from gnomon.run.files import cache_folder, sha256_of
from gnomon.run.http import HttpError, Patience
from gnomon.run.listener import SILENT, Listener
from gnomon.run.registry import no_such

COMMIT = "0ffdf881603d2c97f9105c64c3ec2df74dc1c224"
"""Commit of github.com/atomicarchitects/nequix from which the published weights are taken."""


@dataclass(frozen=True)
class Weights:
    """A file of weights and its identity."""

    name: str
    path: Path
    sha256: str


@dataclass(frozen=True)
class Published:
    """Weights that their authors publish.

    Attributes:
        level_of_theory: what their energies are; no correction scheme is applied to them.
        trained_on: data sets, in the order of training.
        citation: what to cite when they are used.
    """

    name: str
    url: str
    sha256: str
    level_of_theory: str
    trained_on: str
    licence: str
    citation: str


def _nequix(name: str, sha256: str, trained_on: str, citation: str) -> Published:
    return Published(
        name=name,
        url=f"https://raw.githubusercontent.com/atomicarchitects/nequix/{COMMIT}/models/{name}.nqx",
        sha256=sha256,
        level_of_theory="PBE(+U) of the Materials Project, uncorrected",
        trained_on=trained_on,
        licence="MIT",
        citation=citation,
    )


_NEQUIX = (
    "T. Koker, M. Kotak, T. Smidt, Training a foundation model for materials on a budget, "
    "arXiv:2508.16067 (2025)"
)
_PFT = (
    "T. Koker, A. Gangan, M. Kotak, J. Marian, T. Smidt, PFT: Phonon Fine-tuning for Machine "
    "Learned Interatomic Potentials, arXiv:2601.07742 (2026)"
)

PUBLISHED: Mapping[str, Published] = {
    weights.name: weights
    for weights in (
        _nequix(
            "nequix-mp-1",
            "1647af8e627e1afa11e2bfadeab0797326513a521afd7dd01606a96f56783eee",
            "MPtrj",
            _NEQUIX,
        ),
        _nequix(
            "nequix-oam-1",
            "6a43475eaeb32a7a049f36c1306d78aa1e7a17e8af37aeda7901c8fec0ca845c",
            "OMat24, sAlex, MPtrj",
            _PFT,
        ),
        _nequix(
            "nequix-oam-1-pft",
            "4ce693d68886512aab50c84ea2400efd68163e11155f7c7babe98e695177e809",
            "OMat24, sAlex, MPtrj, MDR phonons",
            _PFT,
        ),
    )
}
"""Published weights by name; data sets and theory as in the README of their repository."""

BUNDLED: Mapping[str, str] = {
    "gnomon-2": "3d1059e43636f941b5c6ae632c6f0e11c3242a021719292aae25b55f0ba71993",
    "gnomon-1": "b43519c65e90b25f8dadda736ae746d5f00d6d3105107d87c6cbade107003d93",
}
"""Weights that come with gnomon, in ``data/NAME.gnomon`` beside this module, and the sha256 of the
file in which they first came: it names their energy scheme, in whatever format they are kept."""

DEFAULT_WEIGHTS = "gnomon-2"
"""Taken where none are named: the better of those in the package."""


def resolve(
    name_or_path: str,
    *,
    cache: Path | None = None,
    table: Mapping[str, Published] = PUBLISHED,
    bundled: Path | None = None,
    listener: Listener = SILENT,
) -> Weights:
    """The weights of this name, fetched where need be, or of this file.

    A name wins over a file of the same name in the working folder: ``./NAME`` means the file.

    Args:
        name_or_path: a name of ``BUNDLED`` or of the table, or a file, named by its stem.
        cache: gnomon's cache; the user's one by default.
        table: the published weights by name.
        bundled: folder of the weights that come with gnomon.
        listener: hears how a download gets on.

    Raises:
        ValueError: if there are neither weights nor a file of this name.
        HttpError: if they cannot be fetched, or are not what they should be.
    """
    if name_or_path in BUNDLED:
        return _bundled(name_or_path, bundled)
    if name_or_path in table:
        return fetch(table[name_or_path], cache, listener=listener)
    path = Path(name_or_path).expanduser()
    if path.is_file():
        return Weights(path.stem, path, sha256_of(path))
    names = [*BUNDLED, *table]
    raise ValueError(f"{no_such('weights', name_or_path, names)}, or give the path of a file")


def fetch(
    published: Published,
    cache: Path | None = None,
    *,
    listener: Listener = SILENT,
    patience: Patience | None = None,
) -> Weights:
    """Published weights in the cache: those that are there and right, or fetched now.

    Raises:
        HttpError: if they cannot be fetched; it says how to do without a network.
        ChecksumError: if the server's file is another one.
    """
    path = cached_path(published, cache)
    if is_cached(published, cache):
        return Weights(published.name, path, published.sha256)
    if path.is_file():
        listener.say(f"{path} is damaged: fetching {published.name} again")
    try:
        download(published.url, published.sha256, path, patience=patience, listener=listener)
    except ChecksumError:
        raise
    except HttpError as error:
        raise HttpError(
            f"{published.name}: {error}\nhint: download that address where there is a network, and "
            "give the file with `--weights PATH`"
        ) from error
    return Weights(published.name, path, published.sha256)


def cached_path(published: Published, cache: Path | None = None) -> Path:
    """Where published weights are kept, once they are fetched."""
    return (cache or cache_folder()) / "weights" / f"{published.name}.nqx"


def is_cached(published: Published, cache: Path | None = None) -> bool:
    """Whether published weights are in the cache, and are what they should be."""
    path = cached_path(published, cache)
    return path.is_file() and sha256_of(path) == published.sha256


def bundled_path(name: str, folder: Path | None = None) -> Path:
    """Where weights that come with gnomon are: beside this module, unless told otherwise."""
    if folder is None:  # the package is never imported from an archive: this is a path
        folder = Path(str(resources.files("gnomon.potential") / "data"))
    return folder / f"{name}.gnomon"


def _bundled(name: str, folder: Path | None) -> Weights:
    path = bundled_path(name, folder)
    if not path.is_file():
        raise ValueError(
            f"{name} does not come with this installation ({path} is missing): install a release "
            f"of gnomon, or give one of {', '.join(PUBLISHED)}, or the path of a weight file"
        )
    return Weights(name, path, BUNDLED[name])
