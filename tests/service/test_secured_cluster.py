"""A whole cluster that asks for tokens and speaks TLS, and what comes to it: real certificates, processes, sockets."""

import asyncio
import http.client
import json
import os
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import START_TIMEOUT_S, agent, isthmus
from doctor_run import Examined, examined
from made_certificates import Authority
from test_agent_tiny_cluster import write_pictures
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from cluster.bundles.synthetic import SYNTHETIC_POINT, write_synthetic
from cluster.free_ports import free_ports
from loadtests.child import Child
from serve_apps.readiness import option_bitstream
from wire.bundle import Bundle
from wire.ids import DeviceId
from wire.messages import Frame, Hello, Message, Reject, Result, Welcome, pack, unpack

pytestmark = pytest.mark.service

CONFIG = """\
bundle: bundle
tail: {{kind: onnxruntime}}
security: {{tokens: tokens, tls_cert: {certificate}, tls_key: {key}}}
limits: {{connections: 4, bytes_s: 1000000, silent_s: 4}}
"""
STREAM = f"/v1/points/{SYNTHETIC_POINT}/stream"
FRAME = f"/v1/points/{SYNTHETIC_POINT}/frame"


@dataclass(frozen=True)
class Secured:
    bundle: Bundle
    folder: Path
    port: int
    process: psutil.Process
    authority: Authority
    log: Path

    @property
    def url(self) -> str:
        return f"wss://localhost:{self.port}"

    @property
    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.authority.file)

    def token(self, *words: str) -> dict[str, Any]:
        return token_command(self.folder, "create", *words, "--json")

    def revoke(self, token_id: str) -> None:
        command = isthmus("token", "revoke", token_id, "--tokens", str(self.folder / "tokens"))
        subprocess.run(command, check=True, capture_output=True)

    def stream(self, token: str | None) -> connect:
        # Not websockets' client with threads: one reads while another writes, which the TLS of CPython 3.11 takes ill.
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return connect(
            self.url + STREAM, ssl=self.context, compression=None, proxy=None, additional_headers=headers,
            max_size=None,
        )  # fmt: skip

    def request(self, method: str, path: str, token: str | None, body: bytes | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPSConnection("localhost", self.port, context=self.context, timeout=30)
        try:
            headers = {} if token is None else {"Authorization": f"Bearer {token}"}
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def hello(self, device: str) -> bytes:
        return pack(Hello(DeviceId(device), "test", self.bundle.digest))

    def frame(self, number: int, *, more: bytes = b"") -> bytes:
        option = next(option for option in self.bundle.manifest.options if option.cluster_graph)
        bitstream = option_bitstream(self.bundle, option) + more
        return pack(Frame(frame_id=number, option_id=option.id, budget_s=20.0, bitstream=bitstream))


def token_command(folder: Path, *words: str) -> dict[str, Any]:
    command = isthmus("token", *words, "--tokens", str(folder / "tokens"))
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    made: dict[str, Any] = json.loads(done.stdout)
    return made


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("secured")
    authority = Authority(folder)
    files = authority.vouch_for("localhost")
    bundle = write_synthetic(folder / "bundle")
    token_command(folder, "create", "nobody", "--json")
    (folder / "cluster.yaml").write_text(CONFIG.format(certificate=files.certificate, key=files.key))
    (port,) = free_ports(1)
    log = folder / "up.log"
    with Child(
        isthmus("up", "--config", str(folder / "cluster.yaml"), "--port", str(port), "--json"), log=log
    ) as child:
        ready = child.wait_for("cluster.ready", timeout_s=START_TIMEOUT_S)
        assert ready["url"] == f"wss://127.0.0.1:{port}"
        process = psutil.Process(child.process.pid)
        started = process.children(recursive=True)
        yield Secured(bundle, folder, port, process, authority, log)
        child.stop()
    _, alive = psutil.wait_procs(started, timeout=20)
    assert not alive, f"the cluster left processes behind: {alive}"


@pytest.fixture(scope="module")
def camera(secured: Secured) -> str:
    """The token of the device camera-1."""
    token: str = secured.token("camera-1")["token"]
    return token


@pytest.fixture
def play(secured: Secured, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run an agent named camera-1 with a token over a few pictures."""
    pictures = write_pictures(tmp_path / "pictures", 4)

    def run(token: str | None, *words: str, url: str = "", ca: Path | None = secured.authority.file) -> Any:
        access = ["--ca", str(ca)] if ca is not None else []
        if token is not None:
            (tmp_path / "token").write_text(token + "\n")
            access += ["--token-file", str(tmp_path / "token")]
        command = agent(
            "--server", url or secured.url, "--source", str(pictures), "--cache", str(tmp_path / "cache"), "--json",
            "--fps", "0", "--frames", "6", "--policy", f"fixed:{SYNTHETIC_POINT}", "--deadline-ms", "5000",
            "--device-id", "camera-1", *access, *words,
        )  # fmt: skip
        environment = {name: value for name, value in os.environ.items() if name != "ISTHMUS_TOKEN"}
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)

    return run


def frames(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    events = [json.loads(line) for line in done.stdout.splitlines()]
    return [event for event in events if event["event"] == "frame"]


async def heard(socket: ClientConnection) -> Message:
    async with asyncio.timeout(20):
        data = await socket.recv()
    assert isinstance(data, bytes)
    return unpack(data)


async def refused(socket: ClientConnection, code: str) -> Reject:
    reject = await heard(socket)
    assert isinstance(reject, Reject)
    assert (reject.frame_id, reject.code) == (None, code)
    with pytest.raises(ConnectionClosed):
        await heard(socket)
    return reject


def test_an_agent_with_its_token_is_answered_by_the_cluster(secured: Secured, camera: str, play: Any) -> None:
    done = play(camera)
    assert done.returncode == 0, done.stderr
    assert [frame["where"] for frame in frames(done)] == ["cluster"] * 6


@pytest.mark.parametrize(
    ("who", "code", "words"),
    [
        ("nobody", 14, "asks for a token"),
        ("a forger", 14, "signature is not this cluster's"),
        ("one whose time is over", 14, "'camera-1' has expired"),
        ("one who was sent away", 14, "'camera-1' was revoked"),
        ("another device", 15, "--device-id camera-2"),
    ],
)
def test_an_agent_without_its_good_token_says_why_it_is_not_let_in(
    secured: Secured, camera: str, play: Any, who: str, code: int, words: str
) -> None:
    if who == "nobody":
        token = None
    elif who == "a forger":
        token = camera[:-4] + ("AAAA" if camera[-4:] != "AAAA" else "BBBB")
    elif who == "another device":
        token = secured.token("camera-2")["token"]
    else:
        made = secured.token("camera-1", "--days", "0.00003" if who == "one whose time is over" else "1")
        token = made["token"]
        if who == "one who was sent away":
            secured.revoke(made["id"])
        time.sleep(3.5)
    done = play(token)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "mend:" in done.stderr
    assert token is None or token.rpartition(".")[2] not in done.stderr + done.stdout


def test_an_agent_whose_token_is_revoked_goes_on_alone(secured: Secured, play: Any) -> None:
    made = secured.token("camera-1")
    revoker = subprocess.Popen(
        [sys.executable, "-c", "import sys, time; time.sleep(5); from cluster.cli.main import main; main()",
         "token", "revoke", made["id"], "--tokens", str(secured.folder / "tokens")],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    done = play(made["token"], "--fps", "10", "--frames", "120", "--deadline-ms", "1000")
    assert revoker.wait(20) == 0
    assert done.returncode == 0, done.stderr
    answered = frames(done)
    assert [frame["frame"] for frame in answered] == list(range(120))
    assert answered[0]["where"] == "cluster"
    assert {frame["where"] for frame in answered[-10:]} == {"device"}
    assert "refused:unauthorized" in {frame["fallback"] for frame in answered}


@pytest.mark.parametrize("fault", ["an unknown authority", "another name"])
def test_an_agent_does_not_speak_to_whom_it_cannot_trust(secured: Secured, camera: str, play: Any, fault: str) -> None:
    if fault == "another name":
        done = play(camera, url=f"wss://127.0.0.1:{secured.port}")
    else:
        done = play(camera, ca=Authority(secured.folder, "stranger").file)
    assert done.returncode == 22
    assert "certificate verify failed" in done.stderr
    assert "--ca" in done.stderr


def looked_at(secured: Secured, folder: Path, token: str | None, *, url: str = "", ca: Path | None = None) -> Examined:
    """Have the doctor look at the cluster as camera-1, with a token of a file."""
    words = ["--device-id", "camera-1", "--ca", str(ca or secured.authority.file)]
    if token is not None:
        (folder / "token").write_text(token + "\n")
        words += ["--token-file", str(folder / "token")]
    return examined(url or secured.url, folder / "cache", *words)


def test_the_doctor_with_a_good_token_finds_all_well_but_a_certificate_that_expires_tomorrow(
    secured: Secured, camera: str, tmp_path: Path
) -> None:
    found = looked_at(secured, tmp_path, camera)
    assert found.code == 0, found.text
    assert found.verdicts("load", "tls") == dict.fromkeys(
        ("reachable", "cluster", "clock", "token", "digest", "bundle", "frame"), "ok"
    )
    assert found.one("tls")["verdict"] == "warn"
    assert "the certificate expires in 1.0 days" in found.one("tls")["sentence"]
    assert found.one("token")["sentence"] == "the cluster takes the token, as that of camera-1"


def test_the_doctor_says_what_is_wrong_with_a_token_and_never_the_token(
    secured: Secured, camera: str, tmp_path: Path
) -> None:
    expired = secured.token("camera-1", "--days", "0.00003")["token"]
    revoked = secured.token("camera-1")
    secured.revoke(revoked["id"])
    time.sleep(3.5)
    cases = {
        None: "the cluster asks for a token, and none is given",
        camera[:-4] + ("AAAA" if camera[-4:] != "AAAA" else "BBBB"): "the token's signature is not this cluster's",
        expired: "the token of 'camera-1' has expired",
        revoked["token"]: "the token of 'camera-1' was revoked",
        secured.token("camera-2")["token"]: "the token is that of 'camera-2', not of 'camera-1'",
    }
    for token, sentence in cases.items():
        found = looked_at(secured, tmp_path, token)
        assert found.code == 1
        assert sentence in found.one("token")["sentence"]
        assert found.one("token")["mend"]
        assert found.verdicts("tls") == {
            **dict.fromkeys(("reachable", "cluster", "clock", "digest"), "ok"),
            "token": "fail",
            **dict.fromkeys(("bundle", "load", "frame"), "skipped"),
        }
        assert token is None or token.rpartition(".")[2] not in found.text


def test_the_doctor_says_what_is_wrong_with_tls(secured: Secured, camera: str, tmp_path: Path) -> None:
    stranger = Authority(tmp_path, "stranger").file
    found = looked_at(secured, tmp_path, camera, ca=stranger)
    assert found.one("tls")["sentence"] == f"nobody in {stranger} vouches for the certificate of 'localhost'"
    found = looked_at(secured, tmp_path, camera, url=f"wss://127.0.0.1:{secured.port}")
    assert found.one("tls")["sentence"] == "the certificate is for another name than '127.0.0.1'"
    found = looked_at(secured, tmp_path, camera, url=f"ws://localhost:{secured.port}")
    assert found.one("cluster")["sentence"] == f"localhost:{secured.port} speaks TLS, and URL says that it does not"
    assert found.code == 1


@pytest.mark.parametrize(
    ("method", "path", "nobody", "device", "operator"),
    [
        ("GET", "/v1/version", 200, 200, 200),
        ("GET", "/v1/healthz", 200, 200, 200),
        ("GET", "/v1/load", 401, 200, 200),
        ("POST", FRAME, 401, 200, 200),
        ("POST", "/v1/nowhere", 401, 403, 404),
        ("DELETE", "/v1/load", 401, 403, 405),
        ("GET", "/-/routes", 404, 404, 404),
    ],
)
def test_who_may_ask_what_over_http(
    secured: Secured, camera: str, method: str, path: str, nobody: int, device: int, operator: int
) -> None:
    body = secured.frame(1) if path == FRAME else b""
    tokens = [None, camera, secured.token("ops", "--role", "operator")["token"]]
    kind = {"Content-Type": "application/msgpack"} if path == FRAME else {}
    statuses = []
    for token in tokens:
        connection = http.client.HTTPSConnection("localhost", secured.port, context=secured.context, timeout=30)
        headers = {**kind, **({"Authorization": f"Bearer {token}"} if token is not None else {})}
        connection.request(method, path, body, headers)
        statuses.append(connection.getresponse().status)
        connection.close()
    assert statuses == [nobody, device, operator]


def test_the_bundle_is_for_those_with_a_token(secured: Secured, camera: str) -> None:
    path = f"/v1/bundle/{secured.bundle.digest}/manifest.json"
    assert secured.request("GET", path, None)[0] == 401
    assert secured.request("GET", path, camera)[0] == 200


@pytest.mark.parametrize("token", [None, "isthmus1.a.b"])
async def test_a_stream_without_a_good_token_gets_a_status_and_a_reason(secured: Secured, token: str | None) -> None:
    with pytest.raises(InvalidStatus) as caught:
        await secured.stream(token)
    assert caught.value.response.status_code == 401
    assert json.loads(caught.value.response.body)["code"] == "unauthorized"


async def test_a_stream_in_anothers_name_is_refused(secured: Secured, camera: str) -> None:
    async with secured.stream(camera) as socket:
        await socket.send(secured.hello("camera-2"))
        assert "'camera-1', not of 'camera-2'" in (await refused(socket, "forbidden")).message


async def test_the_stream_of_a_revoked_token_is_cut_within_seconds_and_no_other(secured: Secured, camera: str) -> None:
    made = secured.token("camera-3")
    async with secured.stream(made["token"]) as socket, secured.stream(camera) as other:
        for stream, name in ((socket, "camera-3"), (other, "camera-1")):
            await stream.send(secured.hello(name))
            assert isinstance(await heard(stream), Welcome)
        secured.revoke(made["id"])
        begun = time.monotonic()
        assert "was revoked" in (await refused(socket, "unauthorized")).message
        assert time.monotonic() - begun < 4
        await other.send(secured.frame(1))
        assert isinstance(await heard(other), Result)


async def test_a_silent_stream_is_cut(secured: Secured, camera: str) -> None:
    async with secured.stream(camera) as socket:
        await socket.send(secured.hello("camera-1"))
        await heard(socket)
        assert "no message within 4 s" in (await refused(socket, "deadline_exceeded")).message


async def test_one_connection_too_many_is_refused(secured: Secured) -> None:
    token = secured.token("camera-4")["token"]
    async with AsyncExitStack() as stack:
        for _ in range(4):
            await stack.enter_async_context(secured.stream(token))
        with pytest.raises(InvalidStatus) as caught:
            await secured.stream(token)
        assert caught.value.response.status_code == 429


async def test_a_message_over_our_size_ends_the_stream(secured: Secured, camera: str) -> None:
    async def flood(socket: ClientConnection) -> None:
        await socket.send(b"\0" * 2**21)
        await heard(socket)

    async with secured.stream(camera) as socket:
        await socket.send(secured.hello("camera-1"))
        await heard(socket)
        with pytest.raises(ConnectionClosed) as caught:
            await flood(socket)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1009


async def test_a_flood_is_held_up_at_its_sender_and_does_not_pile_up_in_the_replica(secured: Secured) -> None:
    """At 1 MB/s allowed, 100 MB would take minutes; where the replica took all that comes, a second."""
    token = secured.token("camera-5")["token"]
    replicas = [child for child in secured.process.children(recursive=True) if "ServeReplica" in child.name()]
    before = sum(replica.memory_info().rss for replica in replicas)
    message = secured.frame(1, more=b"\0" * 900_000)
    sent = 0
    async with secured.stream(token) as socket:
        await socket.send(secured.hello("camera-5"))
        with suppress(TimeoutError, ConnectionClosed):
            async with asyncio.timeout(4):
                while sent < 100 * 2**20:
                    await socket.send(message)
                    sent += len(message)
        grown = sum(replica.memory_info().rss for replica in replicas) - before
        socket.transport.abort()
    assert replicas
    assert 10**6 < sent < 40 * 2**20
    assert grown < 40 * 2**20


def test_no_token_and_no_key_stands_in_a_process_list_or_a_log(secured: Secured, camera: str, play: Any) -> None:
    play(camera, "--verbose")
    secrets = [camera.rpartition(".")[2], (secured.folder / "tokens" / "key").read_bytes().hex()]
    processes = [secured.process, *secured.process.children(recursive=True)]
    lines = [" ".join(process.cmdline()) for process in processes]
    raylet = next(words for words in lines if "raylet/raylet" in words or "--session_dir=" in words)
    session = next(word.partition("=")[2] for word in raylet.split() if word.startswith("--session_dir="))
    logs = [path for path in Path(session, "logs").rglob("*") if path.is_file()]
    assert logs
    texts = [*lines, secured.log.read_text(), *(path.read_text(errors="replace") for path in logs)]
    for secret in secrets:
        assert not [text[:200] for text in texts if secret in text]


def test_ray_itself_lets_nobody_in_without_its_secret(secured: Secured) -> None:
    lines = [" ".join(child.cmdline()) for child in secured.process.children(recursive=True)]
    raylet = next(words for words in lines if "--gcs-address=" in words)
    address = next(word.partition("=")[2] for word in raylet.split() if word.startswith("--gcs-address="))
    front = next(words for words in lines if words.endswith("front.cfg"))
    secret = Path(front.split()[-1]).with_name("ray-secret")
    code = f"import ray; ray.init(address={address!r}, log_to_driver=False); print('joined', len(ray.nodes()))"
    keys = (
        {"RAY_AUTH_MODE": "disabled"},
        {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64},
        {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(secret)},
    )
    joining = [
        subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env={**os.environ, **key, "RAY_USAGE_STATS_ENABLED": "0"},
        )
        for key in keys
    ]  # fmt: skip
    assert ["joined" in process.communicate(timeout=120)[0] for process in joining] == [False, False, True]
