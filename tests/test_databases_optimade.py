"""OPTIMADE providers: a real server, and answers that no provider should give."""

import importlib.util
import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from ase.build import bulk
from hypothesis import HealthCheck, given, settings

from gnomon.crystals import Crystals
from gnomon.databases.answers import Answers
from gnomon.databases.optimade import Optimade
from gnomon.databases.systems import largest, subsystems
from gnomon.databases.tables import read_records
from gnomon.io import as_crystals, read
from gnomon.run.http import HttpError, Patience
from gnomon.run.listener import SILENT, Listener
from gnomon.run.writing import StoreError
from tests.damaged_files import damaged
from tests.database_servers import Reply, entry, optimade_server, page, scripted, serving
from tests.strategies import seeds

QUICK = Patience(silence=30.0, attempts=2, pause=0.01)
SYSTEM = (("Au", "Cu"),)

CU = as_crystals(bulk("Cu", a=3.6))
AU = as_crystals(bulk("Au", a=4.1))
AG = as_crystals(bulk("Ag", a=4.09))
CUAU = as_crystals(bulk("CuAu", "cesiumchloride", a=3.2))
AGAU = as_crystals(bulk("AgAu", "cesiumchloride", a=3.3))
NAMED = {"gnm/cu": CU, "gnm/au": AU, "gnm/ag": AG, "gnm/cuau": CUAU, "gnm/agau": AGAU}
INSIDE = {"gnm/cu", "gnm/au", "gnm/cuau"}

STRAINED = {f"gnm/cu-{i}": CU.scale_volume(1 + 0.01 * i) for i in range(1, 20)}

DISORDERED = {
    "species": [{"name": "Cu", "chemical_symbols": ["Cu", "Au"], "concentration": [0.5, 0.5]}],
    "structure_features": ["disorder"],
}


def crystals_in(root: Path, answers: Answers) -> dict[str, Crystals]:
    """By the provider's name, what the kept answers hold."""
    fetched = answers.fetched
    assert fetched is not None
    found = read([root / answer.path for answer in fetched.answers])
    return dict(zip(found.rows["source_id"].to_pylist(), found.crystals, strict=True))


def ask(url: str, root: Path, systems=SYSTEM, listener: Listener = SILENT):
    answers = Answers(root, 0)
    fetched = Optimade(url, QUICK).fetch(systems, answers, listener)
    answers.finish(fetched)
    assert answers.fetched == fetched
    return fetched, answers


# --- a real server --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Five crystals, a disordered one, and enough strained copper for a second page."""
    missing = [m for m in ("optimade", "uvicorn", "mongomock") if not importlib.util.find_spec(m)]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed: pip install 'optimade[server]'")
    entries = [entry(crystal, name) for name, crystal in NAMED.items()]
    entries.append(entry(CU, "gnm/disordered", **DISORDERED))
    entries += [entry(crystal, name) for name, crystal in STRAINED.items()]
    with optimade_server(tmp_path_factory.mktemp("optimade"), entries) as url:
        yield url


def test_a_real_server_gives_a_system_with_its_subsystems(server, tmp_path):
    fetched, answers = ask(server, tmp_path)
    found = crystals_in(tmp_path, answers)
    assert set(found) == INSIDE | set(STRAINED)
    for name, crystal in found.items():
        given = (NAMED | STRAINED)[name]
        assert crystal.reduced_formulas[0] == given.reduced_formulas[0]
        assert crystal.volumes[0] == pytest.approx(given.volumes[0])
    assert fetched.received == fetched.announced == 23, "the disordered one is a record, too"
    assert fetched.complete
    # it allows no more than 50 a page, gives 20 where we do not ask, and says 403 where we ask more
    assert [answer.records for answer in fetched.answers] == [20, 3]
    assert fetched.provider == "gnomon's tests gnm"
    assert fetched.api_version.startswith("1.")
    assert fetched.server.startswith("OPTIMADE Python Tools")
    assert fetched.queries == ('elements HAS ONLY "Au","Cu"',)


