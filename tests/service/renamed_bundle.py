"""The same bundle under another digest, as a new release would be."""

import json
import shutil
from pathlib import Path

from wire.bundle import Bundle
from wire.manifest import digest_of


def renamed(bundle: Bundle, folder: Path, created_by: str) -> Bundle:
    """Make the same bundle with another digest."""
    shutil.copytree(bundle.directory, folder)
    plain = json.loads((folder / "manifest.json").read_bytes())
    plain["created_by"] = created_by
    data = (json.dumps(plain, sort_keys=True, indent=1) + "\n").encode()
    (folder / "manifest.json").write_bytes(data)
    opened = Bundle.open(folder, "cluster")
    assert opened.digest == digest_of(data) != bundle.digest
    return opened
