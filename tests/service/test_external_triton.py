"""The Triton of the overlay ``gpu``: a real one, with the arguments of its container, kept as somebody else's."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from cluster.free_ports import free_ports
from cluster.kubernetes.manifest import manifest_from_plain
from cluster.kubernetes.plain import Plain
from cluster.kubernetes.render import render_folder
from cluster.kubernetes.rendering import rendering_of
from cluster.triton.client import TritonClient
from cluster.triton.external import ExternalServer, ExternalTriton
from cluster.triton.repository import ModelSpec
from cluster.triton.server import SHARED_MEMORY, find_triton, lay_out_backends, triton_environment
from serve_apps.triton_keeper import TritonKeeper
from serve_apps.triton_link import TritonLink
from serve_apps.triton_models import ModelUser
from wire.errors import TailFailed
from wire.tensor_form import TensorForm

pytestmark = [
    pytest.mark.service,
    pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed"),
]

OVERLAY = Path(__file__).parents[2] / "k8s" / "overlays" / "gpu"
KEY = "a key that nobody guesses"
FORM = TensorForm.symbols((1, 2, 2))
SPEC = ModelSpec(name="nothing", graph=None, form=FORM, classes=3, max_batch=4, backend="noop")
BATCH = np.zeros((2, 1, 2, 2), np.uint8)


@pytest.fixture(scope="module")
def container() -> Plain:
    """Triton's container, as the overlay renders."""
    rendering = rendering_of(map(manifest_from_plain, render_folder(OVERLAY)))
    containers = [one for pod in rendering.pods for _, one in pod.containers() if one.get("name") == "triton"]
    return containers[0]


