"""Conduction: diffusion coefficients of known motion, and what has no answer."""

import ase.build
import numpy as np
import pytest

from gnomon.crystals import Crystals
from gnomon.evaluate.ase import calculator_of
from gnomon.evaluate.registry import EvaluatorConfig
from gnomon.io import as_crystals
from gnomon.io.tables import OK, check_table
from gnomon.properties.conduction import dynamics, movers
from gnomon.properties.conduction.diffusion import CM2_S, conductivity, diffusion
from gnomon.properties.conduction.dynamics import Conduction, ConductionConfig, judged
from gnomon.properties.conduction.ions import Ion, mobile
from gnomon.properties.registry import PROPERTIES, PropertySettings
from tests.tiny_potentials import MORSE

EMT = EvaluatorConfig(name="ase:ase.calculators.emt.EMT", workers=1)
FRAMES = 41


def brownian(rng, coefficient, ions=20, frames=FRAMES):
    """Å, after each ps; the coefficient is in Å²/ps."""
    return np.cumsum(rng.normal(0, np.sqrt(2 * coefficient), (frames, ions, 3)), axis=0)


def hopping(rng, coefficient, ions=20, frames=FRAMES, jump=2.0):
    """The same by jumps along an axis, few and far between."""
    moves = np.zeros((frames, ions, 3))
    for frame, ion in np.argwhere(rng.random((frames, ions)) < 6 * coefficient / jump**2):
        moves[frame, ion, rng.integers(3)] = jump * rng.choice((-1, 1))
    return np.cumsum(moves, axis=0)


def shaking(rng, ions=20, frames=FRAMES, size=0.25):
    return rng.normal(0, size, (frames, ions, 3))


CASES = {
    "Brownian": lambda rng: brownian(rng, 0.05),
    "Brownian and vibrating": lambda rng: brownian(rng, 0.05) + shaking(rng),
    "near the threshold": lambda rng: brownian(rng, 0.0041) + shaking(rng),
    "four ions": lambda rng: brownian(rng, 0.05, 4) + shaking(rng, 4),
    "hops": lambda rng: hopping(rng, 0.05) + shaking(rng),
    "eight hops": lambda rng: hopping(rng, 0.0066) + shaking(rng),
}
TRUE = {"near the threshold": 0.0041, "eight hops": 0.0066}


def held(name, seeds):
    """How many of the 95 % intervals hold the true coefficient."""
    found = [diffusion(CASES[name](np.random.default_rng(seed)), 1.0) for seed in range(seeds)]
    true = TRUE.get(name, 0.05) * CM2_S
    return sum(low <= true <= high for low, high in (one.interval() for one in found))


@pytest.mark.parametrize("name", CASES)
def test_intervals_hold_the_coefficient_of_known_motion(name):
    assert held(name, 20) >= 16  # fewer would come of an interval of 95 % once in 400 times


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_intervals_hold_their_nominal_share_within_five_percent(name):
    assert 0.9 <= held(name, 200) / 200 <= 1.0


def test_an_interval_of_half_holds_half():
    found = [diffusion(CASES["Brownian"](np.random.default_rng(s)), 1.0) for s in range(40)]
    inside = sum(low <= 0.05 * CM2_S <= high for low, high in (one.interval(0.5) for one in found))
    assert 9 <= inside <= 31  # of a binomial distribution, all but once in 2,000 times


