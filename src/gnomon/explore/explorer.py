"""``Explorer``: an index that follows its files, and what was made of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from gnomon.discover.campaign import Campaign
from gnomon.explore.campaigns import campaign_page
from gnomon.explore.collections import Collection
from gnomon.explore.index import Index, index_of
from gnomon.run.listener import SILENT, Listener
from gnomon.run.writing import StoreError

SHARE = 20
"""A look at changed files waits so many times what the last one took: it may cost a twentieth."""

PAUSE = 5.0
"""Seconds between two looks, at least."""


class Explorer:
    """Collections with their index; a campaign that goes on is read anew from time to time.

    Attributes:
        collections: campaigns and files.
        index: of all of them, as of the last look.
        trouble: why the last look failed, or nothing; what was read before stays.
    """

    def __init__(self, collections: Sequence[Collection], listener: Listener = SILENT) -> None:
        """Make the index, or read what is kept of it.

        Raises:
            ValueError: if a collection cannot be read.
        """
        self.collections = tuple(collections)
        self.index: Index = index_of(collections, listener)
        self.trouble = ""
        self._pages: dict[str, tuple[str, dict[str, Any]]] = {}
        self._lock = threading.Lock()
        self._next = time.monotonic() + PAUSE

    def look(self) -> None:
        """Read anew what has changed, if it is time to."""
        if time.monotonic() < self._next or not self._lock.acquire(blocking=False):
            return
        began = time.monotonic()
        try:
            self.index = index_of(self.collections, before=self.index)
            self.trouble = ""
        except (StoreError, ValueError, OSError) as error:
            self.trouble = str(error)  # a shard that is being written, a file that is gone
        finally:
            self._next = time.monotonic() + max(PAUSE, SHARE * (time.monotonic() - began))
            self._lock.release()

    def campaign(self, name: str) -> dict[str, Any] | None:
        """The page of a campaign as its files are now; None if there is no such campaign."""
        named = [one for one in self.collections if one.name == name and one.campaign]
        if not named:
            return None
        return self._page(named[0], lambda: campaign_page(Campaign(named[0].path)))

    def _page(self, one: Collection, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """A page of a collection, made once for each state of its files."""
        with self._lock:
            fingerprint = one.fingerprint
            kept = self._pages.get(one.name)
            if kept is None or kept[0] != fingerprint:
                kept = (fingerprint, make())
                self._pages[one.name] = kept
            return kept[1]