def test_a_real_server_answers_mandatory_filters_alike(server, tmp_path):
    """What is asked of providers without HAS ONLY gives the same crystals."""
    answers = Answers(tmp_path, 0)
    answers.begin(Optimade(server, QUICK)._plans(SYSTEM)[-1])
    fetched, answers = ask(server, tmp_path)
    assert len(fetched.queries) == 3
    assert set(crystals_in(tmp_path, answers)) == INSIDE | set(STRAINED)


def test_a_real_server_has_nothing_of_other_elements(server, tmp_path):
    fetched, _ = ask(server, tmp_path, (("Br", "Cs"),))
    assert (fetched.received, fetched.announced) == (0, 0)


def test_a_real_server_refuses_another_address(server, tmp_path):
    with pytest.raises(HttpError, match=r"404"):
        ask(f"{server}/nothing/here", tmp_path)


# --- paging ---------------------------------------------------------------------------------------


def pages_of(*names: str, **more: object):
    """Answers with one structure each, whose next page is the number of the next one."""
    entries = [entry(NAMED[name], name) for name in names]

    def answer(path: str) -> Reply:
        number = int(path.partition("page=")[2] or 0)
        following = f"?page={number + 1}" if number + 1 < len(entries) else None
        return Reply.json(page([entries[number]], following, total=len(entries), **more))

    return answer


def test_pages_are_followed_to_the_last(tmp_path):
    with serving(pages_of(*INSIDE)) as server:
        fetched, answers = ask(server.url, tmp_path)
    assert set(crystals_in(tmp_path, answers)) == INSIDE
    assert [answer.url for answer in fetched.answers][1:] == [
        f"{server.url}/v1/structures?page={n}" for n in (1, 2)
    ]
    assert fetched.release == "1"
    query = server.queries()[0]
    assert query["filter"] == ['elements HAS ONLY "Au","Cu"']
    assert "species_at_sites" in query["response_fields"][0]


@pytest.mark.parametrize("base", ["", "/", "/v1", "/v1/", "/v1.2", "/v1/structures"])
def test_the_base_url_may_name_the_version(base):
    found = Optimade(f"https://optimade.example.org/db{base}", QUICK).endpoint
    version = "v1.2" if base == "/v1.2" else "v1"
    assert found == f"https://optimade.example.org/db/{version}/structures"


def test_a_link_may_be_an_object(tmp_path):
    first = page([entry(CU, "a")], {"href": "?page=1", "meta": {}})
    with serving(scripted(Reply.json(first), Reply.json(page([entry(AU, "b")])))) as server:
        fetched, _ = ask(server.url, tmp_path)
    assert fetched.received == 2
    assert fetched.announced is None, "the provider did not say how many there are"
    assert fetched.complete


def test_a_link_may_hold_what_belongs_quoted(tmp_path):
    first = page([entry(CU, "a")], '?page=1&filter=elements HAS "Å"')
    with serving(scripted(Reply.json(first), Reply.json(page([entry(AU, "b")])))) as server:
        fetched, _ = ask(server.url, tmp_path)
        assert server.queries()[1]["filter"] == ['elements HAS "Å"']
    assert fetched.received == 2


def test_what_was_fetched_is_not_fetched_again(tmp_path):
    """The line breaks after two pages of three; the next command asks for the third only."""
    good = pages_of(*sorted(INSIDE))
    with serving(lambda path: Reply(status=500) if "page=2" in path else good(path)) as server:
        with pytest.raises(HttpError, match="500"):
            ask(server.url, tmp_path)
        kept = Answers(tmp_path, 0).pages(0)
        assert len(kept) == 2
        assert Answers(tmp_path, 0).fetched is None
        bytes_kept = [path.read_bytes() for path in kept]
        asked = len(server.asked)
    with serving(good) as again:
        # another port, as servers of tests have: the pages say where they go on
        moved = [b.replace(server.url.encode(), again.url.encode()) for b in bytes_kept]
        for path, body in zip(kept, moved, strict=True):
            path.write_bytes(body)
        plan = tmp_path / "answers" / "source-0" / "queries.json"
        plan.write_text(plan.read_text().replace(server.url, again.url))
        (tmp_path / "manifest.jsonl").unlink()
        _, answers = ask(again.url, tmp_path)
        assert asked == 4
        assert [path.partition("?")[2] for path in again.asked] == ["page=2"]
    assert set(crystals_in(tmp_path, answers)) == INSIDE


