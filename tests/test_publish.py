"""A published campaign: its files, its graph back to the roots, and whom to cite."""

import io
import json
from email.message import Message
from importlib import resources
from pathlib import Path
from urllib.response import addinfourl

import pytest

from gnomon.cli import main
from gnomon.discover import Campaign
from gnomon.potential.weights import PUBLISHED
from gnomon.publish import to_cite, used, works
from gnomon.publish.details import Author, Details
from gnomon.publish.folder import _without_folders, publish
from gnomon.publish.used import POTENTIALS
from gnomon.run.archive import restore
from gnomon.run.folder import Folder
from gnomon.run.writing import StoreError
from tests.small_campaigns import run

rocrate = pytest.importorskip("rocrate", reason="the extra `publish` is not installed")
DETAILS = Details("Crystals", "A test.", (Author("Doe", "Jane"),))


@pytest.fixture
def published(tmp_path: Path, few: None) -> Path:
    run(tmp_path / "campaign")
    publish(Campaign(tmp_path / "campaign"), tmp_path / "published", DETAILS)
    return tmp_path / "published"


def test_a_published_campaign_is_whole_and_its_graph_leads_from_finds_to_roots(
    published: Path, tmp_path: Path
) -> None:
    campaign = Campaign(tmp_path / "campaign")
    sums = dict(
        reversed(line.split("  "))
        for line in (published / "checksums.sha256").read_text().splitlines()
    )
    there = {p.relative_to(published).as_posix() for p in published.rglob("*") if p.is_file()}
    assert set(sums) == there - {"checksums.sha256"}
    restore(published / "campaign.zip", tmp_path / "again")
    assert Campaign(tmp_path / "again").hull_table().equals(campaign.hull_table())
    for name in there - {"campaign.zip"}:
        assert str(tmp_path).encode() not in (published / name).read_bytes(), name

    graph = {
        e["@id"]: e
        for e in json.loads((published / "ro-crate-metadata.json").read_text())["@graph"]
    }
    made_by = {e["result"]["@id"]: e for e in graph.values() if e["@type"] == "CreateAction"}
    assert campaign.finds
    for find in campaign.finds:
        (cif,) = (key for key in graph if find.relaxed_id in key and key.endswith(".cif"))
        evaluated = made_by[cif]
        proposed = made_by[evaluated["object"]["@id"]]
        assert graph[proposed["instrument"]["@id"]]["name"] == find.lineage[0].generator
        assert proposed["description"] == find.lineage[0].change
    ids = {
        found["@id"]
        for e in graph.values()
        for value in e.values()
        for found in (value if isinstance(value, list) else [value])
        if isinstance(found, dict) and "@id" in found
    }
    assert not [i for i in ids if i.startswith("#") and i not in graph]


def test_settings_name_files_without_the_folders_of_this_machine(tmp_path: Path) -> None:
    settings = {"parents": [str(tmp_path / "known.parquet"), "here.cif"], "seed": 0}
    assert _without_folders(settings) == {"parents": ["known.parquet", "here.cif"], "seed": 0}


def test_nothing_is_overwritten_and_a_failure_leaves_nothing(
    published: Path, tmp_path: Path
) -> None:
    with pytest.raises(StoreError, match="there already"):
        publish(Campaign(tmp_path / "campaign"), published, DETAILS)
    with Folder(tmp_path / "campaign").held(), pytest.raises(StoreError):
        publish(Campaign(tmp_path / "campaign"), tmp_path / "second", DETAILS)
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {"campaign", "published"}


@pytest.mark.usefixtures("few")
def test_what_a_campaign_used_is_cited_once_and_every_name_has_its_work(tmp_path: Path) -> None:
    run(tmp_path)
    uses = used(Campaign(tmp_path).provenance)
    cited = [work.key for work in to_cite(uses)]
    assert len(set(cited)) == len(cited)
    assert {"merchant2023", "mehl2017", "ong2013"} <= set(cited)
    for name, weights in PUBLISHED.items():
        first = works()[POTENTIALS[name][0]]
        assert first.doi.rpartition(":")[2].removeprefix("10.48550/arXiv.") in weights.citation


def test_entries_of_bibtex_are_read_again_by_bibtexparser() -> None:
    import bibtexparser

    read = bibtexparser.loads("\n\n".join(work.bibtex for work in works().values())).entries_dict
    assert {key: entry["doi"] for key, entry in read.items()} == {
        key: work.doi for key, work in works().items()
    }
    assert read["larsen2017"]["author"] == "Hjorth Larsen, A. and others"


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"authors": ()}, "needs an author"),
        ({"licence": "mine"}, "CC-BY-4.0"),
        ({"doi": "zenodo"}, "no DOI"),
    ],
)
def test_details_are_checked_before_anything_is_written(changes: dict, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        Details(**{"title": "t", "description": "d", "authors": (Author("Doe", ""),)} | changes)


@pytest.mark.parametrize("text", ["", "Doe,", "A, B, C", "Doe, Jane, 0000-0002-1825-0098"])
def test_authors_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"author|ORCID"):
        Author.parse(text)


@pytest.mark.usefixtures("few")
def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path / "campaign")
    where = str(tmp_path / "campaign")
    assert main(["cite", where, "--bibtex"]) == 0
    assert "@article{merchant2023," in capsys.readouterr().out
    out = str(tmp_path / "out")
    assert main(["publish", where, out, "--author", "Doe, Jane", "--no-archive"]) == 0
    assert not (tmp_path / "out" / "campaign.zip").exists()
    assert "Jane" in (tmp_path / "out" / "CITATION.cff").read_text()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of rdflib, by the validator
def test_the_validator_of_ro_crates_finds_nothing_that_must_be_otherwise(
    published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Offline: the one context that is asked for comes from rocrate."""
    services = pytest.importorskip("rocrate_validator.services", reason="no roc-validator here")
    import requests
    from rdflib import _networking, parser
    from rocrate_validator.models import Severity

    context = (resources.files("rocrate") / "data" / "ro-crate.jsonld").read_bytes()

    def served(request: object) -> addinfourl:
        url = str(getattr(request, "full_url", request))
        assert url.endswith("/context"), url
        head = Message()
        head["Content-Type"] = "application/ld+json"
        return addinfourl(io.BytesIO(context), head, url, 200)

    def answered(_: object, method: str, url: str, **options: object) -> requests.Response:
        assert url.endswith("/context"), url
        answer = requests.Response()
        answer.status_code, answer.url, answer._content = 200, url, context
        answer.headers["Content-Type"] = "application/ld+json"
        return answer

    monkeypatch.setattr(requests.Session, "request", answered)
    monkeypatch.setattr(_networking, "_urlopen", served)
    monkeypatch.setattr(parser, "_urlopen", served)
    for profile in ("ro-crate-1.1", "process-run-crate-0.5"):
        settings = services.ValidationSettings(
            rocrate_uri=str(published),
            profile_identifier=profile,
            requirement_severity=Severity.REQUIRED,
            no_cache=True,
        )
        result = services.validate(settings)
        assert [issue.message for issue in result.get_issues()] == []
