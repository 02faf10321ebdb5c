"""The reader of bundles under the fuzzer: a device takes manifests, tables and gains from whatever cluster it asks."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from loadtests.fuzz_bundle import sample, write_bundle
from loadtests.fuzz_target import ACCEPTED, Target, TreeForm
from wire.bundle import Bundle
from wire.errors import BundleError
from wire.manifest import MANIFEST_NAME, dump_manifest, load_manifest

JSON: Final = TreeForm(load=json.loads, dump=lambda value: json.dumps(value, default=repr).encode())
KEPT: Final = (0, 4, 8, 10, 12)
"""The options that remain in the seeds, one of each kind: a short manifest is quick to change and to read."""


def manifest(folder: Path) -> Target:
    """Make the target: any bytes as a manifest."""
    seed = _short(write_bundle(folder))
    return Target(run=_read_manifest, seeds=(seed,), tree=JSON)


def bundle(folder: Path) -> Target:
    """Make the target: a number of one file, its new bytes, and a manifest that is put right for them.

    An input is one byte that chooses the file, then the file. The manifest says the file's own SHA-256, as a hostile
    cluster's would; the bundle is opened, and all that it has is used.
    """
    whole = write_bundle(folder)
    names = sorted(
        entry.path for entry in whole.manifest.files if entry.side == "both" or entry.path == whole.manifest.labels
    )
    contents = {name: (folder / name).read_bytes() for name in names}
    plain: dict[str, Any] = json.loads(dump_manifest(whole.manifest))
    # Only the options that use the file: the others would only take time.
    manifests = {name: {**plain, "options": [each for each in plain["options"] if _uses(each, name)]} for name in names}

    def run(data: bytes) -> str:
        name = names[data[0] % len(names)] if data else names[0]
        (folder / name).write_bytes(data[1:])
        (folder / MANIFEST_NAME).write_bytes(json.dumps(_put_right(manifests[name], name, data[1:])).encode())
        try:
            return _use(folder)
        finally:
            (folder / name).write_bytes(contents[name])

    seeds = tuple(bytes((number,)) + contents[name] for number, name in enumerate(names))
    return Target(run=run, seeds=seeds)


def _read_manifest(data: bytes) -> str:
    try:
        found = load_manifest(data)
    except BundleError as error:
        return error.code
    assert load_manifest(dump_manifest(found)) == found, "a manifest changed on its way through its own bytes"
    return ACCEPTED


def _use(folder: Path) -> str:
    """Open a bundle and send a frame by every option of it."""
    try:
        opened = Bundle.open(folder, "device")
        opened.labels()
        codings = [
            (option, opened.coding(option), opened.refinements(option))
            for option in opened.manifest.options
            if option.coder != "none"
        ]
    except BundleError as error:
        return error.code
    for option, coding, refinements in codings:
        frame = sample(option)
        decoded = coding.decode(coding.encode(frame))
        for further in refinements:
            decoded = further.decode(further.encode(frame), decoded)
        option.form.check(decoded)
    return ACCEPTED


def _short(whole: Bundle) -> bytes:
    plain: dict[str, Any] = json.loads(dump_manifest(whole.manifest))
    plain["options"] = [option for option in plain["options"] if option["id"] in KEPT]
    return json.dumps(plain).encode()


def _uses(option: dict[str, Any], name: str) -> bool:
    files = [option, *option["refinements"]]
    return any(name in (each["tables"], each["gains"]) for each in files)


def _put_right(plain: dict[str, Any], name: str, data: bytes) -> dict[str, Any]:
    """Give a manifest with size and SHA-256 of a file's new bytes."""
    new = {"sha256": sha256(data).hexdigest(), "size_bytes": len(data)}
    entries = [{**entry, **new} if entry["path"] == name else entry for entry in plain["files"]]
    return {**plain, "files": entries}
