"""VASP: pymatgen's own inputs, and a status with a sentence for whatever comes back."""

import gzip
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from monty.serialization import loadfn
from pymatgen.io.vasp import Incar, sets

from gnomon.crystals import Crystals
from gnomon.discover.finds import Find
from gnomon.dynamics.result import Relaxation
from gnomon.evaluate import Status
from gnomon.evaluate.corrections import mp2020_correction_per_atom
from gnomon.evaluate.scheme import difference
from gnomon.hull.phases import SchemeMismatch
from gnomon.io import from_arrow, to_pymatgen
from gnomon.verify.plan import Plan, Target
from gnomon.verify.vasp_flow import FLOW, MAKERS, can_make_flows, make_flow, write_flow
from gnomon.verify.vasp_import import import_runs, read_crystal
from gnomon.verify.vasp_inputs import (
    MANIFEST,
    NEWER,
    NEWER_RELEASE,
    PREPARING,
    Protocol,
    export,
    folder_name,
    jobs,
    protocol_of,
)
from gnomon.verify.verdicts import Verdict, assess
from tests.vasp_files import finished, outcar, write_run

pytestmark = [
    # pymatgen's advice on its own sets, which the export passes on
    pytest.mark.filterwarnings("ignore:.*ISMEAR"),
    pytest.mark.filterwarnings("ignore:.*Co without an oxidation state"),
    pytest.mark.filterwarnings("ignore:.*Yb"),
    pytest.mark.filterwarnings("ignore:.*POTCAR"),
]

ROUND_OFF = 1e-7
"""eV: vasprun.xml has eight digits."""

ROCKSALT = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])


def rocksalt(a: int, b: int, length: float) -> Crystals:
    coords = np.concatenate([ROCKSALT, ROCKSALT + np.array([0.5, 0, 0])])
    return Crystals.single(length * np.eye(3), [a] * 4 + [b] * 4, coords)


def bcc(z: int, length: float) -> Crystals:
    return Crystals.single(length * np.eye(3), [z, z], [[0, 0, 0], [0.5, 0.5, 0.5]])


NACL, MNO, FEF = rocksalt(11, 17, 5.64), rocksalt(25, 8, 4.45), rocksalt(26, 9, 4.3)
NA, FE, CL = bcc(11, 4.2), bcc(26, 2.87), bcc(17, 3.9)

FEW = Crystals.concatenate(
    [NACL, MNO, FEF, NA, FE, rocksalt(3, 1, 4.0), rocksalt(22, 6, 4.3), bcc(70, 4.0), bcc(74, 3.2)]
)


def plan_of(crystals: Crystals, elements: dict[str, tuple[str, ...]] | None = None) -> Plan:
    """A plan whose only find is the first crystal, at -1 eV/atom in the campaign."""
    ids = [str(key) for key in crystals.ids]
    find = Find(
        id="candidate",
        relaxed_id=ids[0],
        reduced_formula=str(crystals.reduced_formulas[0]),
        chemical_system=str(crystals.chemical_systems[0]),
        formation_energy_per_atom=-1.0,
        e_above_hull=0.0,
        space_group=225,
        round=1,
        known=False,
        lineage=(),
        competing=(),
        distance_to_rest=-1.0,
    )
    return Plan("campaign", crystals, (Target(find, ids[0], (*ids[1:],)),), elements or {})


def contents(inputs: Any) -> dict[str, str]:
    files = inputs.get_input_set(potcar_spec=True)
    found = {name: str(text).strip() for name, text in files.items() if text is not None}
    return {("POTCAR.spec" if k.startswith("POTCAR") else k): v for k, v in found.items()}


def newer(own: Any) -> Any:
    return partial(own, user_potcar_settings=NEWER)


# --- inputs ---------------------------------------------------------------------------------------