def test_a_cursor_that_expired_begins_the_query_anew(tmp_path):
    def answer(path: str) -> Reply:
        if "page=old" in path:
            return Reply.json({"errors": [{"detail": "the cursor has expired"}]}, 410)
        return pages_of(*sorted(INSIDE))(path)

    said = []
    with serving(answer) as server:
        source, answers = Optimade(server.url, QUICK), Answers(tmp_path, 0)
        answers.begin(source._plans(SYSTEM)[0])
        stale = page([entry(AGAU, "stale")], f"{server.url}/v1/structures?page=old", total=3)
        answers.keep(0, 0, json.dumps(stale).encode())
        ask(server.url, tmp_path, listener=Listener(said.append, lambda *_: None))
    assert set(crystals_in(tmp_path, answers)) == INSIDE
    assert any("the cursor has expired" in line and "anew" in line for line in said)


def test_a_database_renewed_between_pages_is_read_anew(tmp_path):
    releases = iter("1222")

    def answer(path: str) -> Reply:
        return pages_of("gnm/au", "gnm/cu", release=next(releases))(path)

    with serving(answer) as server:
        fetched, _ = ask(server.url, tmp_path)
    assert fetched.release == "2"
    assert fetched.received == 2
    assert len(server.asked) == 4


def test_a_database_that_never_rests_is_given_up(tmp_path):
    releases = iter(range(100))

    def answer(path: str) -> Reply:
        return pages_of("gnm/au", "gnm/cu", release=str(next(releases)))(path)

    with serving(answer) as server, pytest.raises(HttpError, match="was renewed between"):
        ask(server.url, tmp_path)
    assert len(server.asked) == 4


@pytest.mark.parametrize("total", [None, 2, 7])
def test_a_database_that_grew_while_we_paused_is_read_anew(total, tmp_path):
    """Where the provider counts, the kept pages are dropped; else they have to do."""
    with serving(pages_of(*sorted(INSIDE))) as server:
        answers = Answers(tmp_path, 0)
        answers.begin(Optimade(server.url, QUICK)._plans(SYSTEM)[0])
        stale = page([entry(AGAU, "stale")], f"{server.url}/v1/structures?page=1", total=total)
        answers.keep(0, 0, json.dumps(stale).encode())
        _, answers = ask(server.url, tmp_path)
    found = set(crystals_in(tmp_path, answers))
    assert found == (INSIDE if total else {"stale", *sorted(INSIDE)[1:]})


def test_counts_that_vary_from_page_to_page_are_borne(tmp_path):
    pages = [page([entry(CU, "a")], "?page=1", total=2), page([entry(AU, "b")], total=1)]
    with serving(scripted(*map(Reply.json, pages))) as server:
        fetched, _ = ask(server.url, tmp_path)
    assert len(server.asked) == fetched.received == fetched.announced == 2


def test_a_page_that_leads_nowhere_is_asked_for_again(tmp_path):
    """The provider mends its links: what was fetched before does not stand in the way."""
    lost = page([entry(AU, "gnm/au")]) | {"meta": page([], "x")["meta"]}
    with serving(scripted(Reply.json(lost), Reply.json(page([entry(AU, "gnm/au")])))) as server:
        with pytest.raises(HttpError, match="but not where"):
            ask(server.url, tmp_path)
        _, answers = ask(server.url, tmp_path)
    assert set(crystals_in(tmp_path, answers)) == {"gnm/au"}


def test_a_kept_page_that_is_damaged_is_fetched_again(tmp_path):
    with serving(pages_of(*sorted(INSIDE))) as server:
        answers = Answers(tmp_path, 0)
        answers.begin(Optimade(server.url, QUICK)._plans(SYSTEM)[0])
        answers.keep(0, 0, b'{"data": [')
        _, answers = ask(server.url, tmp_path)
    assert set(crystals_in(tmp_path, answers)) == INSIDE


