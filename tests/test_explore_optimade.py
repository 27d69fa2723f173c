"""The explorer as an OPTIMADE provider: filters, the specification's validator, our own client."""

import json
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pytest
from optimade.server.config import ServerConfig
from pymatgen.analysis.structure_matcher import StructureMatcher

from gnomon.databases.answers import Answers
from gnomon.databases.optimade import Optimade
from gnomon.explore.provider import Structures
from gnomon.io import to_ase, to_pymatgen
from gnomon.run.http import Patience
from gnomon.run.listener import SILENT
from tests.explore_server import Served, served
from tests.test_databases import run as references_from
from tests.test_databases_optimade import crystals_in
from tests.test_explore import SALTS, own_cache, salts  # noqa: F401

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # optimade's own


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    path = tmp_path_factory.mktemp("provided") / "salts.parquet"
    salts(path)
    with served([path]) as found:
        yield found


def ask(server: Served, **query: str) -> dict:
    answer = server.get(f"/optimade/v1/structures?{urlencode(query)}")
    assert answer.status == 200, answer.body
    return answer.json


def formulas(server: Served, filter: str) -> list[str]:
    found = ask(server, filter=filter, response_fields="chemical_formula_descriptive")["data"]
    return sorted(one["attributes"]["chemical_formula_descriptive"] for one in found)


@pytest.mark.parametrize(
    ("filter", "wanted"),
    [
        ('elements HAS "Cl" AND elements HAS ANY "Na","K"', ["KCl", "NaCl"]),
        ('elements HAS ONLY "Cu","Au"', ["Cu", "CuAu"]),
        ("NOT nelements=2", ["Al", "Cu"]),
        ('chemical_formula_reduced="AuCu" OR nsites<2', ["Al", "Cu", "CuAu"]),
        ('chemical_formula_anonymous STARTS WITH "A2"', ["CaF2", "SrCl2"]),
        ("elements LENGTH 1 AND 3 > nsites", ["Al", "Cu"]),
        ("_gnomon_band_gap IS UNKNOWN", ["NaCl"]),
        ("NOT _gnomon_band_gap < 4.9", ["NaF"]),
        ("_exmpl_something = 3 OR NOT _exmpl_something = 3", []),
        ('elements_ratios HAS ONLY 0.5 AND elements HAS "S"', ["ZnS"]),
        ('structure_features HAS "disorder"', []),
        ('type="structures" AND id CONTAINS "zz"', []),
        ("space_group_it_number=216", ["ZnS"]),
    ],
)
def test_filters_mean_what_the_specification_says(server: Served, filter: str, wanted: list[str]):
    assert formulas(server, filter) == wanted


@pytest.mark.parametrize(
    ("filter", "status"),
    [
        *(("elements HAS", 400), ("nelements='2'", 400), ('nelements="two"', 400)),
        *(('elements:elements_ratios HAS "Cl":0.5', 501), ("zzz=1", 400)),
        ("nelements CONTAINS 3", 400),
    ],
)
def test_filters_that_make_no_sense_are_refused(server: Served, filter: str, status: int):
    answer = server.get(f"/optimade/v1/structures?{urlencode({'filter': filter})}")
    assert answer.status == status
    assert answer.json["errors"]


OWN = {"structures": [{"name": "band_gap", "type": "float"}]}
GNOMON = {"prefix": "gnomon", "name": "here", "description": "here"}
CONDITIONS = {
    "nelements=2": "nelements",
    'elements HAS "Cl"': "elements",
    "_gnomon_band_gap>2.5": "_gnomon_band_gap",
    "nsites>2": "nsites",
}


@pytest.fixture(scope="module")
def structures(server: Served) -> Structures:
    return Structures(server.explorer, ServerConfig(provider_fields=OWN, provider=GNOMON))


@pytest.mark.parametrize("a", CONDITIONS)
@pytest.mark.parametrize("b", CONDITIONS)
def test_filters_keep_the_laws_of_logic(structures: Structures, a: str, b: str):
    """De Morgan's, and that neither a condition nor its negation holds where it is unknown."""

    def rows(text: str) -> set[int]:
        truth = structures.transformer.transform(structures.parser.parse(text))
        return set(np.flatnonzero(truth.yes).tolist())

    assert rows(f"NOT ({a} AND {b})") == rows(f"(NOT {a}) OR (NOT {b})")
    assert rows(f"NOT ({a} OR {b})") == rows(f"(NOT {a}) AND (NOT {b})")
    assert rows(f"{a} AND {b}") == rows(a) & rows(b)
    assert not rows(a) & rows(f"NOT {a}")
    assert rows(f"{a} OR (NOT {a})") == rows(f"{CONDITIONS[a]} IS KNOWN")


