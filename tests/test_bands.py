"""Band gaps by DFT: what eigenvalues say, inputs of VASP out and outputs back, GPAW."""

from importlib.util import find_spec

import ase.build
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.cli import main
from gnomon.io import as_crystals
from gnomon.io.tables import OK, check_table
from gnomon.properties.electronic.bands import Bands, density_of_states, gap
from gnomon.properties.electronic.vasp import LINE, UNIFORM, band_jobs, export_bands, import_bands
from gnomon.properties.registry import PROPERTIES, PropertySettings

from .vasp_files import vasprun_xml

SILICON = as_crystals(ase.build.bulk("Si", a=5.475))


def two_bands(kpoints, width=1.0, distance=3.0):
    """A valence band that falls from 0 by ``width``, a conduction band with its least at X."""
    wave = (1 - np.cos(2 * np.pi * np.asarray(kpoints)).mean(axis=1)) / 2
    return np.stack([-width * wave, distance - width * wave], axis=1)


@given(st.floats(0.2, 2), st.floats(0.0, 3), st.floats(-5, 5))
def test_a_gap_depends_on_no_origin_and_is_at_most_the_direct_one(width, distance, shift):
    bands = two_bands(np.random.default_rng(0).random((30, 3)), width, distance + width)[None]
    smallest, direct = gap(bands + shift, shift + 1e-9)
    assert smallest == pytest.approx(bands[..., 1].min() - bands[..., 0].max(), abs=1e-6)
    assert direct == pytest.approx(distance + width, abs=1e-6)
    assert 0 <= smallest <= direct + 1e-9


def test_a_band_that_crosses_the_fermi_energy_leaves_no_gap():
    bands = two_bands(np.linspace(0, 0.5, 10)[:, None])[None]
    assert gap(bands, -0.3) == (0, 0)
    with pytest.raises(ValueError, match="all eigenvalues lie below"):
        gap(bands, 9.0)


@given(st.integers(1, 2), st.floats(0.05, 0.3))
def test_a_density_of_states_holds_two_electrons_a_band(spins, width):
    bands = np.random.default_rng(1).uniform(-3, 3, (spins, 7, 4))
    energies = np.arange(-8, 8, 0.01)
    states = density_of_states(bands, np.full(7, 1 / 7), energies, width)
    assert states.sum() * 0.01 == pytest.approx(8, rel=1e-3)


def vasprun_of(structure, inputs, kpoints, weights, fermi):
    """A vasprun.xml with the two bands at these k-points."""
    rows = "".join(f"<v>{a:.8f} {b:.8f} {c:.8f}</v>" for a, b, c in kpoints)
    points = "".join(f"<v>{w:.8f}</v>" for w in weights)
    of_k = "".join(
        f'<set comment="kpoint {i}">'
        + "".join(f"<r>{e:.6f} {float(e <= fermi)}</r>" for e in energies)
        + "</set>"
        for i, energies in enumerate(two_bands(kpoints), 1)
    )
    eigenvalues = (
        '<eigenvalues><array><dimension dim="1">band</dimension><dimension dim="2">kpoint'
        '</dimension><dimension dim="3">spin</dimension><field>eigene</field><field>occ</field>'
        f'<set><set comment="spin 1">{of_k}</set></set></array></eigenvalues>'
    )
    settings = {str(k): v for k, v in inputs.incar.items()}
    potcar = [f"{s} 01Jan2000" for s in inputs.potcar_symbols]
    text = vasprun_xml(structure, settings, potcar, energy=-10.0, ionic_steps=1)
    start, _, rest = text.partition('<varray name="kpointlist">')
    rest = rest.partition("</kpoints>")[2]
    lists = f'<varray name="kpointlist">{rows}</varray><varray name="weights">{points}</varray>'
    text = f"{start}{lists}</kpoints>{rest}"
    return text.replace("</calculation>", f"{eigenvalues}</calculation>")


