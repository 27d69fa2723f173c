"""What stands beside every result."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from importlib.metadata import version

from gnomon.run import stamp as module
from gnomon.run.stamp import stamp


def test_a_stamp_names_versions_time_and_machine():
    found = json.loads(json.dumps(stamp()))
    assert found["versions"]["pymatgen"] == version("pymatgen")
    made = datetime.fromisoformat(found["date"])
    assert made.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - made) < timedelta(minutes=1)
    assert "cores" in found["machine"]


def test_a_changed_source_tree_is_called_dirty(tmp_path, monkeypatch):
    source = tmp_path / "src" / "gnomon" / "run" / "stamp.py"
    source.parent.mkdir(parents=True)
    source.write_text("one")
    monkeypatch.setattr(module, "__file__", str(source))
    assert stamp()["commit"] is None

    def git(*arguments: str) -> str:
        who = ("-c", "user.name=a", "-c", "user.email=a@b.c")
        command = ["git", *who, *arguments]
        return subprocess.run(
            command, cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout

    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "one")
    commit = git("rev-parse", "HEAD").strip()
    assert stamp()["commit"] == commit
    (source.parents[1] / "other.py").write_text("two")
    assert stamp()["commit"] == f"{commit}-dirty"


def test_a_stamp_does_not_load_jax():
    code = (
        "import sys; from gnomon.run.stamp import stamp; stamp(); assert 'jax' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
