"""`gnomon check`, `backup` and `restore`: whether a folder is whole, and a copy of it that is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gnomon.cli.options import CommandError, Output
from gnomon.run.archive import backup as pack
from gnomon.run.archive import restore as unpack
from gnomon.run.folder import Folder
from gnomon.run.listener import Listener
from gnomon.run.manifest import MANIFEST

Place = Annotated[Path, typer.Argument(help="Folder of a campaign or of reference phases.")]


def check(
    folder: Place,
    *,
    repair: bool = False,
) -> Output:
    """Hold every file of a folder against its checksum, and list what is amiss.

    The exit code is 1 if anything is.

    Args:
        folder: of a campaign, a verification or reference phases.
        repair: go back to what came before the first damaged file: that file and all later ones
            are removed, and the same command as before does their work again.

    Example: gnomon check campaign-Au-Cu
    """
    place = Folder(folder)
    listed = place.manifest.path.is_file()
    if not listed and not place.is_begun:
        raise CommandError(f"{folder} holds nothing that gnomon wrote")
    gone = []
    if repair:
        for one in (*place.inner, place):
            gone += [(one.root / name).relative_to(folder).as_posix() for name in one.go_back()]
    rows = [{"file": one.file, "what": one.what, "what to do": one.cure} for one in place.damages()]
    if not listed:
        cure = "the same command as before lists all files as they are"
        rows.append({"file": MANIFEST, "what": "is missing", "what to do": cure})
    shown = (rows or f"{folder} is whole",)
    said = tuple(f"removed: {name}" for name in gone)
    return Output({"amiss": rows, "removed": gone}, shown, said, code=bool(rows))


def backup(folder: Place, archive: Path, listener: Listener) -> Output:
    """Write a folder into one archive, with checksums: whole or not at all.

    Args:
        folder: of a campaign, a verification or reference phases.
        archive: new zip file.

    Example: gnomon backup campaign-Au-Cu campaign-Au-Cu.zip
    """
    count = pack(Folder(folder), archive, listener)
    return Output({"archive": str(archive), "files": count}, said=(f"{count} files: {archive}",))


def restore(archive: Path, folder: Path, listener: Listener) -> Output:
    """Write the folder in an archive anew: whole or not at all, and nothing is overwritten.

    Args:
        archive: of `gnomon backup`.
        folder: new folder.

    Example: gnomon restore campaign-Au-Cu.zip campaign-Au-Cu-again
    """
    count = unpack(archive, folder, listener)
    return Output({"folder": str(folder), "files": count}, said=(f"{count} files: {folder}",))
