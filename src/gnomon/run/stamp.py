"""Where results come from: the commit of the code that runs."""

import subprocess
from pathlib import Path


def git_commit() -> str | None:
    """Commit of the source tree that runs (``-dirty`` if changed), None for no checkout."""
    folder = Path(__file__).parent
    try:
        answers = [
            subprocess.run(
                ["git", *arguments], cwd=folder, capture_output=True, text=True, check=True
            ).stdout.strip()
            for arguments in (("rev-parse", "HEAD"), ("status", "--porcelain", "--", "."))
        ]
    except (OSError, subprocess.CalledProcessError):
        return None
    commit, changes = answers
    return commit + ("-dirty" if changes else "")
