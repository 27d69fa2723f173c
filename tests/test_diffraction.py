"""Patterns, scans and identification: laws first, then cases."""

import json
from pathlib import Path

import numpy as np
import pytest

from gnomon.cli import main
from gnomon.crystals import Crystals
from gnomon.diffraction import (
    Candidates,
    DiffractionSettings,
    Scan,
    ScanError,
    SimulationSettings,
    identify,
    measured,
    read_scan,
    simulate,
)
from gnomon.diffraction.fit import Part, profile
from gnomon.diffraction.reflections import B_ISO, lorentz, reflections
from gnomon.diffraction.simulate import peaks
from gnomon.io import to_pymatgen
from gnomon.structure.symmetry import space_groups

WAVELENGTH = 1.5405929
HALITE = Crystals.single(
    [[0, 2.82, 2.82], [2.82, 0, 2.82], [2.82, 2.82, 0]], [11, 17], [[0, 0, 0], [0.5, 0.5, 0.5]]
)
RUTILE = Crystals.single(
    np.diag([4.5937, 4.5937, 2.9587]),  # Howard et al., Acta Cryst. B 47, 462 (1991)
    [22, 22, 8, 8, 8, 8],
    [
        [0, 0, 0],
        [0.5, 0.5, 0.5],
        [0.3048, 0.3048, 0],
        [0.6952, 0.6952, 0],
        [0.1952, 0.8048, 0.5],
        [0.8048, 0.1952, 0.5],
    ],
)
ZINCITE = Crystals.single(
    [[3.2495, 0, 0], [-1.62475, 2.81415, 0], [0, 0, 5.2069]],  # Kihara, Donnay (1985)
    [30, 30, 8, 8],
    [[1 / 3, 2 / 3, 0], [2 / 3, 1 / 3, 0.5], [1 / 3, 2 / 3, 0.3821], [2 / 3, 1 / 3, 0.8821]],
)
ALL = Crystals.concatenate([HALITE, RUTILE, ZINCITE])
QUICK = DiffractionSettings(refine=False)


@pytest.mark.parametrize("crystal", list(ALL), ids=["NaCl", "TiO2", "ZnO"])
def test_patterns_are_those_of_pymatgen(crystal):
    from pymatgen.analysis.diffraction.xrd import XRDCalculator

    source = reflections(crystal, 15.0, 90.0, WAVELENGTH)
    at = source.positions(np.zeros(len(source.modes)), WAVELENGTH)
    strength = source.strength * lorentz(at)
    factors = dict.fromkeys(("Na", "Cl", "Ti", "O", "Zn"), B_ISO)
    other = XRDCalculator(WAVELENGTH, debye_waller_factors=factors).get_pattern(
        to_pymatgen(crystal)[0], two_theta_range=(15, 90)
    )
    # rounding splits some of pymatgen's peaks; its form factors have no anomalous part
    for angle, height in zip(at, strength / strength.sum(), strict=True):
        same = np.abs(other.x - angle) < 1e-3
        inside = 15 < angle < 90 and height > 0.002
        assert not inside or other.y[same].sum() / other.y.sum() == pytest.approx(height, abs=0.02)


def test_any_cell_of_a_crystal_has_the_same_reflections():
    lattice, numbers, frac = RUTILE.arrays(0)
    turned = np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]])
    other = Crystals.single(turned @ lattice, numbers, frac @ turned.T)
    first, second = (reflections(c, 10.0, 90.0, WAVELENGTH) for c in (RUTILE, other))
    np.testing.assert_allclose(np.sort(first.strength), np.sort(second.strength), rtol=1e-6)
    assert first.zmv == pytest.approx(second.zmv)


def test_strains_keep_the_symmetry():
    assert [len(reflections(c, 10.0, 90.0, WAVELENGTH).modes) for c in ALL] == [1, 2, 2]
    source = reflections(HALITE, 10.0, 90.0, WAVELENGTH)
    sine = np.sin(np.radians(source.positions(np.array([0.01]), WAVELENGTH) / 2))
    flat = np.sin(np.radians(source.positions(np.zeros(1), WAVELENGTH) / 2))
    np.testing.assert_allclose(flat / sine, 1.01)


def test_texture_keeps_the_sum_over_directions():
    source = reflections(ZINCITE, 10.0, 90.0, WAVELENGTH)
    np.testing.assert_allclose(source.texture(2, 1.0), 1)
    assert source.texture(2, 0.6).max() > 1 > source.texture(2, 0.6).min()


def test_the_area_of_a_peak_does_not_depend_on_its_width():
    at = np.arange(10, 60, 0.01)
    areas = [
        peaks(at, np.array([35.0]), np.array([7.0]), np.array([w]), 0.0).sum() * 0.01
        for w in (0.1, 0.4)
    ]
    np.testing.assert_allclose(areas, 7, rtol=1e-3)


