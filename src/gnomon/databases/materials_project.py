"""The Materials Project through its own client, ``mp-api`` (extra ``mp``).

Data: Jain et al., APL Mater. 1, 011002 (2013), CC-BY 4.0; what came from GNoME, CC-BY-NC 4.0.
"""

from __future__ import annotations

import importlib
import json
import os
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any
from urllib.parse import quote, urljoin

from gnomon.databases.answers import Answers, Fetched, Query
from gnomon.databases.systems import System, subsystems
from gnomon.io import InputError
from gnomon.run.http import PASSING, HttpError, Patience, get_json
from gnomon.run.listener import Listener
from gnomon.run.reach import Reach

NAME = "mp"
"""What the Materials Project is called on the command line."""

KEY, ENDPOINT = "MP_API_KEY", "MP_API_ENDPOINT"
"""Environment variables: the key, and the address where it is not the public one."""

PUBLIC = "https://api.materialsproject.org/"

WITHOUT_KEY = "https://optimade.materialsproject.org"
"""The Materials Project as an OPTIMADE provider, which asks for neither key nor package."""

FIELDS = ("material_id", "structure", "formation_energy_per_atom", "energy_above_hull")

SYSTEMS_AT_ONCE = 100
"""Chemical systems in one request: their names make up its address."""


@dataclass(frozen=True)
class MaterialsProject:
    """The current release of the Materials Project.

    Attributes:
        patience: with its server.
        name: on the command line.
        allowed: hosts beside its own that it may send us to.
    """

    patience: Patience
    name: str = NAME
    allowed: tuple[str, ...] = ()

    def fetch(self, systems: Sequence[System], answers: Answers, listener: Listener) -> Fetched:
        """Ask for the systems with all sub-systems; answers of this release are not asked again.

        The documents are kept as the client decodes them, which does not hand over their bytes.

        Raises:
            InputError: if the package or the key is missing.
            HttpError: if there is no answer; those before stay.
            StoreError: if an answer cannot be written.
        """
        key, client = _key(), _client()
        endpoint = (os.environ.get(ENDPOINT) or PUBLIC).rstrip("/") + "/"
        release = _release(endpoint, self.patience, listener)
        queries = _queries(systems, endpoint)
        if answers.queries != queries:
            answers.begin(queries)
        pages = []
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            rester = None
            for number, query in enumerate(queries):
                documents = _kept(answers, number, release)
                if documents is None:
                    rester = rester or _connect(client, key, endpoint, self.patience, self.allowed)
                    documents = _ask(rester, query, key)
                    answers.discard(number)
                    kept = {"meta": {"db_version": release}, "data": documents}
                    answers.keep(number, 0, json.dumps(kept).encode())
                (page,) = answers.pages(number)
                pages.append(answers.answer(page, query.url, len(documents)))
                listener.tick("fetching", number + 1, len(queries))
        for text in dict.fromkeys(str(warning.message) for warning in caught):
            listener.say(f"mp-api: {text}")
        return Fetched.now(
            pages,
            queries=queries,
            source=self.name,
            kind="Materials Project",
            provider=f"Materials Project ({endpoint})",
            release=release,
            client=f"mp-api {version('mp-api')}",
        )


def _key() -> str:
    if key := os.environ.get(KEY):
        return key
    raise InputError(
        f"the Materials Project asks for a key: set {KEY} (free of charge at "
        f"https://materialsproject.org/api), or do without one: --from {WITHOUT_KEY}, or give a "
        "file with --from"
    )


def _client() -> Any:
    try:
        return importlib.import_module("mp_api.client").MPRester
    except ImportError as error:
        raise InputError(
            f"the Materials Project is asked through mp-api, which is not there ({error}): pip "
            f"install 'gnomon[mp]', or do without it: --from {WITHOUT_KEY}, or give a file with "
            "--from"
        ) from error


