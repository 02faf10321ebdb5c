"""Which line of a user's own code an error comes from.

Owns the reading of tracebacks, so that an error about a network names the file that its author can mend.
"""

import sysconfig
import traceback
from pathlib import Path
from typing import Final

import torch

import cluster

_LIBRARIES: Final = tuple(Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib"))
_NOT_THEIRS: Final = (Path(str(torch.__file__)).parent, Path(str(cluster.__file__)).parent)
_IMPORTING: Final = "importlib"


def place_in_user_code(error: BaseException) -> str:
    """Say where ``error`` arose, as ``mynet.py:12 in forward (`if x.sum() > 0:`)``; empty if in no code of theirs.

    That is the innermost line outside the libraries, or else outside of torch and of Isthmus.
    """
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_short(error.filename)}:{error.lineno} (`{(error.text or '').strip()}`)"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _may_be_theirs(frame.filename)]
    own = [frame for frame in frames if not _below(frame.filename, _LIBRARIES)]
    for frame in (own or frames)[-1:]:
        return f"{_short(frame.filename)}:{frame.lineno} in {frame.name} (`{(frame.line or '').strip()}`)"
    return ""


def _may_be_theirs(file: str) -> bool:
    return not file.startswith("<") and Path(file).parent.name != _IMPORTING and not _below(file, _NOT_THEIRS)


def _below(file: str, folders: tuple[Path, ...]) -> bool:
    return any(Path(file).is_relative_to(folder) for folder in folders)


def _short(file: str) -> Path:
    """Name a file from the current folder where it lies below that."""
    path, here = Path(file), Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
