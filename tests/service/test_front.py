"""The HAProxy before Serve, real, before a small web server instead of Serve."""

import http.client
import os
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from made_certificates import Authority

from cluster.free_ports import free_ports
from serve_apps.front import Front
from wire.errors import SettingError

pytestmark = pytest.mark.service

WAIT_S = 20.0


class Hello(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def backend() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Hello) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def start(backend: int, tmp_path: Path) -> Iterator[Callable[..., int]]:
    fronts: list[Front] = []

    def started(tls: tuple[Path, Path] | None) -> int:
        (port,) = free_ports(1)
        folder = tmp_path / f"front-{port}"
        folder.mkdir()
        fronts.append(Front(folder, ("127.0.0.1", port), backend, tls))
        fronts[-1].start()
        return port

    yield started
    for front in fronts:
        front.stop()


def trusting(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authority.file)


def ask(port: int, context: ssl.SSLContext | None, path: str = "/v1/version") -> tuple[int, bytes]:
    if context is not None:
        connection: http.client.HTTPConnection = http.client.HTTPSConnection("localhost", port, context=context)
    else:
        connection = http.client.HTTPConnection("localhost", port)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def serial(port: int) -> int:
    from cryptography import x509

    return x509.load_pem_x509_certificate(ssl.get_server_certificate(("127.0.0.1", port)).encode()).serial_number


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def process_of(port: int) -> int:
    import psutil

    return next(
        child.pid
        for child in psutil.Process().children()
        if child.name() == "haproxy" and any(c.laddr.port == port for c in child.net_connections("tcp"))
    )


def test_tls_ends_at_the_front_and_what_serve_says_of_itself_stays_inside(
    start: Callable[..., int], authority: Authority
) -> None:
    files = authority.vouch_for("localhost")
    port = start((files.certificate, files.key))
    assert ask(port, trusting(authority)) == (200, b"hello")
    assert ask(port, trusting(authority), "/-/routes")[0] == 404
    with pytest.raises(OSError):  # noqa: PT011  (a reset or an empty answer, by chance)
        ask(port, None)


def test_nothing_older_than_tls_1_2_is_spoken(start: Callable[..., int], authority: Authority) -> None:
    files = authority.vouch_for("localhost")
    port = start((files.certificate, files.key))
    old = trusting(authority)
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError):
        ask(port, old)


def test_the_certificates_key_is_readable_by_its_user_alone(
    start: Callable[..., int], authority: Authority, tmp_path: Path
) -> None:
    files = authority.vouch_for("localhost")
    port = start((files.certificate, files.key))
    assert (tmp_path / f"front-{port}" / "front.pem").stat().st_mode & 0o777 == 0o600


def test_a_renewed_certificate_is_taken_without_cutting_what_is_open(
    start: Callable[..., int], authority: Authority
) -> None:
    files = authority.vouch_for("localhost")
    port = start((files.certificate, files.key))
    before = serial(port)
    context = trusting(authority)
    with context.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname="localhost") as held:
        authority.vouch_for("localhost")
        until(lambda: serial(port) != before)
        held.sendall(b"GET /v1/version HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert held.recv(15) == b"HTTP/1.1 200 OK"


def test_a_spoilt_renewal_leaves_the_old_certificate_in_place(start: Callable[..., int], authority: Authority) -> None:
    files = authority.vouch_for("localhost")
    port = start((files.certificate, files.key))
    before = serial(port)
    files.certificate.write_text("nothing")
    time.sleep(2.5)
    assert serial(port) == before
    authority.vouch_for("localhost")
    until(lambda: serial(port) != before)


def test_a_front_that_is_killed_is_back_within_seconds(start: Callable[..., int]) -> None:
    port = start(None)
    killed = process_of(port)
    os.kill(killed, signal.SIGKILL)

    def is_back() -> bool:
        try:
            return ask(port, None)[0] == 200
        except OSError:
            return False

    until(is_back)
    assert process_of(port) != killed


def test_a_request_that_comes_byte_by_byte_is_given_up(start: Callable[..., int]) -> None:
    port = start(None)
    with socket.create_connection(("127.0.0.1", port)) as slow:
        slow.settimeout(WAIT_S)
        slow.sendall(b"GET /v1/version HTTP/1.1\r\nHost: ")
        begun = time.monotonic()
        assert slow.recv(20).startswith(b"HTTP/1.1 408")
        assert time.monotonic() - begun < WAIT_S


@pytest.mark.parametrize("fault", ["no file", "no certificate", "another's key"])
def test_a_certificate_that_is_none_stops_the_start_with_the_reason(
    start: Callable[..., int], authority: Authority, fault: str
) -> None:
    files = authority.vouch_for("localhost")
    key = files.key
    if fault == "no file":
        files.certificate.unlink()
    elif fault == "no certificate":
        files.certificate.write_text("nothing")
    else:
        key = authority.vouch_for("other").key
    with pytest.raises(SettingError) as caught:
        start((files.certificate, key))
    assert "PEM" in caught.value.mend


def test_a_port_that_is_taken_stops_the_start(backend: int, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"cannot be listened on|cannot listen"):
        Front(tmp_path, ("127.0.0.1", backend), backend, None).start()
