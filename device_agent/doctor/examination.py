"""All the checks of one deployment, put together: what is looked at, in which order, and with what."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from device_agent.addresses import ServerAddress
from device_agent.agent import agent_version
from device_agent.bundle_cache import BundleCache
from device_agent.doctor.bundle_checks import BundleCheck, DigestCheck
from device_agent.doctor.checks import Check, Say, run_checks
from device_agent.doctor.clock_check import ClockCheck
from device_agent.doctor.deployment import Deployment
from device_agent.doctor.door import Door
from device_agent.doctor.door_checks import ReachCheck, TlsCheck
from device_agent.doctor.finding import Finding
from device_agent.doctor.frame_check import FrameCheck
from device_agent.doctor.frame_exchange import StreamExchange
from device_agent.doctor.load_check import LoadCheck
from device_agent.doctor.token_check import TokenCheck
from device_agent.doctor.version_check import VersionCheck
from device_agent.doctor.wake import Waker
from device_agent.http_fetch import HttpFetch
from wire.errors import SettingError
from wire.ids import DeviceId

LEAST_DIGITS: Final = 8
DIGEST_DIGITS: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ExaminationSettings:
    """What a user can say of an examination; ``server`` has the token, its device and who vouches for it."""

    server: ServerAddress
    device: DeviceId
    cache: Path
    bundle: Path | None = None
    digest: str | None = None
    picture: Path | None = None
    anew: bool = False
    """Whether every file of the bundle is fetched, also those that lie here."""
    timeout_s: float = 5.0
    wake_timeout_s: float = 120.0

    def __post_init__(self) -> None:
        if self.bundle is not None and self.digest is not None:
            raise SettingError("both --bundle and --digest name a bundle", mend="give one of them")
        digits = self.digest
        if digits is not None and (
            not LEAST_DIGITS <= len(digits) <= DIGEST_DIGITS or digits.strip("0123456789abcdef")
        ):
            raise SettingError(
                f"{digits!r} is no digest of a bundle",
                mend=f"give its first {LEAST_DIGITS} to {DIGEST_DIGITS} digits, as `isthmus bundle inspect` shows them",
            )


def examine(settings: ExaminationSettings, say: Say) -> Iterator[Finding]:
    """Look at a deployment, blocking; gives what is found as it is found, and raises nothing of the deployment's."""
    with ExitStack() as stack:
        # A cache that is empty and goes away again holds nothing that need not be fetched.
        cache = Path(stack.enter_context(TemporaryDirectory(prefix="isthmus-"))) if settings.anew else settings.cache
        yield from run_checks(_checks(settings, BundleCache(cache), say), say)


def _checks(settings: ExaminationSettings, cache: BundleCache, say: Say) -> list[Check]:
    server, timeout_s = settings.server, settings.timeout_s
    deployment = Deployment(server)
    door = Door(server, timeout_s=timeout_s)
    fetch = HttpFetch(server, timeout_s=timeout_s)
    as_nobody = HttpFetch(replace(server, token=None), timeout_s=timeout_s)

    def say_fetched(done_bytes: int, total_bytes: int) -> None:
        say(f"bundle: {done_bytes / 1e6:.0f} of {total_bytes / 1e6:.0f} MB")

    return [
        ReachCheck(door),
        TlsCheck(server, door),
        VersionCheck(deployment, fetch, speaks_tls=door.speaks_tls, own_release=agent_version()),
        ClockCheck(fetch),
        TokenCheck(server, fetch, as_nobody),
        DigestCheck(deployment, folder=settings.bundle, digest=settings.digest),
        BundleCheck(deployment, fetch, cache, say_fetched, anew=settings.anew),
        LoadCheck(deployment, fetch),
        FrameCheck(
            deployment,
            StreamExchange(server, timeout_s=timeout_s),
            Waker(fetch, patience_s=settings.wake_timeout_s),
            device=settings.device,
            agent=f"isthmus-doctor/{agent_version()}",
            budget_s=timeout_s,
            picture=settings.picture,
            say=say,
        ),
    ]