def test_an_answer_changed_afterwards_is_noticed(tmp_path):
    with serving(pages_of("gnm/au")) as server:
        _, answers = ask(server.url, tmp_path)
    answers.pages(0)[0].write_bytes(b"{}")
    with pytest.raises(StoreError, match="is not the file that was fetched"):
        _ = answers.fetched


# --- providers that differ ------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 501])
def test_a_provider_without_has_only_is_asked_system_by_system(status, tmp_path):
    by_filter = {
        'elements HAS ALL "Au" AND nelements=1': [entry(AU, "gnm/au")],
        'elements HAS ALL "Cu" AND nelements=1': [entry(CU, "gnm/cu")],
        'elements HAS ALL "Au","Cu" AND nelements=2': [entry(CUAU, "gnm/cuau")],
    }

    def answer(path: str) -> Reply:
        (text,) = {text for query in server.queries()[-1:] for text in query["filter"]}
        if text in by_filter:
            return Reply.json(page(list(by_filter[text]), total=1))
        return Reply.json({"errors": [{"detail": "HAS ONLY is not implemented"}]}, status)

    with serving(answer) as server:
        fetched, answers = ask(server.url, tmp_path)
    assert set(crystals_in(tmp_path, answers)) == INSIDE
    assert fetched.queries == tuple(by_filter)
    assert fetched.announced == fetched.received == 3


def test_a_provider_that_refuses_everything_is_told_with_its_words(tmp_path):
    refusal = Reply.json({"errors": [{"detail": "no filters on Sundays"}]}, 400)
    with (
        serving(scripted(refusal)) as server,
        pytest.raises(HttpError, match="no filters on Sundays"),
    ):
        ask(server.url, tmp_path)
    assert len(server.asked) == 4


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"hello": "world"}, "none of OPTIMADE"),
        ([1, 2, 3], "none of OPTIMADE"),
        (page([]) | {"data": {"id": 1}}, "none of OPTIMADE"),
        (page([]) | {"meta": {}}, "none of OPTIMADE"),
        (page([entry(CU, "a")], "file:///etc/passwd"), "no web address"),
        (page([entry(CU, "a")], "http://["), "no web address"),
        (page([entry(CU, "a")], "http://\ud800/"), "no web address"),
        (page([entry(CU, "a")], {"href": 5}), "no web address"),
        (page([entry(CU, "a")], "?filter=again") | {"links": None}, "but not where"),
    ],
    ids=str,
)
def test_wrong_content_is_told_and_not_kept(document, message, tmp_path):
    with (
        serving(scripted(Reply.json(document))) as server,
        pytest.raises(HttpError, match=message),
    ):
        ask(server.url, tmp_path)
    assert Answers(tmp_path, 0).fetched is None


def test_pages_that_go_round_in_circles_end(tmp_path):
    def answer(path: str) -> Reply:
        return Reply.json(page([entry(CU, "a")], "?page=1"))

    with serving(answer) as server, pytest.raises(HttpError, match="in circles"):
        ask(server.url, tmp_path)
    assert len(server.asked) == 2


def test_an_error_page_in_the_middle_keeps_what_came_before(tmp_path):
    replies = [
        Reply.json(page([entry(CU, "a")], "?page=1")),
        Reply.json({"errors": [{"detail": "table is locked"}]}, 404),
    ]
    with (
        serving(scripted(*replies)) as server,
        pytest.raises(HttpError, match="table is locked"),
    ):
        ask(server.url, tmp_path)
    assert len(Answers(tmp_path, 0).pages(0)) == 1


def test_fewer_records_than_announced_are_noticed(tmp_path):
    with serving(scripted(Reply.json(page([entry(CU, "a")], total=5)))) as server:
        fetched, _ = ask(server.url, tmp_path)
    assert not fetched.complete


