"""The rival that Isthmus is measured against: Ray Serve as its tutorial shows it.

Default proxy, an ingress deployment, and a handle to a second deployment that answers with nothing, or with the whole
network of a bundle. Owns nothing else; a benchmark runs it as a process of its own.
"""

import io
import sys
import threading
from contextlib import suppress
from pathlib import Path

import click
import numpy as np
import onnxruntime
import ray
from PIL import Image
from ray import serve
from ray.serve.handle import DeploymentHandle
from starlette.requests import Request


class Downstream:
    """The model of the tutorial, without a model."""

    def __call__(self, body: bytes) -> str:
        """Answer with the number of bytes."""
        return str(len(body))


class Network:
    """The model of the tutorial: decodes a picture and runs the whole network on it, one request at a time."""

    def __init__(self, graph: str) -> None:
        self._session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    def __call__(self, body: bytes) -> str:
        """Answer with the best class of a picture of the network's own size."""
        pixels = np.asarray(Image.open(io.BytesIO(body)).convert("RGB"))
        (probabilities,) = self._session.run(["probabilities"], {self._input: pixels[None]})
        return str(int(probabilities[0].argmax()))


class Ingress:
    """The ingress of the tutorial: reads the request and asks the second deployment."""

    def __init__(self, downstream: "DeploymentHandle[Downstream]") -> None:
        self._downstream = downstream

    async def __call__(self, request: Request) -> str:
        """Answer a POST."""
        return await self._downstream.remote(await request.body())


@click.command()
@click.option("--port", type=int, required=True)
@click.option(
    "--graph", type=click.Path(path_type=Path), help="The whole network, from uint8 pictures to probabilities."
)
def main(port: int, graph: Path | None) -> None:
    """Serve the tutorial's application on loopback until interrupted."""
    ray.init(address="local", include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1")
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    # The default of 5 ongoing requests would refuse most of a hundred clients.
    deployed = serve.deployment(max_ongoing_requests=200)
    downstream = deployed(Network).bind(str(graph.resolve())) if graph is not None else deployed(Downstream).bind()
    ingress = serve.deployment(max_ongoing_requests=200)(Ingress)
    serve.run(ingress.bind(downstream), name="tutorial", route_prefix="/")
    sys.stdout.write('{"event": "tutorial.ready"}\n')
    sys.stdout.flush()
    with suppress(KeyboardInterrupt):
        threading.Event().wait()
    serve.shutdown()  # type: ignore[no-untyped-call]
    ray.shutdown()


if __name__ == "__main__":
    main()
