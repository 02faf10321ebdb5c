"""Profiles on disk: one record a JSON file, written whole and read strictly. Knows no kind of profile."""

import json
from pathlib import Path
from typing import Any, Final, TypeVar

from cluster.whole_file import write_whole
from wire.errors import SettingError, WireError
from wire.records import from_plain, to_plain

MAX_PROFILE_BYTES: Final = 16 * 2**20

Record = TypeVar("Record")


def write_profile(profile: Any, path: Path) -> Path:
    """Write a record, and give the path back; no reader ever sees half of it.

    Raises:
        CheckpointError: the file cannot be written.
    """
    return write_whole(path, (json.dumps(to_plain(profile), indent=1, allow_nan=False) + "\n").encode())


def read_profile(kind: type[Record], path: Path, *, mend: str) -> Record:
    """Read a record of ``kind``, refusing unknown and missing fields; ``mend`` says how such a file is made.

    Raises:
        SettingError: there is no such file, or it is another.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_PROFILE_BYTES + 1)
        if len(data) > MAX_PROFILE_BYTES:
            raise SettingError(f"{path} is larger than any profile", mend=mend)
        return from_plain(kind, json.loads(data), where=path.name)
    except OSError as error:
        raise SettingError(f"{path} cannot be read: {error.strerror or error}", mend=mend) from error
    except (ValueError, RecursionError, WireError) as error:
        raise SettingError(f"{path} is not a profile of this kind: {error}", mend=mend) from error
