"""Folders of pictures: those to train on, and those to evaluate on.

Owns the finding. Imports no torch.
"""

import csv
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wire.errors import DataError

SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
LABELS_NAME: Final = "labels.csv"


@dataclass(frozen=True, slots=True)
class LabelledPicture:
    """One picture of an evaluation set, with its class as an index of the backbone's labels."""

    path: Path
    label: int


def find_pictures(folder: Path) -> list[Path]:
    """List the pictures at any depth below a folder, sorted.

    Raises:
        DataError: the folder is missing or holds no picture.
    """
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}", mend="give a folder of pictures with --data")
    found = sorted(
        Path(root, name)
        for root, _, names in os.walk(folder)
        for name in names
        if Path(name).suffix.lower() in SUFFIXES
    )
    if not found:
        raise DataError(f"no picture lies below {folder}", mend=f"pictures end in {', '.join(sorted(SUFFIXES))}")
    return found


def find_labelled(folder: Path) -> list[LabelledPicture]:
    """Read an evaluation set: ``labels.csv`` (columns ``file`` and ``label``) beside a folder ``images``.

    Raises:
        DataError: the list is missing or malformed, or names a picture that is not there.
    """
    listing = folder / LABELS_NAME
    try:
        with listing.open(newline="", encoding="utf-8") as file:
            pictures = [
                LabelledPicture(folder / "images" / row["file"], int(row["label"])) for row in csv.DictReader(file)
            ]
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise DataError(
            f"{listing} is no list of labelled pictures: {error}",
            mend="it needs the columns file and label (an index), and the pictures in a folder images beside it",
        ) from error
    missing = [picture.path for picture in pictures if not picture.path.is_file()]
    if missing or not pictures:
        raise DataError(
            f"{listing} names {len(pictures)} pictures, of which {len(missing)} are missing",
            mend=f"look for {missing[0]}" if missing else "add pictures to it",
        )
    return pictures
