"""`gnomon work`: one more worker for a campaign that has a pass in work."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from gnomon.cli.options import CommandError, Output
from gnomon.run.passes import PassError
from gnomon.run.passes.join import join, published
from gnomon.run.passes.slurm import script as script_for


def work(
    campaign: Annotated[Path, typer.Argument(help="Folder of a campaign, or of a pass in it.")],
    *,
    shard: int = 0,
    shards: int = 1,
    limit: float = math.inf,
    script: bool = False,
) -> Output:
    """Join the pass that a campaign has in work, from any machine that sees its folder.

    `gnomon discover --runner slurm` or `--runner joined` writes down its passes for such workers.
    Each takes the next task that nobody has in work; start as many as you like, end them as you
    like.  The command ends when the pass is finished.

    Args:
        campaign: folder of a campaign, or of a pass in it.
        shard: which of the workers this is: it only says where to begin.
        shards: how many workers there are.
        limit: seconds that one task may take before its process is stopped.
        script: print a script for sbatch that starts as many workers as --shards says.

    Example: gnomon work campaign-all --shard 3 --shards 64
    """
    if not 0 <= shard < shards:
        raise CommandError(f"--shard is a number from 0 to {shards - 1}, not {shard}")
    found = published(campaign)
    if script:
        text = script_for(found.out, shards)
        return Output({"script": text}, (text.rstrip(),))
    try:
        join(found, shard, shards, limit)
    except PassError as error:
        raise ValueError(str(error)) from error
    return Output({"pass": found.of.name}, (f"{found.of.name}: all tasks are done",))
