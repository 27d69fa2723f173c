"""The Materials Project: its own client, asked by us, answered by a server of the test."""

import gzip
import json
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from ase.build import bulk

from gnomon.crystals import Crystals
from gnomon.databases.answers import Answers
from gnomon.databases.materials_project import ENDPOINT, FIELDS, KEY, MaterialsProject
from gnomon.io import InputError, as_crystals, read, to_pymatgen
from gnomon.run.http import HttpError, Patience
from gnomon.run.listener import SILENT
from tests.database_servers import Provider, Reply, serving

QUICK = Patience(silence=30.0, attempts=3, pause=0.01, longest_pause=1.0)
SECRET = "k" * 32
NAMED = {
    "mp-30": as_crystals(bulk("Cu", a=3.57)),
    "mp-81": as_crystals(bulk("Au", a=4.17)),
    "mp-522": as_crystals(bulk("CuAu", "cesiumchloride", a=3.2)),
    "mp-124": as_crystals(bulk("Ag", a=4.16)),
}


@pytest.fixture(scope="module")
def client() -> None:
    pytest.importorskip("mp_api.client", reason="mp-api is not installed: pip install 'gnomon[mp]'")


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, SECRET)


def document(crystal: Crystals, name: str) -> dict[str, object]:
    (structure,) = to_pymatgen(crystal)
    return {
        "material_id": name,
        "structure": structure.as_dict(),
        "formation_energy_per_atom": -0.05,
        "energy_above_hull": 0.01,
    }


def summaries(release: str = "2026.10.01"):
    """Heartbeat, and the documents of the chemical systems that are asked for."""

    def answer(path: str) -> Reply:
        address = urlsplit(path)
        if address.path == "/heartbeat":
            return Reply.json(
                {"db_version": release, "access_controlled_batch_ids": [], "version": "0.87.3"}
            )
        assert address.path == "/materials/summary/"
        wanted = parse_qs(address.query)["chemsys"][0].split(",")
        data = [document(c, n) for n, c in NAMED.items() if c.chemical_systems[0] in wanted]
        return Reply.json({"data": data, "meta": {"total_doc": len(data)}})

    return answer


def ask(server: Provider, root: Path, monkeypatch: pytest.MonkeyPatch, system=("Au", "Cu")):
    monkeypatch.setenv(ENDPOINT, server.url)
    answers = Answers(root, 0)
    fetched = MaterialsProject(QUICK).fetch((system,), answers, SILENT)
    answers.finish(fetched)
    assert answers.fetched == fetched
    return fetched


def searches(server: Provider) -> list[str]:
    return [path for path in server.asked if path.startswith("/materials")]


def test_the_client_fetches_a_system_with_its_subsystems(client, key, tmp_path, monkeypatch):
    with serving(summaries()) as server:
        fetched = ask(server, tmp_path, monkeypatch)
    found = read([tmp_path / answer.path for answer in fetched.answers])
    assert found.rows["source_id"].to_pylist() == ["mp-30", "mp-81", "mp-522"]
    for name, crystal in zip(found.rows["source_id"].to_pylist(), found.crystals, strict=True):
        assert crystal.volumes[0] == pytest.approx(NAMED[name].volumes[0])
    assert set(found.rows["formation_energy_per_atom"].to_pylist()) == {-0.05}
    assert set(found.rows["e_above_hull"].to_pylist()) == {0.01}
    assert fetched.release == "2026.10.01"
    assert fetched.queries == ("Au,Cu,Au-Cu",)
    assert fetched.client.startswith("mp-api ")
    (search,) = searches(server)
    assert parse_qs(urlsplit(search).query)["_fields"] == [",".join(FIELDS)]


def test_the_key_goes_to_the_server_and_nowhere_else(client, key, tmp_path, monkeypatch):
    with serving(summaries()) as server:
        ask(server, tmp_path, monkeypatch)
        assert SECRET in server.keys
        assert SECRET not in "".join(server.asked)
    for path in tmp_path.rglob("*.json"):
        assert SECRET not in path.read_text()


def test_a_release_is_asked_once(client, key, tmp_path, monkeypatch):
    with serving(summaries()) as server:
        first = ask(server, tmp_path, monkeypatch)
        again = ask(server, tmp_path, monkeypatch)
        assert len(searches(server)) == 1
    assert again.sha256 == first.sha256


def test_a_new_release_is_asked_anew(client, key, tmp_path, monkeypatch):
    release = ["2026.10.01"]

    def answer(path: str) -> Reply:
        return summaries(release[0])(path)

    with serving(answer) as server:
        ask(server, tmp_path, monkeypatch)
        release[0] = "2026.11.01"
        fetched = ask(server, tmp_path, monkeypatch)
        assert len(searches(server)) == 2
    assert fetched.release == "2026.11.01"
    (page,) = fetched.answers
    assert json.loads((tmp_path / page.path).read_text())["meta"]["db_version"] == "2026.11.01"


