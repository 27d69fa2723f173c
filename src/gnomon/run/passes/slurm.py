"""Passes as job arrays of SLURM, through submitit or a script of one's own.

Each job of the array joins the pass (``join``), so that jobs that die, hang, wait in the queue or
run twice cost nothing but their time.  At its time limit a job is queued again by submitit.
"""

from __future__ import annotations

import math
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gnomon.run.listener import SILENT, Listener
from gnomon.run.passes.join import PATIENCE, join, publish
from gnomon.run.passes.work import PassError, Work

JOBS = 64
"""Jobs of an array, unless told otherwise; SLURM allows 1001 by default (MaxArraySize)."""

POLL = 2.0
"""Seconds between two looks at the folder."""

ASK = 60.0
"""Seconds between two questions to the scheduler, which many ask."""

ARRAYS = 3
"""Arrays that may end without one task done before the pass is given up."""


@dataclass(frozen=True)
class Slurm:
    """Job arrays through submitit.

    Attributes:
        workers: jobs of an array; 0 for ``JOBS``, never more than there are tasks.
        limit: seconds that one task may take before its process is stopped.
        options: of sbatch, such as ``--time=120``, ``--partition=gpu``, ``--gpus-per-task=1``,
            ``--ntasks-per-node=4``; ``--time`` in minutes.
        patience: seconds after which a task may be taken for left by the job that began it.
    """

    workers: int = 0
    limit: float = math.inf
    options: tuple[str, ...] = ()
    patience: float = PATIENCE

    def run(self, work: Work, listener: Listener = SILENT) -> None:
        """Do what is not done.

        Raises:
            PassError: if a function fails on too many records, or arrays end with nothing done.
        """
        publish(work)
        idle = 0
        while left := _left(work):
            jobs = self._submit(work, min(self.workers or JOBS, left))
            number = jobs[0].job_id.partition("_")[0]
            listener.say(f"{work.of.name}: {len(jobs)} jobs of SLURM ({number})")
            try:
                self._wait(work, jobs)
            finally:
                for job in jobs:  # copies of what is done, or of what nobody waits for
                    if not job.done():
                        job.cancel()
            idle = 0 if _left(work) < left else idle + 1
            if idle == ARRAYS:
                raise PassError(f"pass {work.of.name!r}: {idle} arrays did nothing: {_why(jobs)}")

    def _submit(self, work: Work, count: int) -> Sequence[Any]:
        import submitit

        executor = submitit.SlurmExecutor(folder=work.out / "jobs", max_num_timeout=1000)
        parameters = {"job_name": f"gnomon-{work.of.name}", "time": 60, **parsed(self.options)}
        known = submitit.SlurmExecutor._valid_parameters()
        others = {name: parameters.pop(name) for name in [*parameters] if name not in known}
        executor.update_parameters(
            **parameters, array_parallelism=count, additional_parameters=others
        )
        jobs = jobs_of(count, self.options)
        shares = [Share(work, i, jobs, self.limit, self.patience) for i in range(jobs)]
        with executor.batch():
            found = [executor.submit(share) for share in shares]
        return found

    def _wait(self, work: Work, jobs: Sequence[Any]) -> None:
        """Until all is done, or all jobs have ended."""
        asked = time.monotonic()
        while _left(work):
            if time.monotonic() - asked > ASK:
                jobs[0].watcher.update()
                asked = time.monotonic()
            if all(job.done() for job in jobs):
                for job in jobs:  # one that was killed has no result, for which submitit waits
                    if job.paths.result_pickle.is_file() and job.exception() is None:
                        for reason in filter(None, job.results()):
                            raise PassError(reason)
                return
            time.sleep(POLL)


@dataclass
class Share:
    """What a job does, in each of its tasks."""

    work: Work
    number: int
    of: int
    limit: float
    patience: float

    def __call__(self) -> str:
        """Join the pass; why it cannot be finished, or nothing."""
        import submitit

        here = submitit.JobEnvironment()
        first = self.number * here.num_tasks + here.global_rank
        try:
            join(self.work, first, self.of * here.num_tasks, self.limit, self.patience)
        except PassError as error:
            return str(error)
        return ""

    def checkpoint(self) -> Any:
        """At the time limit: queued again; what is done stays done."""
        import submitit

        return submitit.helpers.DelayedSubmission(self)