def test_the_profile_of_the_search_is_the_sum_of_its_peaks():
    scan = Scan(np.arange(20, 80, 0.01), np.ones(6000), lines=((WAVELENGTH, 1.0),))
    source = reflections(RUTILE, 20.0, 80.0, WAVELENGTH)
    part = Part(source, np.ones(2), np.zeros(2), width=0.2)
    at = source.positions(np.zeros(2), WAVELENGTH)
    area = source.strength * lorentz(at)
    drawn = peaks(scan.two_theta, at, area, 0.2 / np.cos(np.radians(at / 2)), 0.5)
    found = profile(part, 0.0, scan)
    assert np.abs(found - drawn).max() < 0.02 * drawn.max()
    assert found.sum() == pytest.approx(drawn.sum(), rel=0.03)


def test_rietveld_gives_the_weights_of_a_mixture():
    settings = SimulationSettings(uniform=0.001, strain=0.001, texture=0.0)
    scan = simulate(ALL[[1, 2]], [0.35, 0.65], settings, seed=4)
    found = identify(scan, Candidates.of(ALL, measured=True))
    assert [phase.formula for phase in found.phases] == ["ZnO", "TiO2"]
    assert found.phases[0].weight_fraction == pytest.approx(0.65, abs=0.06)
    assert found.phases[0].uncertainty is not None
    assert 0 < found.phases[0].uncertainty < 0.05


def test_measured_cells_are_whole_crystals():
    known = {"V2O5": 59, "In2O3": 206, "Li2CO3": 15, "MnCO3": 167, "La(HO)3": 176, "Bi2O3": 14}
    cells = measured()
    groups = dict(zip(cells.crystals.reduced_formulas, space_groups(cells.crystals), strict=True))
    assert known.items() <= groups.items()
    assert cells.measured.all()
    assert all("COD" in label or "doi" in label or "http" in label for label in cells.labels)


def test_a_mixture_is_identified_and_the_rest_refused():
    candidates = Candidates.of(ALL, measured=True)
    settings = SimulationSettings(uniform=0.001, strain=0.001)
    scan = simulate(ALL[[1, 2]], [0.7, 0.3], settings, seed=3)
    found = identify(scan, candidates, QUICK)
    assert [phase.formula for phase in found.phases] == ["TiO2", "ZnO"]
    assert found.phases[0].weight_fraction == pytest.approx(0.7, abs=0.1)
    assert all(phase.confidence > 0.5 for phase in found.phases)


def test_a_phase_that_is_no_candidate_is_not_called_another():
    scan = simulate(RUTILE, [1.0], SimulationSettings(uniform=0.001), seed=1)
    found = identify(scan, Candidates.of(ALL[[0, 2]]), QUICK)
    assert (found.status, found.phases) == ("unknown", ())
    assert "none of the candidates explains" in found.message
    assert len(found.unexplained) > 5


def test_noise_shows_no_peaks():
    scan = simulate(Crystals.empty(), [], seed=2)
    found = identify(scan, Candidates.of(ALL), QUICK)
    assert (found.status, found.phases) == ("no peaks", ())


def test_the_same_seed_gives_the_same_scan():
    first, second, third = (simulate(RUTILE, [1.0], seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(first.counts, second.counts)
    assert (first.counts != third.counts).any()


def written(path: Path, scan: Scan) -> str:
    np.savetxt(path, np.stack([scan.two_theta, scan.counts], 1))
    return str(path)


def test_the_command_names_phases_and_draws_them(tmp_path, capsys):
    oxide = measured().take([2]).crystals
    path = written(tmp_path / "s.xy", simulate(oxide, [1.0], SimulationSettings(uniform=0), seed=8))
    picture = tmp_path / "s.svg"
    words = ["xrd", path, "--chemistry", "Co-Ni-O", "--no-refine", "--json"]
    assert main([*words, "--picture", str(picture)]) == 0
    [phase] = json.loads(capsys.readouterr().out)["phases"]
    assert (phase["formula"], phase["weight_fraction"]) == ("NiO", 1.0)
    assert "NiO 100.0 %" in picture.read_text("utf-8")


@pytest.mark.parametrize(
    ("crystals", "said"),
    [(Crystals.empty(), "no peak above its noise"), (ZINCITE, "none of the candidates explains")],
)
def test_the_command_says_what_it_cannot_identify(tmp_path, capsys, crystals, said):
    path = written(tmp_path / "s.xy", simulate(crystals, [1.0] * len(crystals), seed=9))
    assert main(["xrd", path, "--chemistry", "Ni-O"]) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "no numeric data"), ("hello\n", "no numeric data"), ("10 5\n11 6\n", "2 points")],
)
def test_files_that_hold_no_scan(tmp_path, text, said):
    path = tmp_path / "scan.xy"
    path.write_text(text)
    with pytest.raises(ScanError, match=said):
        read_scan(path)


@pytest.mark.parametrize(
    ("counts", "said"), [(np.full(200, np.nan), "finite"), (np.full(200, -1.0), "negative")]
)
def test_intensities_that_cannot_be(counts, said):
    with pytest.raises(ScanError, match=said):
        Scan(np.linspace(10, 90, 200), counts)


def test_a_scan_is_read_from_a_file(tmp_path):
    scan = simulate(RUTILE, [1.0], seed=5)
    path = tmp_path / "rutile.xy"
    np.savetxt(path, np.stack([scan.two_theta, scan.counts], 1))
    again = read_scan(path)
    np.testing.assert_allclose(again.counts, scan.counts)
    assert again.name == "rutile"
