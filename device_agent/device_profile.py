"""How long each option takes on this device, measured once a bundle and kept in the cache folder."""

import json
import math
import time
from pathlib import Path
from typing import Final

import numpy as np
import structlog

from device_agent.head import HeadRuntime
from device_agent.sources import Pixels
from wire.ids import BundleDigest, OptionId
from wire.manifest import Input, Option

ROUNDS: Final = 4
RUNS: Final = 2
"""In each round, one after the other: the second finds the caches as a stream of frames leaves them."""

Profile = dict[OptionId, float]
"""Real seconds of one frame on the device, by option."""

log = structlog.get_logger()


class ProfileStore:
    """Profiles under ``<cache>/profiles``, by bundle and number of threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "profiles"

    def load(self, digest: BundleDigest, threads: int) -> Profile | None:
        """Give the profile made before; None if there is none that can be read."""
        try:
            plain = json.loads(self._path(digest, threads).read_text(encoding="utf-8"))
            profile = {OptionId(int(key)): float(value) for key, value in plain["option_s"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return profile if all(math.isfinite(s) and s >= 0 for s in profile.values()) else None

    def save(self, digest: BundleDigest, threads: int, profile: Profile) -> None:
        """Keep a profile; a cache that cannot be written costs only that it is made again."""
        path = self._path(digest, threads)
        text = json.dumps({"option_s": profile}, indent=1)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(".part")
            part.write_text(text + "\n", encoding="utf-8")
            part.replace(path)
        except OSError as error:
            log.warning("profile.not_saved", path=str(path), error=str(error))

    def _path(self, digest: BundleDigest, threads: int) -> Path:
        return self._folder / f"{digest}-{threads}.json"


def measure_profile(head: HeadRuntime) -> Profile:
    """Run every option a few times on a test picture; gives the least real seconds of each.

    The least, because what else this machine does at the first start is no property of the option; and in rounds over
    all options, because a machine that is slow for a moment would otherwise be so for one option alone.

    Blocks for a second or so. ``head`` must have no profile yet, so that nothing is slowed down.
    """
    picture = picture_for(head.bundle.manifest.input)
    options = head.bundle.manifest.options
    for option in options:
        head.warm(option, picture)
    profile: Profile = dict.fromkeys((option.id for option in options), math.inf)
    for _ in range(ROUNDS):
        for option in options:
            profile[option.id] = min(profile[option.id], *(_run_s(head, option, picture) for _ in range(RUNS)))
    return profile


def _run_s(head: HeadRuntime, option: Option, picture: Pixels) -> float:
    begun_s = time.perf_counter()
    if option.coder == "none":
        head.answer(picture)
    else:
        head.encode(option, picture)
    return time.perf_counter() - begun_s


def picture_for(expected: Input) -> Pixels:
    """Make a test picture, uint8 (1, H, W, 3): a gradient with a little noise, as a JPEG coder likes it."""
    rows = np.linspace(0, 200, expected.height)[:, None, None]
    columns = np.linspace(0, 40, expected.width)[None, :, None]
    noise = np.random.default_rng(0).integers(0, 15, (expected.height, expected.width, 3))
    return (rows + columns + noise).astype(np.uint8)[None]
