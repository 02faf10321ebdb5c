"""What a tail replica knows of its own load, as the signal that it publishes.

Owns the averages. Imports no Ray; time is given, not read.
"""

from typing import Final

from serve_apps.node_load import UNKNOWN, NodeLoad
from wire.ids import PointName
from wire.messages import LoadSignal, LoadState

MEMORY: Final = 0.1
"""Share of the newest frame in an average."""
WINDOW_S: Final = 2.0
"""Over how long utilisation is taken."""
HALF_LIFE_S: Final = 2.0
"""How fast an idle replica forgets that it was slow under load: agents would not come back to correct that."""
ALONE_FASTER: Final = 0.5
"""Share of a frame that came alone in what such a frame takes, where it was faster than those before."""
ALONE_SLOWER: Final = 0.05
"""The same where it was slower, which may have many causes."""
QUEUE_HALF_LIFE_S: Final = 0.2
"""How fast the published queue follows the real one: it saws up and down with every batch, which says nothing."""


class LoadMeter:
    """How one replica stands: time in the tail, time in the queue, share of time that it was busy.

    ``unloaded_s`` is what a frame takes when the replica has nothing else to do, as it was seen at the start, when much
    else starts too. Frames that come alone correct it: an idle replica is sent one every second (``Health``).
    """

    def __init__(self, point: PointName, *, unloaded_s: float, now: float) -> None:
        self._point = point
        self._unloaded_s = unloaded_s
        self._service_s = unloaded_s
        self._queue_s = 0.0
        self._queue_at = now
        self._busy_s = 0.0
        self._since = now
        self._answered_at = now
        self._utilisation = 0.0
        self.in_flight = 0
        self.state: LoadState = "starting"
        self.node: NodeLoad = UNKNOWN

    def answered(self, *, service_s: float, queue_s: float, busy_s: float, alone: bool = False, now: float) -> None:
        """Note one answered frame: what a frame alone takes, the queue now, and this frame's share of the busy time.

        ``alone`` says that nothing else was there while it was answered, so that ``busy_s`` is all it took.
        """
        if alone:
            share = ALONE_FASTER if busy_s < self._unloaded_s else ALONE_SLOWER
            self._unloaded_s += share * (busy_s - self._unloaded_s)
        self._service_s = self._service(now)
        self._service_s += MEMORY * (service_s - self._service_s)
        self._answered_at = now
        self.note_queue(queue_s, now)
        self._roll(now)
        self._busy_s += busy_s

    def note_queue(self, queue_s: float, now: float) -> None:
        """Note how much longer a frame that comes now is expected to take than one that is alone."""
        left = 0.5 ** ((now - self._queue_at) / QUEUE_HALF_LIFE_S)
        self._queue_s = queue_s + (self._queue_s - queue_s) * left
        self._queue_at = now

    @property
    def answered_at_s(self) -> float:
        """When a frame was answered last; when the replica began, if none was."""
        return self._answered_at

    def signal(self, now: float) -> LoadSignal:
        """Say how the replica stands."""
        self._roll(now)
        return LoadSignal(
            point=self._point,
            state=self.state,
            service_s=self._service(now),
            # An idle replica has no queue, whatever the last frames saw.
            queue_s=self._queue_s if self.in_flight else 0.0,
            utilisation=self._utilisation,
            in_flight=self.in_flight,
            replicas=1,
            node_utilisation=self.node.utilisation,
            triton_queue_s=self.node.triton_queue_s,
            triton_compute_s=self.node.triton_compute_s,
        )

    def _service(self, now: float) -> float:
        faded = 0.5 ** ((now - self._answered_at) / HALF_LIFE_S)
        return self._unloaded_s + (self._service_s - self._unloaded_s) * faded

    def _roll(self, now: float) -> None:
        passed = now - self._since
        if passed >= WINDOW_S:
            self._utilisation = min(1.0, self._busy_s / passed)
            self._busy_s = 0.0
            self._since = now