def test_inputs_of_vasp_go_out_and_bands_come_back(tmp_path):
    folder = tmp_path / "runs"
    manifest = export_bands(SILICON, folder)
    assert manifest["jobs"][-2:] == [UNIFORM, LINE]
    [row] = manifest["crystals"]
    runs = folder / row["folder"]
    assert "ICHARG = 11" in (runs / LINE / "INCAR").read_text("utf-8")
    assert "\\Gamma" in (runs / LINE / "KPOINTS").read_text("utf-8")
    [none] = import_bands(SILICON, folder).to_pylist()
    assert none["status"].startswith("no output of 4-uniform yet")

    from pymatgen.core import Structure
    from pymatgen.io.vasp.inputs import Kpoints

    structure = Structure.from_file(runs / LINE / "POSCAR")
    sets = {job.name: job.inputs(structure) for job in band_jobs()}
    line = np.array(Kpoints.from_file(runs / LINE / "KPOINTS").kpts)
    mesh = np.stack(np.meshgrid(*[np.arange(4) / 4] * 3), axis=-1).reshape(-1, 3)
    for name, points in ((UNIFORM, mesh), (LINE, line)):
        equal = np.full(len(points), 1 / len(points))
        text = vasprun_of(structure, sets[name], points, equal, fermi=0.5)
        (runs / name / "vasprun.xml").write_text(text, "utf-8")
    table = import_bands(SILICON, folder)
    check_table(table)
    [found] = table.to_pylist()
    assert found["status"] == OK
    both = np.concatenate([two_bands(line), two_bands(mesh)])
    assert found["value"] == pytest.approx(both[:, 1].min() - both[:, 0].max(), abs=1e-5)
    assert found["direct_gap"] == pytest.approx(3.0, abs=1e-5)
    assert found["kind"] == "indirect"
    bands = np.reshape(found["bands"], (1, len(line), 2)) + found["fermi_energy"]
    assert np.allclose(bands[0], two_bands(line), atol=1e-3)
    assert len(found["path"]) == len(line)
    other = as_crystals(ase.build.bulk("Ge"))
    (folder / f"Ge-{other.ids[0][:12]}").symlink_to(runs)
    assert "the run holds Si where Ge" in import_bands(other, folder)["status"][0].as_py()


def test_the_command_says_what_it_wants(tmp_path, capsys):
    file = tmp_path / "si.cif"
    ase.build.bulk("Si").write(file)
    assert main(["bands", str(file), "--engine", "vasp"]) == 2
    assert "takes one of --export DIR, --import DIR" in capsys.readouterr().err
    assert main(["bands", str(file)]) == 2
    assert "give --out FOLDER" in capsys.readouterr().err
    assert main(["bands", str(file), "--engine", "vasp", "--export", str(tmp_path / "v")]) == 0
    assert "1 crystals, 5 jobs each" in capsys.readouterr().out


def test_a_row_of_a_metal_has_states_at_the_fermi_energy():
    points = np.linspace(0, 0.5, 20)[:, None]
    bands = two_bands(points)[None]
    every = (bands, bands, np.full(20, 1 / 20))
    row = Bands(np.arange(20.0), (("G", 0.0),), *every, fermi=-0.5, atoms=1).row()
    assert (row["value"], row["kind"]) == (0, "metal")
    assert row["dos_at_fermi"] > 0.5


@pytest.mark.slow
@pytest.mark.skipif(find_spec("gpaw") is None, reason="GPAW is not installed (extra gpaw)")
def test_silicon_has_the_gap_of_pbe(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    options = {"dft_band_gap": {"relax": False}}
    made = PROPERTIES.get("dft_band_gap")(PropertySettings(options=options))
    [row] = made.compute(SILICON, {}).to_pylist()
    assert row["status"] == OK
    assert row["kind"] == "indirect"
    assert row["value"] == pytest.approx(0.6, abs=0.07)
