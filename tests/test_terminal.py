"""What stands on stderr while commands work: no alarms, no long silence."""

import os
import re
import subprocess
import sys
import time
from contextlib import suppress

import jax.monitoring
import pytest

from gnomon.cli import terminal
from gnomon.cli.terminal import listening, put_table
from gnomon.run.listener import COMPILING

LEVEL = "TF_CPP_MIN_LOG_LEVEL"


def wait_for(capsys: pytest.CaptureFixture[str], count: int) -> list[str]:
    lines: list[str] = []
    deadline = time.monotonic() + 10
    while len(lines) < count:
        assert time.monotonic() < deadline, lines
        time.sleep(0.02)
        lines += capsys.readouterr().err.splitlines()
    return lines


def test_numbers_too_small_for_four_decimals_are_not_shown_as_nothing(capsys):
    """An expansion of aluminium was 0.0000 1/K; what an energy is above the hull by rounding is."""
    put_table([{"value": v} for v in (2.3104e-5, -2.3104e-5, 3.6e-16, 0.0, 1e-4, 300.0)])
    shown = [line.strip() for line in capsys.readouterr().out.splitlines()[1:]]
    assert shown == ["2.31e-05", "-2.31e-05", "0.0000", "0.0000", "0.0001", "300.0000"]


def test_a_log_is_never_silent_for_long(capsys, monkeypatch):
    monkeypatch.setattr(terminal, "SILENCE", 0.3)
    with listening() as listener:
        assert wait_for(capsys, 1)[0].startswith("at work (")
        listener.tick("molecular dynamics", 3, 10)
        assert wait_for(capsys, 1)[0].startswith("molecular dynamics: 3 of 10 (")
        assert len(wait_for(capsys, 2)) == 2
    time.sleep(0.5)
    assert capsys.readouterr().err == ""


def test_short_work_leaves_no_line_of_progress(capsys):
    with listening() as listener:
        listener.tick("evaluating", 1, 2)
        listener.say("one line")
    assert capsys.readouterr().err == "one line\n"


def test_a_long_compilation_is_told_once(capsys, monkeypatch):
    monkeypatch.setattr(terminal, "LONG", 0.2)
    with listening():
        time.sleep(0.3)
        jax.monitoring.record_scalar(COMPILING, time.time())
        jax.monitoring.record_event_duration_secs(COMPILING, 0.0)
        time.sleep(0.4)
        assert capsys.readouterr().err == ""
        jax.monitoring.record_scalar(COMPILING, time.time())
        assert wait_for(capsys, 1) == ["compiling (once for this shape)..."]
        time.sleep(0.4)
        assert capsys.readouterr().err == ""


ALARMS = """
import logging, os, sys, warnings
from gnomon import cli
def main(began):
    warnings.warn("of a library")
    logging.getLogger("some.library").warning("of a library")
    logging.getLogger("gnomon.room").warning("two records left out")
    return int(os.environ["TF_CPP_MIN_LOG_LEVEL"])
cli.main = main
from gnomon.__main__ import main
sys.exit(main())
"""


def test_alarms_and_warnings_of_libraries_stay_off_the_terminal():
    """At level 3 XLA does not tell that compiling is slow (seen with a constant of 4e10 sums)."""
    environment = {k: v for k, v in os.environ.items() if k not in {"PYTHONWARNINGS", LEVEL}}
    command = [sys.executable, "-c", ALARMS]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert (done.stderr, done.returncode) == ("warning: two records left out\n", 3)
    environment |= {"PYTHONWARNINGS": "default", LEVEL: "0"}  # who asks for them has them
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert "UserWarning: of a library" in done.stderr
    assert done.returncode == 0


NOTE = "229 to 140,127 rows, 1,580/s a worker, 1.1 GB, " + "12,345 atoms too close, " * 3
NOTED = f"""
import time
from gnomon.cli.terminal import listening
with listening() as listener:
    listener.note({NOTE.strip()!r})
    listener.tick("propose: map", 3, 10)
    time.sleep(0.5)
"""


@pytest.mark.parametrize("columns", [80, 160])
def test_bar_and_note_are_whole_in_a_narrow_terminal(columns):
    """Beside each other, at 80 columns, the bar was gone and the note cut off."""
    leader, follower = os.openpty()
    environment = os.environ | {"COLUMNS": str(columns), "TERM": "xterm"}
    command = [sys.executable, "-c", NOTED]
    with subprocess.Popen(command, stderr=follower, env=environment, cwd="/") as process:
        os.close(follower)
        parts = []
        with suppress(OSError):  # the end of a terminal
            while part := os.read(leader, 65536):
                parts.append(part)
        assert process.wait() == 0
    os.close(leader)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", b"".join(parts).decode())
    lines = [line.strip() for line in re.split(r"[\r\n]+", shown)]
    assert any(re.match(r"propose: map \S+ +3/10 0:00:0", line) for line in lines)
    assert max(map(len, lines)) <= columns
    assert NOTE.strip() in " ".join(lines)
