"""Run the lessons: every block of Python of a page, in order, in one namespace.

    python docs/run_lessons.py [NAME ...] [--write]

What a block prints must be what the block of text after it says; ``--write`` writes it there.
"""

import argparse
import contextlib
import io
import re
import time
from collections.abc import Iterator
from pathlib import Path

LESSONS = Path(__file__).resolve().parent / "lessons"
BLOCKS = re.compile(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", re.DOTALL)


def pages() -> list[Path]:
    """All lessons."""
    return sorted(path for path in LESSONS.glob("*.md") if path.stem != "index")


def run(page: Path) -> Iterator[tuple[re.Match[str], str]]:
    """Each block with what it printed.

    Raises:
        Exception: whatever a block raises.
    """
    names: dict[str, object] = {"__name__": page.stem}
    for block in BLOCKS.finditer(page.read_text("utf-8")):
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            exec(compile(block[1], str(page), "exec"), names)
        yield block, said.getvalue()


def rewritten(page: Path) -> str:
    """The page with what its blocks print."""
    text, moved = page.read_text("utf-8"), 0
    for block, said in run(page):
        if block[2] is not None:
            start, end = block.start(2) + moved, block.end(2) + moved
            text = text[:start] + said + text[end:]
            moved += len(said) - (end - start)
    return text


def main() -> None:
    """Run all, or those that are named; the exit code is 1 where a page says something else."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    wrong = 0
    for page in pages():
        if given.names and page.stem not in given.names:
            continue
        began, new = time.process_time(), rewritten(page)
        same = new == page.read_text("utf-8")
        wrong += not same
        took = f"{time.process_time() - began:.1f} s of the processor"
        print(f"{page.stem}: {took}{'' if same else ', changed'}", flush=True)
        if given.write:
            page.write_text(new, "utf-8")
    raise SystemExit(1 if wrong and not given.write else 0)


if __name__ == "__main__":
    main()
