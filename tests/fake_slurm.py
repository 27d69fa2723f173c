"""A stand-in for SLURM: sbatch, srun, sacct, scancel and scontrol that start real processes.

The folder FAKE_SLURM holds a folder for each job and, in ``faults.json``, what becomes of jobs:
``{"kill": [1, 0.5]}`` ends job 1 of the first array after half a second as a node that fails,
``{"limit": [0, 1.0]}`` lets job 0 reach its time limit after a second.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil

HOME = Path(os.environ.get("FAKE_SLURM", "."))
NAMES = ("sbatch", "srun", "sacct", "scancel", "scontrol")


def install(folder: Path) -> Path:
    """Write the programs into a folder, to be put on the PATH."""
    folder.mkdir(parents=True)
    for name in NAMES:
        path = folder / name
        path.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {__file__} {name} "$@"\n')
        path.chmod(0o755)
    return folder


def sbatch(script: str) -> None:
    text = Path(script).read_text()
    options = dict(re.findall(r"^#SBATCH --([a-z-]+)=?(.*)$", text, re.MULTILINE))
    job = 100 + len(list(HOME.glob("job-*")))
    last = int(re.split(r"[-%]", options["array"])[1]) if "array" in options else None
    assert last is None or last < 1001, "MaxArraySize"
    (HOME / f"job-{job}").mkdir()
    for i in [None] if last is None else range(last + 1):
        words = [sys.executable, __file__, "job", str(job), str(i), script]
        environment = os.environ | {
            "SLURM_NTASKS": options.get("ntasks-per-node", "1").strip("'"),
            "SLURM_JOB_NUM_NODES": "1",
            "SLURM_JOB_ID": str(job if i is None else job * 1000 + i),
        }
        if i is not None:
            environment |= {"SLURM_ARRAY_JOB_ID": str(job), "SLURM_ARRAY_TASK_ID": str(i)}
            environment["SLURM_ARRAY_TASK_COUNT"] = str(last + 1)
        null = subprocess.DEVNULL
        subprocess.Popen(
            words, env=environment, stdin=null, stdout=null, stderr=null, start_new_session=True
        )
    print(f"Submitted batch job {job}")


def job(number: str, index: str, script: str) -> None:
    """What a node does: run the script, and again if it was queued again."""
    place = HOME / f"job-{number}"
    faults = json.loads((HOME / "faults.json").read_text()) if number == "100" else {}
    while True:
        work = subprocess.Popen(["bash", script], start_new_session=True)
        (place / f"{index}.pid").write_text(str(work.pid))
        (place / f"{index}.state").write_text("RUNNING")
        state = None
        for fault, (which, seconds) in faults.items():
            if str(which) == index:
                with suppress(subprocess.TimeoutExpired):
                    work.wait(seconds)
                if fault == "kill" and work.poll() is None:
                    os.killpg(work.pid, signal.SIGKILL)
                    state = "NODE_FAIL"
                elif work.poll() is None and "--signal=B:USR2" in Path(script).read_text():
                    work.send_signal(signal.SIGUSR2)  # the script itself
                elif work.poll() is None:
                    for process in psutil.Process(work.pid).children(recursive=True):
                        if "fake_slurm" not in " ".join(process.cmdline()):
                            process.send_signal(signal.SIGUSR2)
        code = work.wait()
        again = place / f"{index}.again"
        if not again.exists():
            state = state or ("COMPLETED" if code == 0 else "FAILED")
            (place / f"{index}.state").write_text(state)
            return
        again.unlink()
        with suppress(ProcessLookupError):
            os.killpg(work.pid, signal.SIGKILL)
        faults = {}


def srun(*words: str) -> None:
    files = {}
    rest = list(words)
    while rest[0].startswith("--"):
        name = rest.pop(0)
        if name in ("--output", "--error"):
            files[name] = rest.pop(0)
    if "python" not in rest[0]:
        rest = shlex.split(" ".join(rest))
    tasks = []
    for rank in range(int(os.environ["SLURM_NTASKS"])):
        streams = []
        for name in ("--output", "--error"):
            path = files.get(name, os.devnull)
            job = os.environ.get("SLURM_ARRAY_JOB_ID", os.environ["SLURM_JOB_ID"])
            path = path.replace("%A", job).replace("%j", job).replace("%t", str(rank))
            path = path.replace("%a", os.environ.get("SLURM_ARRAY_TASK_ID", "0"))
            streams.append(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND))
        environment = os.environ | {"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)}
        tasks.append(subprocess.Popen(rest, env=environment, stdout=streams[0], stderr=streams[1]))
    sys.exit(max(abs(task.wait()) for task in tasks))


def sacct(*_: str) -> None:
    print("JobID|State|NodeList")
    for path in sorted(HOME.glob("job-*/*.state")):
        number, index = path.parent.name.removeprefix("job-"), path.stem
        print(f"{number}{'' if index == 'None' else f'_{index}'}|{path.read_text()}|here")


def scancel(name: str, *_: str) -> None:
    number, _, index = name.partition("_")
    for path in (HOME / f"job-{number}").glob(f"{index or '*'}.pid"):
        with suppress(ProcessLookupError):
            os.killpg(int(path.read_text()), signal.SIGKILL)


def scontrol(verb: str, name: str) -> None:
    assert verb == "requeue"
    number, _, index = name.partition("_")
    for what in ("again", "queued"):
        (HOME / f"job-{number}" / f"{index or None}.{what}").touch()
    time.sleep(0.1)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
