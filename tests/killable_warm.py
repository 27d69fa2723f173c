"""Imported by the server that processes are forked from: all is loaded and has run once."""

import tempfile
from pathlib import Path

from tests import killable

with tempfile.TemporaryDirectory() as home:
    killable.campaign(Path(home))
