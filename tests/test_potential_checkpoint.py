"""Weight files: what is written is read, and what is not whole is refused."""

import io
import json

import jax
import numpy as np
import pytest

from gnomon.potential.checkpoint import load, save
from tests.tiny_potentials import tiny_potential

CARD = {"name": "tiny", "trained_on": "nothing"}

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
    save(path, tiny_potential().potential, CARD)
    return path.read_bytes()


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
    save(tmp_path / "a.gnomon", potential, CARD)
    again, card = load(tmp_path / "a.gnomon")
    assert card == CARD
    assert again.config == potential.config
    assert jax.tree.structure(again) == jax.tree.structure(potential)
    for mine, yours in zip(jax.tree.leaves(potential), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(mine, yours)


def test_half_precision_keeps_three_digits_in_half_the_bytes(tmp_path):
    potential = tiny_potential(radial_mlp_size=64).potential
    save(tmp_path / "whole.gnomon", potential, CARD)
    save(tmp_path / "half.gnomon", potential, CARD, half=True)
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
    again, header = load(tmp_path / "a.nqx")
    assert header["hidden_irreps"] == potential.config.hidden_irreps
    assert again.config == potential.config
    for mine, yours in zip(jax.tree.leaves(potential), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(mine, yours)


@pytest.mark.parametrize("kept", [0, 10, 0.3, 0.7, 0.999, -1])
def test_a_file_cut_short_is_refused(whole, tmp_path, kept):
    path = tmp_path / "cut.gnomon"
    path.write_bytes(whole[: int(kept * len(whole)) if isinstance(kept, float) else kept])
    with pytest.raises(ValueError, match=r"cut\.gnomon is (not a whole|no) weight file"):
        load(path)


def test_a_newline_at_the_end_is_allowed_as_one_published_checkpoint_has_it(whole, tmp_path):
    path = tmp_path / "newline.gnomon"
    path.write_bytes(whole + b"\n")
    load(path)


@pytest.mark.parametrize("tail", [b"\0", b" ", b"\n\n", b"more", b"\x93NUMPY"])
def test_bytes_after_the_end_are_refused(whole, tmp_path, tail):
    path = tmp_path / "long.gnomon"
    path.write_bytes(whole + tail)
    with pytest.raises(ValueError, match="more arrays than its header names"):
        load(path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_layers", 3),
        ("n_layers", 1),
        ("hidden_irreps", "5x0e + 3x1o"),
        ("hidden_irreps", "nonsense"),
        ("elements", [1, 1]),
        ("elements", [1, 2]),
        ("elements", [500]),
        ("cutoff", None),
        ("cutoff", -1.0),
        ("unheard_of", 1),
    ],
)
def test_a_header_that_does_not_fit_is_refused(whole, tmp_path, name, value):
    line, _, arrays = whole.partition(b"\n")
    header = json.loads(line)
    header["config"][name] = value
    path = tmp_path / "other.gnomon"
    path.write_bytes(json.dumps(header).encode() + b"\n" + arrays)
    with pytest.raises(ValueError, match=r"other\.gnomon is not a whole weight file"):
        load(path)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x04\x95",
        b"[1, 2]\n",
        b"{}\n",
        b'{"format": "gnomon potential 1"}\n',
        b'{"format": "gnomon potential 1", "config": 3, "card": {}}\n',
        b"\xff" * 100,
    ],
)
def test_other_files_are_refused(tmp_path, data):
    path = tmp_path / "other.bin"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"other\.bin is (not a whole|no) weight file"):
        load(path)


def test_nothing_is_unpickled(whole, tmp_path):
    """An array of objects, which NumPy would unpickle if it were allowed to."""
    line, _, _ = whole.partition(b"\n")
    stream = io.BytesIO()
    np.save(stream, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    path = tmp_path / "trap.gnomon"
    path.write_bytes(line + b"\n" + stream.getvalue())
    with pytest.raises(ValueError, match="not a whole weight file"):
        load(path)
