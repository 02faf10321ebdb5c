"""Writes what ``sha256sum --check`` asks for: ``python bundle_sums.py FOLDER DIGEST > SHA256SUMS``.

Refuses a folder whose manifest has another digest. Runs while the image is built, so it needs Python alone.
"""

import hashlib
import json
import sys
from pathlib import Path


def main(folder: str, wanted: str) -> None:
    """Write a line for the manifest and for each file that it lists, and give no file that it does not list."""
    manifest = Path(folder) / "manifest.json"
    data = manifest.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != wanted:
        sys.exit(f"the bundle in {folder} has the digest {digest}, not {wanted}")
    listed = {entry["path"]: entry["sha256"] for entry in json.loads(data)["files"]}
    strange = {str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file()}
    strange -= {manifest.name, *listed}
    if strange:
        sys.exit(f"the bundle in {folder} has files that its manifest does not list: {', '.join(sorted(strange))}")
    sys.stdout.write(f"{digest}  {manifest}\n")
    for path, sha256 in sorted(listed.items()):
        sys.stdout.write(f"{sha256}  {folder}/{path}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
