"""The rival that Isthmus is measured against: Ray Serve as its tutorial shows it.

Default proxy, an ingress deployment, and a handle to a second deployment that answers with nothing. Owns nothing
else; a benchmark runs it as a process of its own.
"""

import sys
import threading
from contextlib import suppress

import click
import ray
from ray import serve
from ray.serve.handle import DeploymentHandle
from starlette.requests import Request


class Downstream:
    """The model of the tutorial, without a model."""

    def __call__(self, body: bytes) -> str:
        """Answer with the number of bytes."""
        return str(len(body))


class Ingress:
    """The ingress of the tutorial: reads the request and asks the second deployment."""

    def __init__(self, downstream: "DeploymentHandle[Downstream]") -> None:
        self._downstream = downstream

    async def __call__(self, request: Request) -> str:
        """Answer a POST."""
        return await self._downstream.remote(await request.body())


@click.command()
@click.option("--port", type=int, required=True)
def main(port: int) -> None:
    """Serve the tutorial's application on loopback until interrupted."""
    ray.init(address="local", include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1")
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    # The default of 5 ongoing requests would refuse most of a hundred clients.
    downstream = serve.deployment(max_ongoing_requests=200)(Downstream).bind()
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