def test_many_systems_go_in_several_requests_and_a_cut_costs_one(
    client, key, tmp_path, monkeypatch
):
    system = ("Ag", "Al", "Au", "Cu", "Ni", "Pd", "Pt")  # 127 systems

    def broken(path: str) -> Reply:
        return Reply(status=404) if "-".join(system) in path else summaries()(path)

    with serving(broken) as server:
        with pytest.raises(HttpError, match="404"):
            ask(server, tmp_path, monkeypatch, system)
        assert len(Answers(tmp_path, 0).pages(0)) == 1
        plan = tmp_path / "answers" / "source-0" / "queries.json"
    with serving(summaries()) as again:
        plan.write_text(plan.read_text().replace(server.url, again.url))
        fetched = ask(again, tmp_path, monkeypatch, system)
        assert len(searches(again)) == 1
    assert len(fetched.answers) == 2
    assert fetched.received == len(NAMED)


def test_a_rate_limit_is_waited_for(client, key, tmp_path, monkeypatch):
    replies = [Reply(status=429, headers={"Retry-After": "0"}), Reply(status=503)]

    def answer(path: str) -> Reply:
        return replies.pop() if replies and path.startswith("/mat") else summaries()(path)

    with serving(answer) as server:
        assert ask(server, tmp_path, monkeypatch).received == 3
        assert len(searches(server)) == 3


@pytest.mark.parametrize(
    ("reply", "requests"),
    [
        (Reply(status=500), QUICK.attempts),
        (Reply(status=429, headers={"Retry-After": "0"}), QUICK.attempts),
        (Reply.json({"detail": f"the key {SECRET} is not valid"}, 403), 1),
        (Reply(body=b"<html>"), 1),
        (Reply.json({"nothing": "here"}), 1),
    ],
    ids=["500", "rate limit", "wrong key", "no JSON", "no data"],
)
def test_a_server_that_fails_is_told_and_left(reply, requests, client, key, tmp_path, monkeypatch):
    def answer(path: str) -> Reply:
        return reply if path.startswith("/materials") else summaries()(path)

    with (
        serving(answer) as server,
        pytest.raises(HttpError, match="Materials Project gave no answer") as error,
    ):
        ask(server, tmp_path, monkeypatch)
    assert len(searches(server)) == requests
    assert SECRET not in str(error.value)
    assert Answers(tmp_path, 0).fetched is None


def test_a_heartbeat_without_a_release_is_told(client, key, tmp_path, monkeypatch):
    with (
        serving(lambda _: Reply.json({"status": "fine"})) as server,
        pytest.raises(HttpError, match=f"names no db_version: is {ENDPOINT} right"),
    ):
        ask(server, tmp_path, monkeypatch)


def test_without_a_key_nothing_is_asked(tmp_path, monkeypatch):
    monkeypatch.delenv(KEY, raising=False)
    with (
        serving(summaries()) as server,
        pytest.raises(InputError, match=rf"set {KEY} .*--from https://optimade"),
    ):
        ask(server, tmp_path, monkeypatch)
    assert server.asked == []


def test_without_the_package_nothing_is_asked(key, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mp_api.client", None)  # as if it were not installed
    with (
        serving(summaries()) as server,
        pytest.raises(InputError, match=r"pip install 'gnomon\[mp\]'.*--from https://optimade"),
    ):
        ask(server, tmp_path, monkeypatch)
    assert server.asked == []


@pytest.mark.usefixtures("client", "key")
@pytest.mark.parametrize("address", ["http://169.254.169.254/x", "http://localhost:1/x"])
def test_the_key_does_not_follow_a_redirection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    def answer(path: str) -> Reply:
        if urlsplit(path).path == "/heartbeat":
            return summaries()(path)
        return Reply(status=302, headers={"Location": address})

    with serving(answer) as server:
        monkeypatch.setenv(ENDPOINT, server.url)
        with pytest.raises(HttpError, match="is not its host"):
            MaterialsProject(QUICK).fetch([("Au", "Cu")], Answers(tmp_path, 0), SILENT)


@pytest.mark.usefixtures("client", "key")
def test_an_endless_answer_to_the_client_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(path: str) -> Reply:
        if urlsplit(path).path == "/heartbeat":
            return summaries()(path)
        return Reply(gzip.compress(b" " * 20_000_000), headers={"Content-Encoding": "gzip"})

    with serving(answer) as server:
        monkeypatch.setenv(ENDPOINT, server.url)
        bounded = Patience(attempts=1, pause=0.01, largest=1_000_000)
        with pytest.raises(HttpError, match="sends more than 1000000 bytes"):
            MaterialsProject(bounded).fetch([("Au", "Cu")], Answers(tmp_path, 0), SILENT)