class ContainersTriton:
    """The container's command as a process that may be killed and started again, at ports and folders of its own."""

    def __init__(self, container: Plain, folder: Path) -> None:
        self.grpc_port, self.http_port, metrics_port = free_ports(3)
        self.repository, self._log = folder / "models", folder / "triton.log"
        self.repository.mkdir()
        self._files = find_triton()
        told = {
            "/models": str(self.repository), "$(TRITON_KEY)": KEY, "-port=8001": f"-port={self.grpc_port}",
            "-port=8010": f"-port={self.http_port}", "-port=8002": f"-port={metrics_port}",
        }  # fmt: skip
        assert container["command"] == ["tritonserver"]
        words = [str(self._files.server)]
        for word in container["args"]:
            for shipped, ours in told.items():
                word = word.replace(shipped, ours)
            words.append(word)
        # The container has its backends where Triton looks, and a GPU.
        backends = lay_out_backends(self._files, folder / "backends")
        self._shared_prefix = f"isthmus-external-{self.grpc_port}-"
        shared = f"--backend-config=python,shm-region-prefix-name={self._shared_prefix}"
        self._command = [*words, f"--backend-directory={backends}", "--allow-gpu-metrics=false", shared]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, env=triton_environment(self._files), start_new_session=True
            )

    def kill(self) -> None:
        """End it with its models' processes and their memory, as a container ends."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            for region in SHARED_MEMORY.glob(f"{self._shared_prefix}*"):
                region.unlink(missing_ok=True)

    def external(self, key_file: Path | None) -> ExternalTriton:
        return ExternalTriton(address=f"127.0.0.1:{self.grpc_port}", repository=self.repository, key_file=key_file)

    def status(self, path: str, data: bytes | None = None) -> int:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}{path}", data=data, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code


@pytest.fixture(scope="module")
def triton(container: Plain, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContainersTriton]:
    running = ContainersTriton(container, tmp_path_factory.mktemp("external"))
    running.start()
    yield running
    running.kill()


@pytest.fixture
async def keeper(triton: ContainersTriton, tmp_path: Path) -> AsyncIterator[TritonKeeper]:
    key_file = tmp_path / "key"
    key_file.write_text(f"{KEY}\n")
    external = triton.external(key_file)
    server = ExternalServer(external)
    async with TritonKeeper(server, connect=lambda address: TritonClient(address, key=external.key())) as opened:
        yield opened


async def emptied(client: TritonClient) -> None:
    """Wait until no model is left: Triton answers before one is gone."""

    async def is_empty() -> bool:
        return not await client.loaded()

    await soon(is_empty, "no model is loaded")


async def counted(client: TritonClient) -> None:
    """Wait until a batch is counted: Triton answers before it counts."""

    async def has_counted() -> bool:
        return (await client.totals([SPEC.name])).batches > 0

    await soon(has_counted, "a batch is counted")


async def soon(holds: Callable[[], Awaitable[bool]], what: str) -> None:
    for _ in range(100):
        if await holds():
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"not so after ten seconds: {what}")


async def answered(link: TritonLink) -> None:
    """Ask again and again until there is an answer, as agents do."""
    for _ in range(600):
        try:
            assert (await link.infer(SPEC, BATCH)).shape == (2, 3)
            return
        except TailFailed:
            await asyncio.sleep(0.1)
    raise AssertionError("the model did not come back")


async def test_who_has_the_key_has_models_loaded_and_let_go(keeper: TritonKeeper) -> None:
    user = ModelUser.here("replica")
    await keeper.acquire(SPEC, user)
    async with TritonClient(await keeper.address(), key=KEY) as client:
        assert await client.loaded() == [SPEC.name]
        assert (await client.infer(SPEC, BATCH)).shape == (2, 3)
        await keeper.release(SPEC.name, user)
        await emptied(client)


@pytest.mark.parametrize("key", [None, "another key"])
async def test_who_has_not_runs_models_and_changes_nothing(keeper: TritonKeeper, key: str | None) -> None:
    await keeper.acquire(SPEC, ModelUser.here("replica"))
    async with TritonClient(await keeper.address(), key=key) as client:
        assert (await client.infer(SPEC, BATCH)).shape == (2, 3)
        await counted(client)
        for change in (client.load, client.unload):
            with pytest.raises(TailFailed, match="restricted"):
                await change(SPEC.name)
        with pytest.raises(TailFailed, match="restricted"):
            await client.loaded()


async def test_the_probes_are_answered_and_nothing_else_by_http(
    keeper: TritonKeeper, triton: ContainersTriton, container: Plain
) -> None:
    for probe in ("startupProbe", "livenessProbe"):
        assert triton.status(container[probe]["httpGet"]["path"]) == 200
    assert triton.status("/v2/models/nothing/infer", b"{}") == 403
    assert triton.status("/v2/repository/index", b"{}") == 403


async def test_what_a_keeper_before_left_loaded_is_let_go(keeper: TritonKeeper, triton: ContainersTriton) -> None:
    await keeper.acquire(SPEC, ModelUser.here("replica"))
    server = ExternalServer(triton.external(None))
    async with (
        TritonClient(await keeper.address(), key=KEY) as client,
        TritonKeeper(server, connect=lambda address: TritonClient(address, key=KEY)),
    ):
        await emptied(client)


async def test_one_that_was_started_again_gets_back_the_models_that_are_in_use(
    keeper: TritonKeeper, triton: ContainersTriton
) -> None:
    async with TritonLink(keeper, ModelUser.here("replica")) as link:
        await link.acquire(SPEC)
        assert (await link.infer(SPEC, BATCH)).shape == (2, 3)
        triton.kill()
        with pytest.raises(TailFailed):
            await link.infer(SPEC, BATCH)
        assert link.away
        triton.start()
        await answered(link)


async def test_one_that_forgot_before_anybody_looked_gets_back_what_is_asked_of_it(
    keeper: TritonKeeper, triton: ContainersTriton
) -> None:
    async with TritonLink(keeper, ModelUser.here("replica")) as link:
        await link.acquire(SPEC)
        async with TritonClient(await keeper.address(), key=KEY) as client:
            await client.unload(SPEC.name)
            await emptied(client)
        with pytest.raises(TailFailed):
            await link.infer(SPEC, BATCH)
        await answered(link)