def test_vibrations_are_no_diffusion():
    """The mean squared displacement of vibrating atoms is as large as that of a conductor."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        found = diffusion(shaking(rng), 1.0)
        assert found.interval()[0] == 0
        assert found.above(0.001 * CM2_S) < 0.01
        assert found.vibration == pytest.approx(0.25**2, rel=0.2)


def test_coefficients_scale_with_lengths_and_times():
    moves = CASES["Brownian and vibrating"](np.random.default_rng(1))
    one = diffusion(moves, 1.0)
    assert diffusion(moves, 2.0).mean == pytest.approx(one.mean / 2)
    assert diffusion(3 * moves, 1.0).mean == pytest.approx(9 * one.mean)
    order = np.random.default_rng(2).permutation(20)
    assert diffusion(moves[:, order], 1.0).mean == pytest.approx(one.mean)
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
    assert diffusion(moves @ turn, 1.0).mean == pytest.approx(one.mean)
    assert diffusion(moves[::-1], 1.0).mean == pytest.approx(one.mean, rel=0.05)


def test_ions_that_move_together_tell_less():
    rng = np.random.default_rng(4)
    alone, together = hopping(rng, 0.05), np.repeat(hopping(rng, 0.05, 5), 4, axis=1)
    assert diffusion(together + shaking(rng), 1.0).dispersion > 1.5 * (
        diffusion(alone + shaking(rng), 1.0).dispersion
    )


def test_too_little_is_refused():
    with pytest.raises(ValueError, match="give at least 17 of one"):
        diffusion(np.zeros((10, 3, 3)), 1.0)
    with pytest.raises(ValueError, match="give at least 17 of one"):
        diffusion(np.zeros((41, 0, 3)), 1.0)
    assert diffusion(np.zeros((41, 2, 3)), 1.0).mean == 0


@pytest.mark.parametrize(
    ("density", "coefficient"), [(0.01, 8.1e-7), (0.02, 4.1e-7), (0.03, 2.7e-7)]
)
def test_the_threshold_of_superionic_is_what_was_published(density, coefficient):
    threshold = dynamics.SUPERIONIC / 1000 / conductivity(1.0, density, 1.0, 1000.0)
    assert threshold == pytest.approx(coefficient, rel=0.02)


def test_charges_count_twice():
    assert conductivity(1e-6, 0.02, 2.0, 1000.0) == 4 * conductivity(1e-6, 0.02, 1.0, 1000.0)


# --- answers --------------------------------------------------------------------------------------

CONFIG = ConductionConfig()


def row(ions, framework, drift=0.0, ion="Li"):
    """What is said of these motions in a cell of 1,000 Å3."""
    numbers = [ase.data.atomic_numbers[Ion.named(ion).symbol]] * 20 + [17] * 20
    cell = Crystals.single(10 * np.eye(3), numbers, np.random.default_rng(0).random((40, 3)))
    rng = np.random.default_rng(6)
    moves = np.arange(40) < 20
    positions = np.zeros((FRAMES, 40, 3))
    positions[:, moves] = brownian(rng, ions)
    positions[:, ~moves] = brownian(rng, framework)
    positions += shaking(rng, 40, size=0.15) + drift * np.arange(FRAMES)[:, None, None]
    return judged(positions, cell, ion, CONFIG)


def test_three_answers():
    assert row(0.05, 0.0)["answer"] == "superionic"
    assert row(0.0, 0.0)["answer"] == "not superionic"
    assert row(0.0041, 0.0)["answer"] == "not decided"
    assert row(0.05, 0.0)["status"] == OK


def test_a_melt_is_no_conductor():
    molten = row(0.5, 0.3)
    assert molten["status"].startswith("melted: the framework diffuses by ")
    assert molten["answer"] is None


def remembering(rng, memory, frames=FRAMES, ions=20, size=0.38):
    """Vibrations that are not forgotten between frames (Ornstein and Uhlenbeck), Å."""
    found = [rng.normal(0, size, (ions, 3))]
    for _ in range(frames - 1):
        fresh = rng.normal(0, size, (ions, 3))
        found.append(memory * found[-1] + np.sqrt(1 - memory**2) * fresh)
    return np.array(found)


def test_a_framework_that_vibrates_slowly_is_no_melt_and_one_that_diffuses_is():
    """As iodine in alpha-AgI, which remembers where it was for half a picosecond."""
    cell = Crystals.single(10 * np.eye(3), [47] * 20 + [53] * 20, np.zeros((40, 3)))
    config = ConductionConfig(interval=0.5, time=20.0, dropped=0.0)
    for seed in range(4):
        rng = np.random.default_rng(seed)
        ions, soft = brownian(rng, 0.2), remembering(rng, 0.45)
        solid = judged(np.concatenate([ions, soft], axis=1), cell, "Ag+", config)
        assert (solid["status"], solid["answer"]) == (OK, "superionic")
        soft = soft + brownian(rng, 0.01)  # 2e-6 cm²/s
        molten = judged(np.concatenate([ions, soft], axis=1), cell, "Ag+", config)
        assert molten["status"].startswith("melted: ")


def test_drift_is_no_conduction():
    assert row(0.0, 0.0, drift=0.5)["answer"] == "not superionic"


def test_nonsense_gets_a_sentence(tmp_path):
    crystals = as_crystals(
        [
            ase.build.bulk("Cu"),
            ase.build.bulk("Li"),
            ase.build.bulk("MgO", "rocksalt", a=4.2),
        ]
    )
    made = Conduction(CONFIG, PropertySettings(evaluator=EMT), tmp_path)
    table = made.compute(crystals[:2], {})
    check_table(table)
    assert table["status"].to_pylist() == [
        "none of the ions Li, Na, K, Mg, Ca in it",
        "metals only: electrons conduct, not ions",
    ]
    assert mobile(crystals[2]) == ("Mg", "")


def test_too_short_a_simulation_is_refused(tmp_path):
    with pytest.raises(ValueError, match="give a longer time or a shorter interval"):
        Conduction(ConductionConfig(time=20), PropertySettings(evaluator=EMT), tmp_path)


def test_dft_moves_no_atoms():
    with pytest.raises(ValueError, match="gpaw moves no atoms"):
        calculator_of(EvaluatorConfig(name="gpaw"))


@pytest.mark.parametrize("timestep", [2.0, 3.0, 4.0, 7.0])
def test_all_frames_are_equally_far_apart_whatever_the_timestep(timestep):
    """Of 0.25 ps 4 fs are no whole part, and a last frame had come a few steps after the others."""
    config = ConductionConfig(time=5.0, dropped=1.0, interval=0.25, timestep=timestep)
    steps, every = config.dynamics().steps, config.dynamics().interval
    assert steps == 20 * every
    assert config.spacing == pytest.approx(every * timestep / 1000)
    assert config.spacing == pytest.approx(0.25, abs=timestep / 1999)


def test_a_simulation_is_kept_and_read_again(tmp_path, monkeypatch):
    config = ConductionConfig(time=0.06, dropped=0.01, interval=0.002, min_length=2.0)
    settings = PropertySettings(evaluator=EvaluatorConfig(name="ase:tests.calculators.Springs"))
    salt = as_crystals(ase.build.bulk("LiF", "rocksalt", a=4.03, cubic=True))
    first = Conduction(config, settings, tmp_path).compute(salt, {})
    check_table(first)
    assert first["status"].to_pylist() == [OK]
    monkeypatch.setattr(movers, "run", None)
    assert Conduction(config, settings, tmp_path).compute(salt, {}) == first
    other = Conduction(config.model_copy(update={"ion": "F-"}), settings, tmp_path)
    assert other.compute(salt, {})["ion"].to_pylist() == ["F-"]  # of the same motion


def test_a_potential_moves_all_crystals_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(
        dynamics, "mover", lambda _, wanted, listener: movers.Batched(MORSE, wanted, listener)
    )
    config = ConductionConfig(
        time=0.2, dropped=0.02, interval=0.01, min_length=5.0, temperature=300, timestep=1
    )
    salts = as_crystals(
        [
            ase.build.bulk("LiAl", "rocksalt", a=5.2, cubic=True),
            ase.build.bulk("Cu"),
            ase.build.bulk("LiCl", "rocksalt", a=5.2, cubic=True),
        ]
    )
    settings = PropertySettings(evaluator=EvaluatorConfig(name="gnomon-2"))
    together = Conduction(config, settings, tmp_path)
    table = together.compute(salts, {})
    check_table(table)
    metal, copper, salt = table["status"].to_pylist()
    assert metal == "metals only: electrons conduct, not ions"
    assert copper == "none of the ions Li, Na, K, Mg, Ca in it"
    assert salt.startswith("melted: ")  # of atoms that are all alike
    assert table["ion"].to_pylist() == [None, None, "Li"]
    assert len(list(together.folder.glob("*.parquet"))) == 1
    assert together.compute(salts, {}) == table  # as they were kept


def test_another_ion_may_be_asked_for(tmp_path):
    both = as_crystals(ase.build.bulk("LiK", "rocksalt", a=6.0))
    assert mobile(both, "Na") == ("", "no Na in it")
    halide = as_crystals(
        ase.Atoms("LiKF2", scaled_positions=[[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0], [0, 0, 0.5]],
                  cell=[5, 5, 5], pbc=True)
    )  # fmt: skip
    assert mobile(halide) == ("Li", "")
    assert mobile(halide, "K") == ("K", "")
    with pytest.raises(ValueError, match="'Cu' is none of the ions Li, Na, K, Mg, Ca: give"):
        PROPERTIES.get("bond_valence")(PropertySettings(options={"bond_valence": {"ion": "Cu"}}))


@pytest.mark.parametrize("name", ["Cu", "Xx+", "Ag++", "Ag0+", "2+", "", "ag+", "O2"])
def test_what_is_no_ion_is_refused_with_the_way_to_name_one(name):
    with pytest.raises(ValueError, match=r"as in Ag\+ or O2-"):
        ConductionConfig(ion=name)


def test_any_ion_may_be_named_with_its_charge():
    iodide = as_crystals(ase.build.bulk("AgI", "zincblende", a=6.5))
    assert mobile(iodide)[1] == "none of the ions Li, Na, K, Mg, Ca in it"
    assert mobile(iodide, "Ag+") == ("Ag+", "")
    assert mobile(iodide, "O2-") == ("", "no O2- in it")
    silicon = as_crystals(ase.build.bulk("Si"))
    assert mobile(silicon, "Si4+") == ("", "nothing but Si in it: no framework")
    one, two = row(0.05, 0.0, ion="Ag+"), row(0.05, 0.0, ion="O2-")
    assert two["value"] == pytest.approx(4 * one["value"])
    assert row(0.05, 0.0, ion="Li+") == row(0.05, 0.0) | {"ion": "Li+"}


# --- bond valences --------------------------------------------------------------------------------


def barriers(*crystals, **options):
    pytest.importorskip("bvlain", reason="bvlain is not installed (extra properties)")
    made = PROPERTIES.get("bond_valence")(PropertySettings(options={"bond_valence": options}))
    table = made.compute(as_crystals(list(crystals)), {})
    check_table(table)
    return table


LITHIUM_FLUORIDE = ase.build.bulk("LiF", "rocksalt", a=4.03)


def test_barriers_rank_salts():
    """A doubly charged ion is held faster, and a cell says nothing."""
    magnesia = ase.build.bulk("MgO", "rocksalt", a=4.21)
    cubic = ase.build.bulk("LiF", "rocksalt", a=4.03, cubic=True)
    table = barriers(LITHIUM_FLUORIDE, cubic, magnesia)
    assert table["status"].to_pylist() == [OK] * 3
    one, same, two = table["value"].to_pylist()
    assert 0.3 < one < two / 2
    assert same == pytest.approx(one, abs=0.1)  # by the grids
    assert table["ion"].to_pylist() == ["Li", "Li", "Mg"]
    [fluoride] = barriers(LITHIUM_FLUORIDE, ion="F-").to_pylist()
    assert (fluoride["ion"], fluoride["status"]) == ("F-", OK)


def test_what_has_no_barrier_says_why():
    metal, copper = ase.build.bulk("Li"), ase.build.bulk("Cu")
    hydride = ase.build.bulk("LiXe", "rocksalt", a=6.0)
    statuses = barriers(metal, copper, hydride)["status"].to_pylist()
    assert statuses[0] == "metals only: electrons conduct, not ions"
    assert statuses[1] == "none of the ions Li, Na, K, Mg, Ca in it"
    assert statuses[2].startswith("no bond valences: ")
    [low] = barriers(LITHIUM_FLUORIDE, highest=0.2)["status"].to_pylist()
    assert low == "bond valences of LiF: no path for the ion below 0.2 eV"
    [many] = barriers(LITHIUM_FLUORIDE, max_atoms=1)["status"].to_pylist()
    assert many == "more than 1 atoms (bond_valence.max_atoms)"
