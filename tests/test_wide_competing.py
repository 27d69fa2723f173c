"""Campaigns without a system: competing phases on demand, and the quick answer."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from gnomon.crystals import Crystals
from gnomon.discover.closure import MarginConfig, closure
from gnomon.discover.level import Level
from gnomon.discover.wide.competing import asked, on_whole_hull
from gnomon.discover.wide.cross_scheme import quick_answer, told
from gnomon.discover.wide.database import MATERIALS_PROJECT, Database
from gnomon.hull.phases import ON_HULL, Phases, compositions
from gnomon.io import to_arrow


def level_of(crystals: Crystals, energies: np.ndarray, rounds: np.ndarray) -> Level:
    rows = to_arrow(crystals)
    columns = {
        "status": pa.array(["converged"] * len(crystals)),
        "energy_per_atom": pa.array(energies),
        "round": pa.array(rounds),
    }
    for name, column in columns.items():
        rows = rows.append_column(name, column)
    lineage = pa.table({n: pa.nulls(0, pa.string()) for n in ("id", "parent_id")})
    return Level(0, "made up", rows, lineage)


def binaries(rng: np.random.Generator) -> tuple[Database, np.ndarray]:
    """Made-up phases of three elements, and their energies at another level."""
    cells = [Crystals.single(3 * np.eye(3), [z], [[0, 0, 0]]) for z in (11, 12, 17)]
    for k in range(40):
        numbers = np.append(rng.choice([11, 12, 17], size=int(rng.integers(1, 6))), [17, 11][k % 2])
        numbers = np.append(numbers, 12) if len(set(numbers)) == 1 else numbers
        sites = (np.arange(len(numbers))[:, None] + rng.random((len(numbers), 3))) / len(numbers)
        cells.append(Crystals.single((3 + 0.01 * k) * np.eye(3), numbers, sites))
    crystals = Crystals.concatenate(cells)
    energies = np.concatenate([np.zeros(3), -rng.random(40)])
    none = Phases(np.zeros(0, object), np.zeros((0, 119)), np.zeros(0), "database")
    found = Database(crystals, crystals.ids, energies, "database", none)
    return found, energies + np.concatenate([np.zeros(3), rng.uniform(-0.02, 0.02, 40)])


@pytest.mark.parametrize("seed", range(6))
def test_verdicts_are_those_of_the_whole_database(seed):
    """As long as no energy differs by more than the margin; with fewer evaluations than phases."""
    rng = np.random.default_rng(seed)
    database, there = binaries(rng)
    new, of_new = binaries(np.random.default_rng(seed + 100))
    new = new.crystals[3:11].scale_volume(1.1)
    energies = of_new[3:11] - 0.1
    margin = MarginConfig(first_margin=0.05, min_differences=1000)
    have: list[int] = []
    others = Crystals.empty()
    for _ in range(60):
        crystals = Crystals.concatenate([new, others, database.crystals[have]])
        rounds = np.array([1] * len(new) + [0] * (len(others) + len(have)))
        level = level_of(
            crystals, np.concatenate([energies, np.zeros(len(others)), there[have]]), rounds
        )
        want = asked(level, database, margin)
        if not len(want.crystals):
            break
        for crystal, why in zip(want.crystals, want.why, strict=True):
            if why.startswith("element"):
                others = Crystals.concatenate([others, crystal])
            else:
                have.append(database.crystals.ids.tolist().index(crystal.ids[0]))
    assert not want.open
    elements = np.zeros(len(others))
    whole = level_of(
        Crystals.concatenate([new, others, database.crystals[3:]]),
        np.concatenate([energies, elements, there[3:]]),
        np.array([1] * len(new) + [0] * (len(others) + 40)),
    )
    own = [level.placed.e_above_hull[level.placed.row_of[key]] <= ON_HULL for key in new.ids]
    all_ = [whole.placed.e_above_hull[whole.placed.row_of[key]] <= ON_HULL for key in new.ids]
    assert own == all_
    assert len(have) < 40


def test_an_element_that_no_level_relaxes_costs_its_own_phases_alone():
    database, _ = binaries(np.random.default_rng(3))
    rounds = np.zeros(len(database), np.int64)
    below = level_of(database.crystals, database.formation_energy_per_atom, rounds)
    rows = below.evaluations.take([0, 1, 2])
    statuses = pa.array(["converged", "exploded", "converged"])
    rows = rows.set_column(rows.column_names.index("status"), "status", statuses)
    level = Level(1, "better", rows, below.lineage, below)
    elements = ("Cl", "Mg", "Na")
    whole = closure(below, level, elements, MarginConfig())
    assert whole.missing == ("Mg",)
    assert not whole.left
    rest = closure(below, level, elements, MarginConfig(), all_needed=False)
    assert rest.left
    assert all("Mg" not in one.phase.elements for one in rest.left)
    assert any("Mg" in phase.elements for phase in rest.failed)
    assert not rest.missing


def test_the_quick_answer_is_called_cross_scheme_and_carries_its_offset(tmp_path):
    """On the database's hull as it is; without an agreement by construction there is none."""
    database, there = binaries(np.random.default_rng(5))
    others = replace(database.others, scheme=MATERIALS_PROJECT)
    database = replace(database, scheme=MATERIALS_PROJECT, others=others)
    new = Crystals.single(4 * np.eye(3), [11, 17, 17], [[0, 0, 0], [0.5] * 3, [0.25] * 3])
    have = np.arange(12)
    level = level_of(
        Crystals.concatenate([new, database.crystals[have]]),
        np.concatenate([[-0.7], there[have] + (have > 2) * 0.03]),
        np.array([1, *[0] * len(have)]),
    )
    assert quick_answer(level, database) is None
    level = Level(0, "a potential, MP2020 corrections", level.evaluations, level.lineage)
    [row] = quick_answer(level, database).to_pylist()
    own = database.hull.e_above_hull(new.composition.astype(float), np.array([-0.7]))
    assert row["value"] == pytest.approx(own[0])
    assert row["id"] == new.ids[0]
    assert row["phases"] == 9
    differences = (there - database.formation_energy_per_atom)[3:12] + 0.03
    assert row["offset"] == pytest.approx(np.median(differences))
    assert row["level"].startswith("cross-scheme: a potential")
    said = told(quick_answer(level, database))
    assert said.startswith("quick answer, cross-scheme: ")
    assert f"{1000 * np.median(differences):+.0f} meV/atom in the median of 9 phases" in said
    alone = Level(0, level.scheme, level.evaluations.slice(0, 4), level.lineage)
    assert "the offset is not known" in told(quick_answer(alone, database))


def test_phases_without_a_crystal_count_where_they_are_expected():
    """Shifted as the others are at the level, they lower the hull."""
    database, _ = binaries(np.random.default_rng(4))
    alloy = compositions(["Na7Mg"])
    others = Phases(np.array(["Na7Mg"], object), alloy, np.array([-3.0]), "database")
    sites = [[i, j, k] for i in (0, 0.5) for j in (0, 0.5) for k in (0, 0.5)]
    candidate = Crystals.single(6 * np.eye(3), [11] * 7 + [12], sites)
    level = level_of(
        Crystals.concatenate([candidate, database.crystals]),
        np.concatenate([[-2.9], database.formation_energy_per_atom]),
        np.array([1, *[0] * len(database)]),
    )
    key = str(candidate.ids[0])
    own, with_others = on_whole_hull(level, replace(database, others=others), MarginConfig())
    assert own[key] < 0 < with_others[key]
    assert with_others[key] == pytest.approx(0.1, abs=1e-6)