# --- bad rows -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (DISORDERED, "partial_occupancy"),
        ({"assemblies": [{"sites_in_groups": [[0], [1]]}]}, "partial_occupancy"),
        ({"structure_features": ["assemblies"]}, "partial_occupancy"),
        ({"structure_features": ["implicit_atoms"]}, "incomplete"),
        ({"structure_features": ["site_attachments"]}, "incomplete"),
        (
            {
                "species": [
                    {
                        "name": "Cu",
                        "chemical_symbols": ["Cu"],
                        "concentration": [1.0],
                        "attached": ["H"],
                        "nattached": [2],
                    }
                ]
            },
            "incomplete",
        ),
        ({"cartesian_site_positions": None}, "incomplete"),
        ({"dimension_types": [1, 1, 0]}, "missing_lattice"),
        ({"lattice_vectors": None}, "missing_lattice"),
        ({"lattice_vectors": "none"}, "unreadable"),
        ({"species": None}, "incomplete"),
        ({"structure_features": 5}, "unreadable"),
    ],
    ids=str,
)
def test_a_bad_row_is_a_reject_with_a_reason(changes, reason, tmp_path):
    document = page([entry(CU, "bad", **changes), entry(AU, "good")])
    (tmp_path / "page.json").write_text(json.dumps(document))
    found = read(tmp_path / "page.json")
    assert found.rows["source_id"].to_pylist() == ["good"]
    assert found.rejects.to_pylist()[0]["source_id"] == "bad"
    assert found.rejects.to_pylist()[0]["reason"] == reason


STRANGE = (
    None, True, -1, 0, 1e308, 10**30, "", "\ud800", "http://[", "\n", "?page=2", "a" * 1000, [],
    [[]], {}, {"href": 5}, [None], ["x"], {"a": {}},
)  # fmt: skip


def changed(document: object, rng: random.Random) -> object:
    """The same JSON with one of its parts, however deep, left out or become something strange."""
    if not isinstance(document, dict | list) or not document or rng.random() < 0.15:
        return rng.choice(STRANGE)
    keys = list(document) if isinstance(document, dict) else list(range(len(document)))
    key, copy = rng.choice(keys), document.copy()
    if rng.random() < 0.1:
        del copy[key]
    else:
        copy[key] = changed(document[key], rng)
    return copy


class Broken:
    """A provider that sends one damaged page, whatever it is asked for."""

    body = b""

    def __call__(self, path: str) -> Reply:
        return Reply(self.body)

    def draw(self, rng: random.Random) -> None:
        following = rng.choice([None, "?page=1", {"href": "?page=1"}])
        good = page([entry(CU, "a"), entry(CUAU, "b")], following, total=2)
        if rng.random() < 0.2:
            self.body = damaged("json", [json.dumps(good).encode()], rng)
        else:
            self.body = json.dumps(changed(good, rng)).encode()


@pytest.fixture(scope="module")
def broken() -> Iterator[tuple[str, Broken]]:
    answer = Broken()
    with serving(answer) as server:
        yield server.url, answer


@given(seed=seeds)
@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
def test_whatever_a_provider_sends_becomes_rows_or_one_sort_of_error(broken, tmp_path, seed):
    url, answer = broken
    answer.draw(random.Random(seed))
    answers = Answers(tmp_path / str(seed), 0)
    impatient = Patience(silence=30.0, attempts=1)
    try:
        fetched = Optimade(url, impatient).fetch(SYSTEM, answers, SILENT)
    except HttpError:
        return
    answers.finish(fetched)
    assert answers.fetched == fetched
    records = read_records(answers.root, [fetched], SYSTEM)
    assert len(records) == len(SYSTEM[0]) + fetched.received


# --- systems --------------------------------------------------------------------------------------


def test_a_system_of_n_elements_has_all_its_subsystems():
    found = subsystems(("A", "B", "C", "D"))
    assert len(found) == len(set(found)) == 2**4 - 1
    assert found[0] == ("A",)
    assert found[-1] == ("A", "B", "C", "D")


def test_systems_inside_of_others_are_left_out():
    given = [("Cu",), ("Au", "Cu"), ("Au", "Cu", "Pd"), ("Na", "Cl"), ("Na", "Cl")]
    assert largest(given) == (("Au", "Cu", "Pd"), ("Na", "Cl"))
