"""Who does the work of a campaign, its candidates and its evaluations: engines by name."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from gnomon.run.passes import ENGINES, Engine
from gnomon.run.passes.forecast import Foretold
from gnomon.run.passes.slurm import JOBS
from gnomon.run.pool import processes


def _known(name: str) -> str:
    ENGINES.check(name)
    return name


class RunConfig(BaseModel):
    """Who does the work; it changes no answer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    runner: Annotated[str, AfterValidator(_known)] = Field(
        default="processes",
        description="processes, slurm, joined (workers that others start), or a runner of Beam: "
        "direct, flink, spark, dataflow",
    )
    runner_workers: int = Field(
        default=0, ge=0, description="processes or jobs; 0: one a core, or 64 jobs of an array"
    )
    runner_options: tuple[str, ...] = Field(
        default=(), description="of sbatch or of Beam, such as --partition=gpu"
    )
    task_minutes: float = Field(
        default=120.0,
        gt=0,
        description="a task that takes longer is stopped, and its records are tried in halves",
    )
    shard_evaluations: bool = Field(
        default=False, description="evaluate by it, too, in shards of 16, not in this process"
    )
    dry_run: bool = Field(default=False, description="say what the first pass would take, and end")

    def engine(self) -> Engine:
        """What does the work.

        Raises:
            ValueError: if it takes no such options.
        """
        limit = 60.0 * self.task_minutes
        made: Engine = ENGINES.get(self.runner)(
            workers=self.runner_workers, limit=limit, options=self.runner_options
        )
        return made

    def foretold(self) -> Engine:
        """What does the work, and says first what it is going to take; no more in a dry run."""
        jobs = JOBS if self.runner in ("slurm", "joined") else 0
        workers = processes(self.runner_workers or jobs)
        return Foretold(None if self.dry_run else self.engine(), workers)
