"""What a running replica does with more than it can answer: real sockets, real Serve, real Triton."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from conftest import RunningCluster
from websockets.sync.client import ClientConnection, connect

from serve_apps.agent_stream import MAX_IN_FLIGHT
from serve_apps.readiness import option_bitstream
from wire.ids import DeviceId
from wire.manifest import Option
from wire.messages import Frame, Hello, Message, Reject, Result, Welcome, pack, unpack

pytestmark = pytest.mark.service


def heaviest(cluster: RunningCluster) -> Option:
    """Give the option that leaves the cluster most to do."""
    return next(option for option in cluster.bundle.manifest.options if option.cluster_graph)


@contextmanager
def open_stream(cluster: RunningCluster, option: Option, device: str) -> Iterator[ClientConnection]:
    url = f"{cluster.url}/v1/points/{option.point}/stream"
    with connect(url, compression=None, proxy=None) as socket:
        socket.send(pack(Hello(DeviceId(device), "test", cluster.bundle.digest)))
        assert isinstance(receive(socket), Welcome)
        yield socket


def receive(socket: ClientConnection) -> Message:
    data = socket.recv(timeout=30)
    assert isinstance(data, bytes)
    return unpack(data)


def send(socket: ClientConnection, bitstream: bytes, option: Option, *, numbers: range, budget_s: float) -> None:
    for number in numbers:
        socket.send(pack(Frame(frame_id=number, option_id=option.id, budget_s=budget_s, bitstream=bitstream)))


def refusals(answers: list[Message]) -> list[Message]:
    return [answer for answer in answers if not isinstance(answer, Result)]


def test_a_frame_that_cannot_be_in_time_is_refused_at_once_while_others_are_answered(cluster: RunningCluster) -> None:
    option = heaviest(cluster)
    bitstream = option_bitstream(cluster.bundle, option)
    with open_stream(cluster, option, "patient") as patient, open_stream(cluster, option, "hasty") as hasty:
        send(patient, bitstream, option, numbers=range(MAX_IN_FLIGHT), budget_s=20.0)
        first = receive(patient)  # the others are waiting or being computed now
        send(hasty, bitstream, option, numbers=range(1), budget_s=0.001)
        refusal = receive(hasty)
        answers = [first, *(receive(patient) for _ in range(MAX_IN_FLIGHT - 1))]
    assert isinstance(refusal, Reject)
    assert (refusal.frame_id, refusal.code) == (0, "deadline_exceeded")
    assert refusal.retry_after_s > 0
    assert refusal.load is not None
    assert refusal.load.in_flight > 1
    assert refusal.load.queue_s > 0
    assert refusals(answers) == []


def test_a_device_that_sends_all_it_can_does_not_keep_a_modest_one_from_being_answered(cluster: RunningCluster) -> None:
    option = heaviest(cluster)
    bitstream = option_bitstream(cluster.bundle, option)
    with open_stream(cluster, option, "modest") as modest, open_stream(cluster, option, "greedy") as greedy:
        send(greedy, bitstream, option, numbers=range(4 * MAX_IN_FLIGHT), budget_s=20.0)
        answers = []
        for number in range(4):
            send(modest, bitstream, option, numbers=range(number, number + 1), budget_s=20.0)
            answers.append(receive(modest))
        others = [receive(greedy) for _ in range(4 * MAX_IN_FLIGHT)]
    assert refusals(answers) == []
    # Nor is the greedy one refused, since there is time for all of it.
    assert refusals(others) == []


def test_the_signal_says_what_triton_and_the_machine_say(cluster: RunningCluster) -> None:
    option = heaviest(cluster)
    bitstream = option_bitstream(cluster.bundle, option)
    with open_stream(cluster, option, "watching") as socket:
        for number in range(2000):
            send(socket, bitstream, option, numbers=range(number, number + 1), budget_s=20.0)
            answer = receive(socket)
            assert isinstance(answer, Result)
            if answer.load.triton_compute_s > 0 and answer.load.node_utilisation > 0:
                break
    assert 0 < answer.load.triton_compute_s < 1
    assert 0 < answer.load.node_utilisation <= 1
