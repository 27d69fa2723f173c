"""Targets: what air, elements and charges say against a find, and the command."""

import json
from pathlib import Path

import numpy as np
import pytest

from gnomon import run_campaign
from gnomon.cli import main
from gnomon.discover.settings import CampaignConfig
from gnomon.hull.phases import Phases, compositions
from gnomon.synthesis.solids import Solids, with_volumes
from gnomon.synthesis.targets import in_air, of_elements

# formation energies (eV/atom) and volumes (Å³/atom), about the Materials Project's
SYSTEM = {
    "Ba": (0.0, 63.0),
    "Fe": (0.0, 11.5),
    "S": (0.0, 25.0),
    "C": (0.0, 9.0),
    "H2": (0.0, 15.0),
    "O2": (0.0, 15.0),
    "BaO": (-2.82, 21.0),
    "BaCO3": (-2.68, 15.9),
    "FeO": (-1.45, 10.2),
    "Fe2O3": (-1.71, 10.1),
    "FeS": (-0.53, 14.8),
}


def solids() -> Solids:
    energies = np.array([e for e, _ in SYSTEM.values()])
    phases = Phases(np.array(list(SYSTEM), object), compositions(list(SYSTEM)), energies, "test")
    return with_volumes(phases, np.array([v for _, v in SYSTEM.values()]))


def test_what_carbonates_in_air_is_no_target_and_rust_is_stable() -> None:
    (reason,) = in_air(solids(), "BaO", [873.15, 973.15])
    assert reason.startswith("BaO + CO2 → BaCO3 at 600 and 700 °C, gaining ")
    assert reason.count(" and ") == 2  # a gain for each temperature
    assert in_air(solids(), "Fe2O3", [873.15, 1123.15]) == []


def test_what_burns_in_air_is_no_target() -> None:
    assert any("Fe2O3" in reason for reason in in_air(solids(), "FeS", [873.15]))
    assert any("O2 + 4 FeO → 2 Fe2O3" in r or "4 FeO + O2 → 2 Fe2O3" in r
               for r in in_air(solids(), "FeO", [873.15]))  # fmt: skip


@pytest.mark.parametrize(
    ("formula", "allowed", "expected"),
    [
        ({56: 1, 22: 1, 8: 3}, (), []),
        ({82: 1, 22: 1, 8: 3}, (), ["toxic: Pb"]),
        ({82: 1, 22: 1, 8: 3}, ("Pb",), []),
        ({92: 1, 8: 2}, (), ["radioactive: U"]),
        ({44: 1, 8: 2}, (), ["scarce: Ru"]),
        ({11: 2, 17: 1}, (), ["no usual oxidation states balance it"]),
    ],
)
def test_elements_and_charges_have_reasons(formula, allowed, expected) -> None:
    assert of_elements(tuple(sorted(formula.items())), allowed) == expected


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("targets") / "campaign"
    settings = CampaignConfig(
        system="Au-Cu",
        evaluator={"name": "ase:ase.calculators.emt.EMT", "workers": 1},
        generate={"max_atoms": 2},
        budget={"evaluations": 6, "rounds": 1},
        learn={"prior": False},
    )
    run_campaign(settings, folder)
    return folder


def test_the_command_excludes_with_reasons_and_allows_what_is_named(
    campaign: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["targets", str(campaign), "--json"]) == 0
    out = capsys.readouterr()
    rows = json.loads(out.out)
    assert rows
    assert all("scarce: Au" in row["reasons"] for row in rows)
    assert "no phase holds C, H, O" in out.err
    assert main(["targets", str(campaign), "--allow", "Au", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert all("above the hull" in reason for row in rows for reason in row["reasons"])


def test_the_command_says_what_it_cannot_do(
    campaign: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["targets", str(tmp_path)]) == 1
    assert "holds no campaign" in capsys.readouterr().err
    assert main(["targets", str(campaign), "--allow", "Xx"]) == 1
    assert "unknown element 'Xx'" in capsys.readouterr().err
