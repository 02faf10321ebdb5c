import asyncio
import socket

import pytest
from doctor_fakes import FAR, signal

from device_agent.doctor.door import Door
from device_agent.doctor.frame_exchange import StreamExchange
from device_agent.stream import PointStream, Received
from wire.errors import ClusterUnreachable, DeadlineExceeded, TailFailed
from wire.ids import BundleDigest, DeviceId, OptionId, PointName
from wire.messages import Frame, GoAway, Hello, Message, Reject, Result, Timings, pack

HELLO = Hello(DeviceId("camera-1"), "isthmus-doctor/1", BundleDigest("ab" * 32))
FRAME = Frame(frame_id=0, option_id=OptionId(3), budget_s=5.0, bitstream=b"bits")
RESULT = Result(
    frame_id=0, option_id=OptionId(3), labels=(1,), scores=(0.5,), batch_size=1,
    timings=Timings(decode_s=0.0, queue_s=0.0, compute_s=0.0, total_s=0.0), load=signal(),
)  # fmt: skip
REJECT = Reject(frame_id=0, code="tail_failed", message="Triton is away", retryable=True, retry_after_s=0.2, load=None)


class FakeStream:
    """The seam of one socket: says these messages, and then nothing."""

    replica = "replica"

    def __init__(self, *messages: Message) -> None:
        self._messages = list(messages)
        self.sent: list[bytes] = []
        self.closed = False

    async def send(self, data: bytes) -> None:
        self.sent.append(data)

    async def receive(self) -> Received:
        if not self._messages:
            await asyncio.Event().wait()
        return Received(self._messages.pop(0), 321, at_s=1.0, unpack_s=0.0)

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch):
    def give(*messages: Message) -> FakeStream:
        stream = FakeStream(*messages)

        async def open_(*_: object) -> FakeStream:
            return stream

        monkeypatch.setattr(PointStream, "open", open_)
        return stream

    return give


def exchange(*, timeout_s: float = 5.0):
    return StreamExchange(FAR, timeout_s=timeout_s)(PointName("shallow"), HELLO, FRAME)


def test_a_frame_is_sent_and_its_result_waited_for_though_the_replica_asks_to_go(opened) -> None:
    stream = opened(GoAway("the replica stops", 5.0), RESULT)
    exchanged = exchange()
    assert (exchanged.result, exchanged.replica, exchanged.received_bytes) == (RESULT, "replica", 321)
    assert stream.sent == [pack(FRAME)]
    assert stream.closed


def test_a_frame_that_is_refused_is_the_refusals_error_in_its_own_words(opened) -> None:
    stream = opened(REJECT)
    with pytest.raises(TailFailed, match="Triton is away"):
        exchange()
    assert stream.closed


def test_a_frame_without_an_answer_is_given_up(opened) -> None:
    stream = opened()
    with pytest.raises(DeadlineExceeded, match=r"no answer came within 0\.01 s"):
        exchange(timeout_s=0.01)
    assert stream.closed


def test_a_stream_that_does_not_open_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(PointStream, "open", never)
    with pytest.raises(ClusterUnreachable, match=r"no stream was opened within 0\.01 s"):
        exchange(timeout_s=0.01)


def test_what_sockets_raise_at_the_door_becomes_an_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    def raises(error: Exception):
        def call(*_: object, **__: object) -> None:
            raise error

        return call

    door = Door(FAR, timeout_s=1.0)
    monkeypatch.setattr(socket, "getaddrinfo", raises(socket.gaierror(socket.EAI_NONAME, "unknown")))
    with pytest.raises(ClusterUnreachable, match="is not found"):
        door.addresses()
    monkeypatch.setattr(socket, "getaddrinfo", raises(UnicodeError("label too long")))
    with pytest.raises(ClusterUnreachable, match="is not found"):
        door.addresses()
    monkeypatch.setattr(socket, "create_connection", raises(ConnectionRefusedError()))
    with pytest.raises(ClusterUnreachable, match="refuses the connection"):
        door.connect()
    with pytest.raises(ClusterUnreachable):
        door.certificate()
    assert not door.speaks_tls()