def test_pages_and_orders(server: Served):
    first = ask(server, page_limit="5", sort="-_gnomon_band_gap,id", response_fields="id")
    assert (len(first["data"]), first["meta"]["data_returned"]) == (5, len(SALTS))
    assert first["links"]["next"].startswith("http://localhost/optimade/v1/structures?")
    rest = ask(server, page_limit="100", page_offset="5", sort="-_gnomon_band_gap,id")
    gaps = [one["attributes"]["_gnomon_band_gap"] for one in rest["data"]]
    assert gaps[-1] is None
    assert gaps[:-1] == sorted(gaps[:-1], reverse=True)
    assert len({one["id"] for one in first["data"] + rest["data"]}) == len(SALTS)


def test_no_other_site_may_read_it(server: Served):
    answer = server.get("/optimade/v1/structures", Origin="https://elsewhere.example.org")
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert answer.headers["content-security-policy"]


def test_our_own_client_gets_the_same_crystals(server: Served, tmp_path: Path):
    answers = Answers(tmp_path, 0)
    provider = Optimade(f"{server.url}/optimade", Patience(silence=30.0, attempts=2, pause=0.01))
    fetched = provider.fetch((("Au", "Cu"), ("Cl", "Na")), answers, SILENT)
    answers.finish(fetched)
    found = crystals_in(tmp_path, answers)
    index = server.explorer.index
    assert sorted(one.reduced_formulas[0] for one in found.values()) == ["Cu", "CuAu", "NaCl"]
    for key, crystal in found.items():
        own = index.crystals[index.row_of[key]]
        np.testing.assert_allclose(crystal.lattice, own.lattice, atol=1e-12)
        np.testing.assert_allclose(crystal.volumes, own.volumes)
    assert fetched.provider == "gnomon explore gnomon"


@pytest.fixture
def quiet_client(monkeypatch):
    """Clients ask over real sockets; no proxy of the surroundings stands between."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def test_the_client_of_optimade_gets_the_structures(server: Served, quiet_client):
    client = pytest.importorskip("optimade.client", reason="pip install 'optimade[http-client]'")
    found = client.OptimadeClient(
        base_urls=[f"{server.url}/optimade"], silent=True, use_async=False
    ).get('elements HAS "Cl"')
    [of_filter] = found["structures"].values()
    [answer] = of_filter.values()
    formulas = [one["attributes"]["chemical_formula_descriptive"] for one in answer["data"]]
    assert sorted(formulas) == ["KCl", "LiCl", "NaCl", "SrCl2"]


def test_the_client_of_pymatgen_gets_the_structures(server: Served, quiet_client):
    """Its structures are those that are served, atom for atom."""
    rester = pytest.importorskip("pymatgen.ext.optimade").OptimadeRester
    with rester(f"{server.url}/optimade/") as client:
        [found] = client.get_structures(elements=["Cl"], nelements=2).values()
    assert {one.reduced_formula for one in found.values()} == {"KCl", "LiCl", "NaCl", "SrCl2"}
    index = server.explorer.index
    for key, structure in found.items():
        own = to_pymatgen(index.crystals[index.row_of[key]])[0]
        assert StructureMatcher(scale=False).fit(own, structure)


def test_ase_gets_the_structures(server: Served):
    """By the adapters of optimade-python-tools: the same atoms at the same places of a lattice."""
    adapter = pytest.importorskip("optimade.adapters").Structure
    index = server.explorer.index
    for one in ask(server, filter="nelements=2")["data"]:
        atoms = adapter(one).as_ase
        own = to_ase(index.crystals[index.row_of[one["id"]]])[0]
        np.testing.assert_array_equal(atoms.numbers, own.numbers)
        np.testing.assert_allclose(atoms.cell[:], own.cell[:], atol=1e-12)
        apart = atoms.cell.scaled_positions(atoms.positions - own.positions)
        np.testing.assert_allclose(apart, apart.round(), atol=1e-9)  # in any cell


def test_a_campaign_takes_its_known_phases_from_an_explorer(server: Served, tmp_path: Path):
    """`gnomon databases Au-Cu --from` what `gnomon explore` serves: fetched and evaluated."""
    found = references_from(f"{server.url}/optimade", tmp_path / "phases")
    formulas = set(found.phases["reduced_formula"].to_pylist())
    assert formulas == {"Au", "Cu", "CuAu"}, "Au is gnomon's own, where a source has none"


@pytest.mark.slow
def test_the_validator_of_the_specification_passes(server: Served, tmp_path: Path):
    """All tests, mandatory and optional ones."""
    validator = pytest.importorskip("optimade.validator")
    for base in (f"{server.url}/optimade", f"{server.url}/optimade/v1"):
        run = validator.ImplementationValidator(
            base_url=base, respond_json=True, run_optional_tests=True
        )
        run.validate_implementation()
        results = run.results
        assert run.valid, json.dumps(results.failure_messages + results.optional_failure_messages)
        assert results.failure_count == results.optional_failure_count == 0
        assert results.internal_failure_count == 0
        assert results.success_count > 50