def assert_inputs_are_pymatgens(crystals: Crystals, folder: Path, protocol: Protocol) -> None:
    manifest = export(plan_of(crystals), folder, protocol)
    expected = {
        Protocol.PBE: (sets.MPRelaxSet, sets.MPRelaxSet, sets.MPStaticSet),
        Protocol.PBE_NEWER: (newer(sets.MPRelaxSet),) * 2 + (newer(sets.MPStaticSet),),
        Protocol.R2SCAN: (sets.MPScanRelaxSet, sets.MPScanRelaxSet, sets.MPScanStaticSet),
    }[protocol]
    assert [row["id"] for row in manifest["crystals"]] == crystals.ids.tolist()
    structures = to_pymatgen(crystals)
    for row, structure in zip(manifest["crystals"], structures, strict=True):
        for i, (job, own) in enumerate(zip(manifest["jobs"], expected, strict=True)):
            there = {
                path.name: path.read_text().strip()
                for path in (folder / row["folder"] / job).iterdir()
            }
            want = contents(own(structure))
            if protocol is Protocol.R2SCAN and i == 0:
                found, pure = Incar.from_str(there.pop("INCAR")), Incar.from_str(want.pop("INCAR"))
                assert {k for k in found if found[k] != pure.get(k)} == {"GGA"}
                assert {k for k in pure if k not in found} == {"METAGGA"}
                assert set(PREPARING) == {"GGA", "METAGGA"}
            assert there == want


@pytest.mark.parametrize("protocol", list(Protocol))
def test_inputs_are_those_of_pymatgen(tmp_path: Path, protocol: Protocol) -> None:
    assert_inputs_are_pymatgens(FEW, tmp_path / "out", protocol)


@pytest.mark.parametrize("protocol", list(Protocol))
def test_inputs_of_real_crystals_are_those_of_pymatgen(
    tmp_path: Path, shared_data: Path, protocol: Protocol
) -> None:
    """20 crystals of the Materials Project, every key of every file."""
    table = pq.read_table(shared_data / "materials_project" / "structures.parquet")
    crystals = from_arrow(table.take(np.linspace(0, len(table) - 1, 20).astype(np.int64)))
    assert_inputs_are_pymatgens(crystals, tmp_path / "out", protocol)