@dataclass(frozen=True)
class Joined:
    """Waits for workers that others start: ``gnomon work``, by hand or in a script for sbatch."""

    workers: int = 0
    limit: float = math.inf
    options: tuple[str, ...] = ()

    def run(self, work: Work, listener: Listener = SILENT) -> None:
        """Wait until all is done."""
        publish(work)
        jobs = jobs_of(min(self.workers or JOBS, _left(work)), self.options)
        path = work.out / "work.sh"
        path.write_text(script(work.out, jobs, self.options), "utf-8")
        how = f"sbatch {path}, or gnomon work {work.out}"
        listener.say(f"{work.of.name}: waiting for workers: {how}")
        while _left(work):
            time.sleep(POLL)


def script(folder: Path, jobs: int, options: Sequence[str] = (), stay: float = 0.0) -> str:
    """A script for sbatch, each task of each job of which works for a folder (``gnomon work``).

    A job is queued again when its node fails and two minutes before its time is up; what it did
    stays done.  ``srun`` takes ``--cpus-per-task`` from SRUN_CPUS_PER_TASK alone.
    """
    work = f"{shlex.quote(sys.executable)} -m gnomon work {shlex.quote(str(folder.absolute()))}"
    lines = [
        "#!/bin/bash",
        "#SBATCH --job-name=gnomon",
        f"#SBATCH --array=0-{jobs - 1}",
        "#SBATCH --requeue",
        "#SBATCH --signal=B:USR2@120",
        *(f"#SBATCH {option}" for option in options),
        """trap 'scontrol requeue "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"' USR2""",
        'export SRUN_CPUS_PER_TASK="${SLURM_CPUS_PER_TASK:-1}"',
        f"srun {work}{f' --stay {stay:g}' if stay else ''} &",
        "wait $!",
    ]
    return "\n".join(lines) + "\n"


def place_in_array(environment: Mapping[str, str]) -> tuple[int, int]:
    """Which of the tasks of a job array a process is, and of how many; 0 of 1 outside of one.

    >>> array = {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "8"}
    >>> place_in_array(array | {"SLURM_NTASKS": "4", "SLURM_PROCID": "1"})
    (13, 32)
    """
    names = ("ARRAY_TASK_ID", "ARRAY_TASK_COUNT", "PROCID", "NTASKS")
    job, jobs, task, tasks = (
        int(environment.get(f"SLURM_{name}", default))
        for name, default in zip(names, "0101", strict=True)
    )
    return job * tasks + task, max(jobs * tasks, job * tasks + task + 1)


def jobs_of(tasks: int, options: Sequence[str]) -> int:
    """Jobs that so many tasks are in.

    >>> jobs_of(64, ["--ntasks-per-node=4"])
    16
    """
    given = parsed(options)
    return math.ceil(tasks / (given.get("nodes", 1) * given.get("ntasks_per_node", 1)))


def parsed(options: Sequence[str]) -> Mapping[str, Any]:
    """Options of sbatch as submitit takes them.

    >>> parsed(["--time=30", "--gpus-per-task=1", "--exclusive"])
    {'time': 30, 'gpus_per_task': 1, 'exclusive': True}
    """
    found: dict[str, Any] = {}
    for option in options:
        name, given, value = option.removeprefix("--").partition("=")
        found[name.replace("-", "_")] = (
            True if not given else int(value) if value.isdigit() else value
        )
    return found


def _left(work: Work) -> int:
    """Tasks that are not done."""
    return sum(len(work.waiting(step)) for step in work.steps)


def _why(jobs: Sequence[Any]) -> str:
    """What the first job says of itself."""
    last = (jobs[0].stderr() or "").strip().splitlines()
    return last[-1] if last else f"state {jobs[0].state}"
