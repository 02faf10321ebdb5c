"""Measured blocks in a Markdown file: the text around them is written by people, the blocks by the command.

A block stands between ``<!-- measured: NAME -->`` and ``<!-- end -->``. Owns these marks.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from wire.errors import SettingError

_BLOCK: Final = re.compile(r"(<!-- measured: (?P<name>[a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def block_names(text: str) -> list[str]:
    """Name the blocks of a document, in their order."""
    return [match["name"] for match in _BLOCK.finditer(text)]


def filled(text: str, blocks: Mapping[str, str]) -> str:
    """Put new text into the blocks of a document.

    Raises:
        SettingError: the document has a block of which nothing was measured, or none at all.
    """
    names = block_names(text)
    unknown = [name for name in names if name not in blocks]
    if unknown or not names:
        raise SettingError(
            f"there is nothing to write for {unknown[0]!r}" if unknown else "the document has no measured block",
            mend=f"mark a block with <!-- measured: NAME --> and <!-- end -->; names are {', '.join(blocks)}",
        )
    return _BLOCK.sub(lambda match: f"{match[1]}\n{blocks[match['name']].strip()}\n\n{match[3]}", text)


def fill(document: Path, blocks: Mapping[str, str]) -> None:
    """Write new text into the blocks of a document on disk.

    Raises:
        SettingError: it cannot be read or written, or its blocks are not those given.
    """
    try:
        text = filled(document.read_text(encoding="utf-8"), blocks)
        document.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SettingError(f"{document} cannot be written: {error}", mend="run this where docs/ is") from error
