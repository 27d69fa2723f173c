"""The script that starts a Flink cluster: with stand-ins for all programs and for Flink itself."""

import hashlib
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "flink-campaign"
FLINK, JAR = "flink-1.20.3", "beam-runners-flink-1.20-job-server-2.77.0.jar"
ARCHIVE = f"{FLINK}-bin-scala_2.12.tgz"

pytestmark = pytest.mark.skipif(os.name != "posix", reason="a script for sh")

PROGRAMS = {
    "java": "",
    "gnomon": 'printf "%s\\n" "$@" > "$HOME/arguments"',
    "python": 'case "$*" in *worker_pool*) echo pool >> "$HOME/log"; exec sleep 60 ;; esac',
    "curl": """
for word; do
    case $word in
        -o) next=1 ;;
        https:*) from=$word ;;
        *) [ "${next:-}" ] && to=$word && next= ;;
    esac
done
from="$HOME/web/${from##*/}"
[ -f "$from" ] || exit 22
if [ "${to:-}" ]; then cp "$from" "$to"; else cat "$from"; fi""",
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A machine: programs, both files on the web, checksums of none."""
    programs, web, flink = tmp_path / "bin", tmp_path / "web", tmp_path / FLINK
    for folder in (programs, web, flink / "bin", flink / "conf"):
        folder.mkdir(parents=True)
    for name, text in PROGRAMS.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    for name in ("start-cluster.sh", "stop-cluster.sh"):
        text = f'cat "${{0%/*}}/../conf/config.yaml" >> "$HOME/log"\necho {name} >> "$HOME/log"'
        (flink / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (flink / "bin" / name).chmod(0o755)
    with tarfile.open(web / ARCHIVE, "w:gz") as tar:
        tar.add(flink, FLINK)
    (web / JAR).write_bytes(b"a jar")
    for name in (ARCHIVE, JAR):
        (web / f"{name}.sha512").write_text(f"{sha512(web / name)}  {name}\n")
    return tmp_path


def sha512(path: Path) -> str:
    return hashlib.sha512(path.read_bytes()).hexdigest()


def campaign(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "HOME": str(home),
        "PATH": f"{home / 'bin'}:/usr/bin:/bin",
        "GNOMON_FLINK_PINS": str(home / "pins"),
    }
    return subprocess.run(
        ["sh", str(SCRIPT), *words], env=environment, capture_output=True, text=True, check=False
    )


WEB = ("--apache", "https://apache.example/dist", "--maven", "https://maven.example")


def test_a_cluster_is_started_used_and_stopped(home):
    done = campaign(home, *WEB, "--pin", "--slots", "3", "--", "--all", "--out", "a b")
    assert done.returncode == 0, done.stderr
    log = (home / "log").read_text()
    assert "taskmanager.numberOfTaskSlots: 3" in log
    assert log.index("start-cluster.sh") < log.index("stop-cluster.sh")
    arguments = (home / "arguments").read_text().splitlines()
    assert arguments[:6] == ["discover", "--all", "--out", "a b", "--runner", "flink"]
    assert "--runner-options=--flink_master=localhost:8081" in arguments
    assert f"--runner-options=--flink_job_server_jar={home}/.cache/gnomon/flink/{JAR}" in arguments
    pins = (home / "pins").read_text().splitlines()
    assert pins == [f"{sha512(home / 'web' / name)}  {name}" for name in (ARCHIVE, JAR)]
    shutil.rmtree(home / "web")  # the next time nothing is fetched, nor pinned
    assert campaign(home, "--", "--all").returncode == 0


@pytest.mark.parametrize("name", [ARCHIVE, JAR])
def test_a_file_with_another_checksum_starts_nothing(home, name):
    other = "0" * 128
    (home / "pins").write_text(
        "".join(
            f"{other if one == name else sha512(home / 'web' / one)}  {one}\n"
            for one in (ARCHIVE, JAR)
        )
    )
    done = campaign(home, *WEB, "--pin", "--", "--all")
    assert done.returncode == 1
    assert f"{name} is damaged or another file: removed" in done.stderr
    assert not (home / ".cache" / "gnomon" / "flink" / name).exists()
    assert not (home / "arguments").exists()
    assert not (home / "log").exists()


def test_a_file_that_is_not_what_its_publisher_states_is_not_pinned(home):
    (home / "web" / f"{ARCHIVE}.sha512").write_text(f"{'0' * 128}  {ARCHIVE}\n")
    done = campaign(home, *WEB, "--pin", "--", "--all")
    assert done.returncode == 1
    assert "is not what" in done.stderr
    assert not (home / "pins").exists()
    assert not (home / ".cache" / "gnomon" / "flink" / ARCHIVE).exists()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ((), 2, "nothing to run"),
        (("--all",), 2, "no option --all"),
        (("--slots",), 2, "--slots needs a value"),
        (("--", "--all"), 1, f"{ARCHIVE} is not in"),
        ((*WEB, "--", "--all"), 1, f"the sha512 of {ARCHIVE} is not known"),
        (
            ("--apache", "http://apache.example/no", "--", "--all"),
            1,
            f"{ARCHIVE} cannot be fetched",
        ),
    ],
)
def test_what_is_missing_is_named(home, words, code, message):
    done = campaign(home, *words)
    assert (done.returncode, message in done.stderr) == (code, True), done.stderr


def test_java_is_asked_for(home):
    (home / "bin" / "java").unlink()
    for name in ("dirname", "getconf"):
        (home / "bin" / name).symlink_to(f"/usr/bin/{name}")
    environment = {"HOME": str(home), "PATH": str(home / "bin")}
    done = subprocess.run(
        ["/bin/sh", str(SCRIPT), "--slots", "1", "--", "--all"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "java is not on the PATH" in done.stderr