def test_u_and_moments_are_where_they_belong(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    export(plan_of(FEW), folder, Protocol.PBE)
    incar = {
        str(crystal.reduced_formulas[0]): Incar.from_file(
            folder / folder_name(crystal) / "1-relax" / "INCAR"
        )
        for crystal in FEW
    }
    assert incar["MnO"]["LDAUU"] == [3.9, 0]
    assert incar["FeF"]["LDAUU"] == [5.3, 0]
    assert "LDAUU" not in incar["Fe"]
    assert incar["Fe"]["MAGMOM"] == [5.0, 5.0]
    assert {one["ENCUT"] for one in incar.values()} == {520}


def test_an_export_overwrites_nothing_and_says_what_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    manifest = export(plan_of(NACL), folder, Protocol.PBE)
    assert json.loads((folder / MANIFEST).read_text()) == manifest
    assert manifest["potentials"] == "POTCAR.spec"
    assert manifest["scheme"] == str(Protocol.PBE.scheme)
    with pytest.raises(ValueError, match="not empty"):
        export(plan_of(NACL), folder, Protocol.PBE)
    with pytest.raises(ValueError, match="choose one of pbe, pbe-newer, r2scan"):
        protocol_of("hse")


def test_potcars_are_written_where_the_licence_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has them gets POTCAR, not names; here pymatgen is given two words instead."""
    monkeypatch.setattr(sets.MPRelaxSet, "potcar", property(lambda _: "licensed"))
    monkeypatch.setattr(sets.MPStaticSet, "potcar", property(lambda _: "licensed"))
    manifest = export(plan_of(NACL), tmp_path / "out", Protocol.PBE)
    assert manifest["potentials"] == "POTCAR"
    job = tmp_path / "out" / folder_name(NACL) / "3-static"
    assert (job / "POTCAR").read_text().strip() == "licensed"
    assert not (job / "POTCAR.spec").exists()


def test_newer_potentials_are_a_scheme_of_their_own() -> None:
    pbe, other = str(Protocol.PBE.scheme), str(Protocol.PBE_NEWER.scheme)
    assert pbe == (
        "PBE (VASP; +U Materials Project; PAW PBE, MPRelaxSet; 520 eV), MP2020 corrections"
    )
    assert difference(pbe, other) == (
        "pseudopotentials: PBE, MPRelaxSet and PBE, MPRelaxSet with Ga Ge Li Mg Na of PBE_54"
    )


@pytest.mark.parametrize("element", NEWER)
def test_newer_potentials_have_the_valence_electrons_of_the_older(element: str) -> None:
    """By pymatgen's table of all potentials; the files are not the same."""
    assert sets.MPRelaxSet.CONFIG["POTCAR"][element] == NEWER[element]
    table = loadfn(Path(sets.__file__).parent / "potcar-summary-stats.json.bz2")

    def potentials(release: str) -> list[Any]:
        every = [one for group in table[release].values() for one in group]
        return [one for one in every if one["symbol"] == NEWER[element]]

    old, new = potentials("PBE"), potentials(NEWER_RELEASE)
    assert {one["ZVAL"] for one in old} == {one["ZVAL"] for one in new}
    assert [one["stats"] for one in old] != [one["stats"] for one in new]


def test_newer_potentials_come_from_their_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No licence here: two words for each potential, as pymatgen would find them."""

    class Found(SimpleNamespace):
        @classmethod
        def from_symbol_and_functional(cls, symbol: str, functional: str) -> Any:
            return cls(data=f"{symbol} {functional}")

    def put_together(symbols: list[str], _: str, sym_potcar_map: dict[str, str]) -> str:
        return "\n".join(sym_potcar_map[symbol] for symbol in symbols)

    monkeypatch.setattr("pymatgen.io.vasp.inputs.PotcarSingle", Found)
    monkeypatch.setattr("pymatgen.io.vasp.inputs.Potcar", put_together)
    manifest = export(plan_of(NACL), tmp_path / "out", Protocol.PBE_NEWER)
    for job in manifest["jobs"]:
        text = (tmp_path / "out" / folder_name(NACL) / job / "POTCAR").read_text()
        assert text.split("\n")[:2] == ["Na_pv PBE_54", "Cl PBE"]
    assert manifest["releases"] == dict.fromkeys(NEWER.values(), "PBE_54")


def test_potentials_of_the_other_release_are_told(tmp_path: Path) -> None:
    finished(tmp_path, NACL, Protocol.PBE_NEWER)
    assert read(tmp_path, NACL, Protocol.PBE_NEWER).status == Status.CONVERGED
    mixed = read(tmp_path, NACL, Protocol.PBE)
    assert mixed.status == Status.INVALID_INPUT
    assert "'PAW_PBE Na_pv 01Jan2010' where one of the release before belongs" in mixed.message
    finished(tmp_path, NACL, Protocol.PBE)
    mixed = read(tmp_path, NACL, Protocol.PBE_NEWER)
    assert mixed.status == Status.INVALID_INPUT
    assert "where one of a newer release belongs" in mixed.message


def test_newer_potentials_have_no_flow() -> None:
    with pytest.raises(ValueError, match="takes all potentials from one release"):
        make_flow(plan_of(NACL), Protocol.PBE_NEWER)


def test_flows_need_atomate2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gnomon.verify.vasp_flow.find_spec", lambda _: None)
    with pytest.raises(ValueError, match=r"pip install 'gnomon\[vasp\]'"):
        make_flow(plan_of(NACL), Protocol.PBE)


@pytest.mark.filterwarnings("ignore")  # of atomate2's many dependencies
@pytest.mark.parametrize("protocol", MAKERS)
def test_a_flow_survives_its_file(tmp_path: Path, protocol: Protocol) -> None:
    if not can_make_flows():
        pytest.skip("jobflow and atomate2 are not installed: pip install 'gnomon[vasp]'")
    write_flow(plan_of(FEW[:2]), tmp_path, protocol)
    flow = loadfn(tmp_path / FLOW)
    assert [one.name for one in flow.jobs] == [folder_name(one) for one in FEW[:2]]
    names = [job.name for job in flow.jobs[0].jobs[0].jobs] + [flow.jobs[0].jobs[1].name]
    assert len(names) == 3  # two relaxations and a static run


# --- outputs --------------------------------------------------------------------------------------


def read(folder: Path, crystal: Crystals, protocol: Protocol = Protocol.PBE) -> Relaxation:
    found = read_crystal(crystal, folder, protocol)
    assert found is not None
    return found


@pytest.mark.parametrize("crystal", [NACL, MNO, FE], ids=["NaCl", "MnO", "Fe"])
@pytest.mark.parametrize("protocol", list(Protocol))
def test_good_runs_give_corrected_energies(
    tmp_path: Path, crystal: Crystals, protocol: Protocol
) -> None:
    finished(tmp_path, crystal, protocol)
    found = read(tmp_path, crystal, protocol)
    assert (found.status, found.message) == (Status.CONVERGED, "")
    corrections = 0.0 if protocol is Protocol.R2SCAN else mp2020_correction_per_atom(crystal)[0]
    assert found.energy_per_atom == pytest.approx(-4.0 + corrections, abs=ROUND_OFF)
    assert found.steps == 6
    assert found.fmax == 0.0
    assert np.allclose(found.crystal.volumes, crystal.volumes)


def test_packed_outputs_are_read(tmp_path: Path) -> None:
    finished(tmp_path, NACL)
    for path in list(tmp_path.glob("*/vasprun.xml")):
        path.with_name("vasprun.xml.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert read(tmp_path, NACL).status == Status.CONVERGED


def cut(path: Path) -> None:
    text = path.read_text()
    path.write_text(text[: int(0.8 * len(text))])


def garble(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 8)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def without_steps(path: Path) -> None:
    text = path.read_text()
    start, end = text.index("<calculation>"), text.rindex("</calculation>") + len("</calculation>")
    path.write_text(text[:start] + text[end:])


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (cut, "cut off or damaged"),
        (garble, "holds no ionic step"),
        (empty, "is empty"),
        (without_steps, "holds no ionic step"),
    ],
    ids=["cut", "garbled", "empty", "no steps"],
)
@pytest.mark.parametrize("job", ["1-relax", "3-static"])
def test_damaged_outputs_are_rows(
    tmp_path: Path, damage: Callable[[Path], None], sentence: str, job: str
) -> None:
    finished(tmp_path, NACL)
    damage(tmp_path / job / "vasprun.xml")
    found = read(tmp_path, NACL)
    assert found.status == Status.NOT_CONVERGED
    assert sentence in found.message
    assert np.isnan(found.energy_per_atom)


STATIC, RELAX = "3-static", "2-relax"


@pytest.mark.parametrize(
    ("job", "changes", "status", "sentence"),
    [
        (STATIC, {"electronic_steps": 100}, "not_converged", "SCF did not converge within 100"),
        (RELAX, {"ionic_steps": 99}, "not_converged", "relaxation did not converge within 99"),
        (RELAX, {"electronic_steps": 100}, "not_converged", "last step of the relaxation"),
        (STATIC, {"energy": -1e5}, "exploded", "eV/atom"),
        (STATIC, {"incar": {"ENCUT": 400}}, "invalid_input", "ENCUT is 400 eV where 520 eV"),
        (STATIC, {"incar": {"GGA": "PS"}}, "invalid_input", "functional is PBESOL where PBE"),
        (STATIC, {"incar": {"METAGGA": "R2SCAN"}}, "invalid_input", "functional is R2SCAN"),
        (RELAX, {"incar": {"ISPIN": 1}}, "invalid_input", "ISPIN is 1 where 2 belongs"),
        (STATIC, {"incar": {"LDAUU": None, "LDAU": None}}, "invalid_input", "U of Mn is 0 eV"),
        (STATIC, {"incar": {"LDAUU": [3.0, 0.0]}}, "invalid_input", "U of Mn is 3 eV where 3.9"),
        (STATIC, {"potcar": ["Mn", "O"]}, "invalid_input", "pseudopotential is Mn where Mn_pv"),
        (STATIC, {"divisions": (1, 1, 1)}, "invalid_input", "k-points are 1 x 1 x 1"),
        ("1-relax", {"incar": {"MAGMOM": [0.0] * 8}}, "invalid_input", "without a moment"),
        ("1-relax", {"incar": {"MAGMOM": [5.0] * 3}}, "invalid_input", "3 moments for 8 atoms"),
    ],
)
def test_what_went_wrong_is_said_by_name(
    tmp_path: Path, job: str, changes: dict[str, Any], status: str, sentence: str
) -> None:
    made = dict(zip([j.name for j in jobs(Protocol.PBE)], finished(tmp_path, MNO), strict=True))
    write_run(tmp_path / job, made[job], **({"energy": -32.0} | changes))
    found = read(tmp_path, MNO)
    assert found.status == status
    assert sentence in found.message


def test_a_lost_moment_after_a_relaxation_is_no_wrong_start(tmp_path: Path) -> None:
    """atomate2 starts a run from the moments that the one before found."""
    made = finished(tmp_path, MNO)
    write_run(tmp_path / STATIC, made[2], energy=-32.0, incar={"MAGMOM": [0.0] * 8})
    assert read(tmp_path, MNO).status == Status.CONVERGED


@pytest.mark.parametrize(
    ("moments", "sentence"),
    [((4.4, 0.0), "two magnetic states"), ((99.0, 99.0), "more than any atom carries")],
)
def test_wrong_moments_are_told(
    tmp_path: Path, moments: tuple[float, float], sentence: str
) -> None:
    made = finished(tmp_path, FE)
    for job, inputs, moment in zip((RELAX, STATIC), made[1:], moments, strict=True):
        text = outcar(dict(inputs.incar), inputs.potcar_symbols, energy=-8.0, moment=moment)
        (tmp_path / job / "OUTCAR").write_text(text)
    found = read(tmp_path, FE)
    assert found.status == Status.NOT_CONVERGED
    assert sentence in found.message


def only_outcars(folder: Path, made: list[Any], **changes: Any) -> None:
    for job, inputs in zip(jobs(Protocol.PBE), made, strict=True):
        (folder / job.name / "vasprun.xml").unlink()
        settings = dict(inputs.incar)
        text = outcar(settings, inputs.potcar_symbols, energy=-32.0, **changes)
        (folder / job.name / "OUTCAR").write_text(text)
        for name in ("POSCAR", "CONTCAR"):
            (folder / job.name / name).write_text(str(inputs.poscar))


def test_outcars_do_where_vasprun_is_missing(tmp_path: Path) -> None:
    made = finished(tmp_path, MNO)
    before = read(tmp_path, MNO)
    only_outcars(tmp_path, made)
    found = read(tmp_path, MNO)
    assert (found.status, found.message) == (Status.CONVERGED, "")
    assert found.energy_per_atom == pytest.approx(before.energy_per_atom, abs=ROUND_OFF)
    only = tmp_path / STATIC / "OUTCAR"
    text = only.read_text()
    only.write_text(text.replace("520.0 eV", "400.0 eV"))
    assert "ENCUT is 400 eV" in read(tmp_path, MNO).message
    only.write_text(text[: text.index("General timing")])
    assert "ends before the run did" in read(tmp_path, MNO).message
    only.write_text(text.replace("3.900", "2.000"))
    assert "U of Mn is 2 eV" in read(tmp_path, MNO).message


def test_unconverged_outcars_are_told(tmp_path: Path) -> None:
    made = finished(tmp_path, NACL)
    only_outcars(tmp_path, made, reached=False, electronic_steps=100)
    assert "SCF did not converge" in read(tmp_path, NACL).message


def test_outputs_of_another_crystal_are_refused(tmp_path: Path) -> None:
    finished(tmp_path, FE)
    found = read(tmp_path, NACL)
    assert found.status == Status.INVALID_INPUT
    assert "outputs were mixed up" in found.message


# --- the whole way --------------------------------------------------------------------------------


def test_imported_runs_are_verified_and_failures_counted(tmp_path: Path) -> None:
    crystals = Crystals.concatenate([NACL, NA, CL])
    elements = {"Na": (str(NA.ids[0]),), "Cl": (str(CL.ids[0]),)}
    plan, folder = plan_of(crystals, elements), tmp_path / "out"
    export(plan, folder, Protocol.PBE)
    scheme = str(Protocol.PBE.scheme)
    with pytest.raises(ValueError, match="no output of VASP"):
        import_runs(plan, folder, Protocol.PBE)
    for crystal in (NACL, NA):
        finished(folder / folder_name(crystal), crystal)
    waiting = assess(plan, import_runs(plan, folder, Protocol.PBE), scheme)
    assert waiting.outcomes[0].verdict == Verdict.PENDING
    finished(folder / folder_name(CL), CL)
    rows = import_runs(plan, folder, Protocol.PBE)
    assert isinstance(rows, pa.Table)
    done = assess(plan, rows, scheme).outcomes[0]
    assert done.verdict == Verdict.STABLE
    # all at -4 eV/atom: what is left is the correction of the chloride
    corrections = mp2020_correction_per_atom(NACL)[0]
    assert done.formation_energy_per_atom == pytest.approx(corrections, abs=ROUND_OFF)
    cut(folder / folder_name(NACL) / STATIC / "vasprun.xml")
    failed = assess(plan, import_runs(plan, folder, Protocol.PBE), scheme)
    assert failed.outcomes[0].verdict == Verdict.FAILED
    assert (failed.stable.k, failed.stable.n) == (0, 1)


def test_imports_of_other_folders_and_protocols_are_refused(tmp_path: Path) -> None:
    plan, folder = plan_of(NACL), tmp_path / "out"
    with pytest.raises(ValueError, match="that --export wrote"):
        import_runs(plan, tmp_path, Protocol.PBE)
    export(plan, folder, Protocol.PBE)
    with pytest.raises(SchemeMismatch, match="functional: PBE and r2SCAN"):
        import_runs(plan, folder, Protocol.R2SCAN)