def _queries(systems: Sequence[System], endpoint: str) -> tuple[Query, ...]:
    parts = list(dict.fromkeys("-".join(p) for system in systems for p in subsystems(system)))
    starts = range(0, len(parts), SYSTEMS_AT_ONCE)
    texts = [",".join(parts[start : start + SYSTEMS_AT_ONCE]) for start in starts]
    return tuple(
        Query(filter=text, url=f"{endpoint}materials/summary/?chemsys={quote(text)}")
        for text in texts
    )


def _release(endpoint: str, patience: Patience, listener: Listener) -> str:
    """The version of the database.

    Asked for here first, since the client asks without a limit of time.
    """
    _, found = get_json(f"{endpoint}heartbeat", patience, listener)
    release = found.get("db_version") if isinstance(found, dict) else None
    if not isinstance(release, str):
        raise HttpError(f"{endpoint}heartbeat names no db_version: is {ENDPOINT} right?")
    return release


def _kept(answers: Answers, number: int, release: str) -> list[Any] | None:
    """The documents of a query that were fetched before, from the same release."""
    for page in answers.pages(number):
        try:
            found = json.loads(page.read_bytes())
            if found["meta"]["db_version"] == release and isinstance(found["data"], list):
                return list(found["data"])
        except (ValueError, LookupError, TypeError):
            return None  # damaged: it is asked for again
    return None


def _connect(
    client: Any, key: str, endpoint: str, patience: Patience, allowed: tuple[str, ...]
) -> Any:
    """The client with retries that end (its own wait as long as a server asks it to).

    It sends the key along wherever it is redirected to, and takes in all that comes: both end here.
    """
    from urllib3.util.retry import Retry

    requests = importlib.import_module("requests")
    retries = Retry(
        total=patience.attempts - 1,
        status_forcelist=sorted(PASSING),
        backoff_factor=patience.pause,
        retry_after_max=int(patience.longest_pause),
    )
    reach = Reach.of(endpoint, allowed)

    class Bounded(requests.Session):  # type: ignore[misc, name-defined]
        def get_redirect_target(self, resp: Any) -> Any:
            target = super().get_redirect_target(resp)
            if target and (refusal := reach.refusal(urljoin(resp.url, target))):
                raise HttpError(f"{endpoint} redirects to {target}, and {refusal}")
            if target:
                resp._content, resp._content_consumed = b"", True  # which may be without an end
            return target

        def send(self, request: Any, **kwargs: Any) -> Any:
            deadline = time.monotonic() + patience.seconds
            kwargs |= {"stream": True, "timeout": kwargs.get("timeout") or patience.silence}
            response = super().send(request, **kwargs)
            content = bytearray()
            for chunk in response.iter_content(1 << 16):
                content += chunk
                if len(content) > patience.largest:
                    raise HttpError(f"{endpoint} sends more than {patience.largest} bytes")
                if time.monotonic() > deadline:
                    raise HttpError(f"the answer took more than {patience.seconds:g} s")
            response._content = bytes(content)
            return response

    session = Bounded()
    session.headers["x-api-key"] = key
    for scheme in ("http://", "https://"):
        session.mount(scheme, requests.adapters.HTTPAdapter(max_retries=retries))
    quiet = {"use_document_model": False, "mute_progress_bars": True}
    return _bravely(lambda: client(key, endpoint=endpoint, session=session, **quiet), key)


def _ask(rester: Any, query: Query, key: str) -> list[Any]:
    search = rester.materials.summary.search
    names = query.filter.split(",")
    found = _bravely(lambda: search(chemsys=names, fields=list(FIELDS)), key)
    return list(found)


def _bravely(call: Any, key: str) -> Any:
    """What a call of the client returns; whatever it raises becomes one sort of error."""
    try:
        return call()
    except Exception as error:  # the client lets through what each of its libraries raises
        said = " ".join(str(error).split()).replace(key, f"${KEY}")
        raise HttpError(
            f"the Materials Project gave no answer: {type(error).__name__}: {said[:500]}"
        ) from error
