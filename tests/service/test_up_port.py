import os
import socket

import pytest

from cluster.free_ports import free_ports
from serve_apps.local_cluster import check_port, exposed_listeners
from wire.errors import PortInUse

pytestmark = pytest.mark.service


@pytest.fixture
def listener():
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        opened.listen()
        yield opened


def test_a_port_that_is_taken_is_refused_with_the_name_of_its_holder(listener):
    port = listener.getsockname()[1]
    with pytest.raises(PortInUse, match=f"127.0.0.1:{port} is held by .*{os.getpid()}") as caught:
        check_port("127.0.0.1", port)
    assert "--port" in caught.value.mend


def test_a_free_port_is_taken_without_a_word_and_left_free():
    (port,) = free_ports(1)
    check_port("127.0.0.1", port)
    check_port("127.0.0.1", port)


def test_free_ports_are_all_different():
    ports = free_ports(20)
    assert len(set(ports)) == 20


def test_a_listener_on_loopback_is_not_exposed_and_one_on_every_interface_is(listener):
    assert not any(str(listener.getsockname()[1]) in name for name in exposed_listeners())
    with socket.socket() as wide:
        wide.bind(("0.0.0.0", 0))
        wide.listen()
        assert any(name.endswith(f":{wide.getsockname()[1]}") for name in exposed_listeners())
