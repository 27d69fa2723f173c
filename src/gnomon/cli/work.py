"""`gnomon work`: one more worker for a campaign that has a pass in work."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Annotated

import typer

from gnomon.cli.options import CommandError, Output
from gnomon.run.passes import PassError
from gnomon.run.passes.join import join, passes_of
from gnomon.run.passes.slurm import place_in_array
from gnomon.run.passes.slurm import script as script_for


def work(
    campaign: Annotated[Path, typer.Argument(help="Folder of a campaign, or of a pass in it.")],
    *,
    shard: int | None = None,
    shards: int | None = None,
    limit: float = math.inf,
    stay: float = 0.0,
    script: bool = False,
) -> Output:
    """Join the passes that a campaign has in work, from any machine that sees its folder.

    `gnomon discover --runner slurm` or `--runner joined` writes down its passes for such workers.
    Each takes the next task that nobody has in work; start as many as you like, end them as you
    like.  The command ends when no pass is left.

    Args:
        campaign: folder of a campaign, or of a pass in it.
        shard: which of the workers this is: it only says where to begin.  A task of a job array of
            SLURM knows it.
        shards: how many workers there are.
        limit: seconds that one task may take before its process is stopped.
        stay: minutes to wait for the next pass, while the campaign does what needs no workers.
        script: print a script for sbatch that starts as many jobs as --shards says.

    Example: gnomon work campaign-all --shard 3 --shards 64
    """
    place, places = place_in_array(os.environ)
    own = place if shard is None else shard
    count = (places if shard is None else own + 1) if shards is None else shards
    if not 0 <= own < count:
        raise CommandError(f"--shard is a number from 0 to {count - 1}, not {own}")
    if script:
        text = script_for(campaign, count, stay=stay)
        return Output({"script": text}, (text.rstrip(),))
    names = []
    try:
        for found in passes_of(campaign, 60 * stay):
            join(found, own, count, limit)
            names.append(found.of.name)
    except PassError as error:
        raise ValueError(str(error)) from error
    return Output({"passes": names}, (f"{', '.join(names)}: all tasks are done",))
