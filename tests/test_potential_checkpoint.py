"""Weight files: what is written is read, and what is not whole is refused."""

import io
import json

import jax
import numpy as np
import pytest

from gnomon.learn.model_file import write_model_file
from gnomon.potential.checkpoint import Weighted, load, save
from tests.tiny_potentials import CARD, tiny_potential

KINDS = {
    "plain": {},
    "every option": {
        "hidden_irreps": "3x0e + 2x1o + 1x1e",
        "index_weights": True,
        "layer_norm": False,
        "repulsion": True,
        "embedding": 3,
    },
}


@pytest.fixture(params=KINDS.values(), ids=KINDS.keys())
def potential(request):
    return tiny_potential(**request.param).potential


@pytest.fixture
def whole(tmp_path) -> bytes:
    path = tmp_path / "whole.gnomon"
    save(path, Weighted(tiny_potential().potential, CARD))
    return path.read_bytes()


@pytest.fixture
def nequix() -> bytes:
    return nequix_file(tiny_potential().potential)


def nequix_file(potential) -> bytes:
    """The same weights in the layout of Nequix: a line of JSON, then arrays in its order."""
    config = potential.config.model_dump(mode="json")
    header = {**config, "atomic_numbers": config.pop("elements")}
    stream = io.BytesIO()
    stream.write(json.dumps(header).encode() + b"\n")
    arrays = [potential.atom_energies]
    for layer in potential.layers:
        arrays += [*layer.radial, *layer.before, *layer.after]
        arrays += [*(weights for weights in layer.skip if weights is not None), *(layer.norm or [])]
    for array in [*arrays, potential.readout]:
        np.save(stream, np.asarray(array), allow_pickle=False)
    return stream.getvalue()


def test_weights_and_card_survive_a_round_trip(potential, tmp_path):
    save(tmp_path / "a.gnomon", Weighted(potential, CARD))
    again, card = load(tmp_path / "a.gnomon")
    assert card == CARD
    assert again.config == potential.config
    assert jax.tree.structure(again) == jax.tree.structure(potential)
    for mine, yours in zip(jax.tree.leaves(potential), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(mine, yours)


def test_half_precision_keeps_three_digits_in_half_the_bytes(tmp_path):
    potential = tiny_potential(radial_mlp_size=64).potential
    save(tmp_path / "whole.gnomon", Weighted(potential, CARD))
    save(tmp_path / "half.gnomon", Weighted(potential, CARD), half=True)
    again, _ = load(tmp_path / "half.gnomon")
    for mine, yours in zip(jax.tree.leaves(potential), jax.tree.leaves(again), strict=True):
        assert yours.dtype == np.float32
        np.testing.assert_allclose(mine, yours, rtol=2**-11, atol=2**-24)
    data = [(tmp_path / name).stat().st_size for name in ("half.gnomon", "whole.gnomon")]
    assert data[0] < 0.8 * data[1]


def test_nequix_files_are_read(potential, tmp_path):
    if potential.config.repulsion:
        pytest.skip("Nequix knows no repulsion")
    (tmp_path / "a.nqx").write_bytes(nequix_file(potential))
    again, card = load(tmp_path / "a.nqx")
    assert card is None
    assert again.config == potential.config
    for mine, yours in zip(jax.tree.leaves(potential), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(mine, yours)


@pytest.mark.parametrize("kept", [0, 10, 0.3, 0.7, 0.999, -1])
@pytest.mark.parametrize("kind", ["whole", "nequix"])
def test_a_file_cut_short_is_refused(request, tmp_path, kind, kept):
    whole, path = request.getfixturevalue(kind), tmp_path / "cut"
    path.write_bytes(whole[: int(kept * len(whole)) if isinstance(kept, float) else kept])
    with pytest.raises(ValueError, match=r"cut (is not a whole weight file|is damaged|is no)"):
        load(path)


def test_a_newline_at_the_end_is_allowed_as_one_published_checkpoint_has_it(nequix, tmp_path):
    path = tmp_path / "newline.nqx"
    path.write_bytes(nequix + b"\n")
    load(path)


@pytest.mark.parametrize("tail", [b"\0", b" ", b"\n\n", b"more", b"\x93NUMPY"])
@pytest.mark.parametrize("kind", ["whole", "nequix"])
def test_bytes_after_the_end_are_refused(request, tmp_path, kind, tail):
    path = tmp_path / "long"
    path.write_bytes(request.getfixturevalue(kind) + tail)
    with pytest.raises(ValueError, match=r"more arrays than its header names|damaged"):
        load(path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_layers", 3),
        ("n_layers", 1),
        ("hidden_irreps", "5x0e + 3x1o"),
        ("hidden_irreps", "nonsense"),
        ("atomic_numbers", [1, 1]),
        ("atomic_numbers", [1, 2]),
        ("atomic_numbers", [500]),
        ("cutoff", None),
        ("cutoff", -1.0),
    ],
)
def test_a_header_that_does_not_fit_is_refused(nequix, tmp_path, name, value):
    line, _, arrays = nequix.partition(b"\n")
    header = json.loads(line) | {name: value}
    path = tmp_path / "other.nqx"
    path.write_bytes(json.dumps(header).encode() + b"\n" + arrays)
    with pytest.raises(ValueError, match=r"other\.nqx is not a whole weight file"):
        load(path)


def test_a_model_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "other.gnomon"
    write_model_file(path, {"kind": "structural"}, {"a": np.zeros(3)})
    with pytest.raises(ValueError, match=r"other\.gnomon holds a structural, not a potential"):
        load(path)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x04\x95",
        b"[1, 2]\n",
        b"{}\n",
        b'{"format": "gnomon potential 1"}\n',
        b"\xff" * 100,
    ],
)
def test_other_files_are_refused(tmp_path, data):
    path = tmp_path / "other.bin"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"other\.bin (is not a whole|is no|was written by an)"):
        load(path)


def test_nothing_is_unpickled(nequix, tmp_path):
    """An array of objects, which NumPy would unpickle if it were allowed to."""
    line, _, _ = nequix.partition(b"\n")
    stream = io.BytesIO()
    np.save(stream, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    path = tmp_path / "trap.nqx"
    path.write_bytes(line + b"\n" + stream.getvalue())
    with pytest.raises(ValueError, match="not a whole weight file"):
        load(path)
