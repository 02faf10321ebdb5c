"""The tails of one point, one for each bundle that is served: while agents move from an old bundle to a new one, both.

A stream is served by the tail of the bundle that its device holds, and its ``Welcome`` names the newest, which tells
the device to fetch that. Owns which bundles are open. Imports no Ray.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Final, Self

from serve_apps.node_load import NodeLoad
from serve_apps.stream_memory import StreamMemory
from serve_apps.tail import Tail
from wire.bundle import Bundle
from wire.errors import IsthmusError, TailFailed, UnknownPoint, WrongBundle
from wire.ids import BundleDigest, PointName
from wire.messages import Frame, Hello, LoadSignal, Reject, Result, Welcome

LINGER_S: Final = 30.0
"""For so long a bundle that is served no more is kept for the streams that still use it."""
LINGER_LOOK_S: Final = 0.5

log = logging.getLogger("isthmus.tail")

MakeTail = Callable[[Bundle], Tail]


class TailSet:
    """Serves a point of every bundle that ``use`` named last; an async context."""

    def __init__(self, point: PointName, make_tail: MakeTail, *, users: Callable[[BundleDigest], int]) -> None:
        """Serve nothing yet; ``users`` counts the streams of a bundle."""
        self.point = point
        self._make_tail, self._users = make_tail, users
        self._tails: dict[BundleDigest, Tail] = {}
        self._stacks: dict[BundleDigest, AsyncExitStack] = {}
        self._order: tuple[BundleDigest, ...] = ()
        self._turn = asyncio.Lock()
        self._leaving: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._leaving:
            task.cancel()
        await asyncio.gather(*self._leaving, return_exceptions=True)
        for digest in list(self._stacks):
            await self._close(digest)

    async def use(self, folders: Sequence[str]) -> None:
        """Serve the bundles in these folders, the newest first, and no others.

        What is new is open before anything is let go; an old one is kept as long as it has streams, but not for long.

        Raises:
            IsthmusError: one of them cannot be served; what was served before still is.
        """
        async with self._turn:
            bundles = [await asyncio.to_thread(Bundle.open, Path(folder), "cluster") for folder in folders]
            having = [bundle for bundle in bundles if self._has_point(bundle)]
            if not having:
                raise UnknownPoint(f"no bundle serves the point {self.point!r}")
            for bundle in having:
                if bundle.digest not in self._tails:
                    await self._open(bundle)
            self._order = tuple(bundle.digest for bundle in having)
            for digest in self._tails.keys() - set(self._order):
                self._spawn(self._let_go(digest))

    @property
    def bundles(self) -> tuple[BundleDigest, ...]:
        """The bundles that are served, the newest first."""
        return self._order

    @property
    def current(self) -> Tail:
        """The tail of the newest bundle.

        Raises:
            TailFailed: none is open yet.
        """
        if not self._order:
            raise TailFailed("the replica is starting")
        return self._tails[self._order[0]]

    @property
    def bundle(self) -> Bundle:
        """The newest bundle."""
        return self.current.bundle

    @property
    def models(self) -> int:
        """How many models the tails hold together."""
        return sum(tail.models for tail in self._tails.values())

    @property
    def answered_at_s(self) -> float:
        """When the newest bundle's tail answered last."""
        return self.current.answered_at_s

    def serving(self, hello: Hello) -> Tail:
        """Give the tail for the bundle that a device holds.

        Raises:
            WrongBundle: it is served no more, or never was.
        """
        if hello.bundle not in self._order:
            self.current.welcome(hello)  # which says so
            raise WrongBundle("the cluster serves another bundle", mend="fetch the bundle again")
        return self._tails[hello.bundle]

    def welcome(self, hello: Hello) -> Welcome:
        """Answer a device that opens a stream; raises as ``serving`` does."""
        return replace(self.serving(hello).welcome(hello), bundle=self._order[0])

    def load(self) -> LoadSignal:
        """Say how this replica stands, with all its bundles together."""
        loads = [self._tails[digest].load() for digest in self._order] or [self.current.load()]
        return replace(
            loads[0],
            queue_s=max(load.queue_s for load in loads),
            utilisation=min(1.0, sum(load.utilisation for load in loads)),
            in_flight=sum(load.in_flight for load in loads),
        )

    def note_node(self, node: NodeLoad) -> None:
        """Note how busy the machine is, for the load signals."""
        for tail in self._tails.values():
            tail.note_node(node)

    async def answer(self, frame: Frame, memory: StreamMemory | None = None) -> Result | Reject:
        """Answer a frame of the newest bundle, as ``Tail.answer``."""
        return await self.current.answer(frame, memory)

    async def answer_picture(self, picture: bytes, *, budget_s: float) -> Result:
        """Answer a picture, as ``Tail.answer_picture``."""
        return await self.current.answer_picture(picture, budget_s=budget_s)

    def labelled(self, result: Result) -> list[tuple[str, float]]:
        """Give the labels of a result in words, best first."""
        return self.current.labelled(result)

    def _has_point(self, bundle: Bundle) -> bool:
        return any(option.cluster_graph for option in bundle.options_at(self.point))

    async def _open(self, bundle: Bundle) -> None:
        stack = AsyncExitStack()
        self._tails[bundle.digest] = await stack.enter_async_context(self._make_tail(bundle))
        self._stacks[bundle.digest] = stack

    async def _let_go(self, digest: BundleDigest) -> None:
        for _ in range(round(LINGER_S / LINGER_LOOK_S)):
            if not self._users(digest):
                break
            await asyncio.sleep(LINGER_LOOK_S)
        async with self._turn:
            if digest not in self._order:  # it may have come back meanwhile
                await self._close(digest)

    async def _close(self, digest: BundleDigest) -> None:
        stack = self._stacks.pop(digest, None)
        if stack is not None:
            try:
                await stack.aclose()
            except IsthmusError as error:
                log.warning("bundle.not_closed %s: %s", digest[:12], error)
        self._tails.pop(digest, None)

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)
