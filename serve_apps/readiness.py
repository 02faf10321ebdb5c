"""Whether a cluster answers: a real frame through every option, over the front door, as an agent would send it.

Owns the test frame. Imports no Ray.
"""

import http.client
import time
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cluster.onnx_graph import Graph
from serve_apps.tail_web import FRAME_TYPE
from wire.bundle import Bundle
from wire.errors import ClusterUnreachable, IsthmusError, MalformedMessage
from wire.manifest import Option
from wire.messages import Frame, Reject, Result, error_from, pack, unpack

ANSWER_TIMEOUT_S: Final = 30.0
RETRY_S: Final = 0.1


def probe_option(
    bundle: Bundle, option: Option, address: tuple[str, int], *, timeout_s: float, token: str | None = None
) -> Result:
    """Post one frame until it is answered; ``token`` is an operator's, where tokens are asked for.

    Raises:
        ClusterUnreachable: no answer came in time; the last error is its cause.
    """
    body = pack(
        Frame(frame_id=0, option_id=option.id, budget_s=ANSWER_TIMEOUT_S, bitstream=option_bitstream(bundle, option))
    )
    until = time.monotonic() + timeout_s
    while True:
        try:
            return _post(address, f"/v1/points/{option.point}/frame", body, token)
        except (OSError, http.client.HTTPException, IsthmusError) as error:
            if time.monotonic() > until:
                raise ClusterUnreachable(
                    f"the point {option.point} did not answer a frame within {timeout_s:.0f} s: {error}",
                    mend="read the replica's log in the session folder of Ray",
                ) from error
            time.sleep(RETRY_S)


def option_bitstream(bundle: Bundle, option: Option) -> bytes:
    """Make the bitstream of the test picture as a device does, with the option's own device graph if it has one."""
    pixels = test_picture(bundle.manifest.input.height, bundle.manifest.input.width)
    coding = bundle.coding(option)
    if option.device_graph is None:
        return coding.encode(pixels)
    return coding.encode(Graph(bundle.directory / option.device_graph).run(pixels[None])[0])


def test_picture(height: int, width: int) -> NDArray[np.uint8]:
    """Draw a picture with smooth and busy parts: uint8 (height, width, 3)."""
    y, x = np.mgrid[0:height, 0:width]
    red, green, blue = x * 255 // width, y * 255 // height, (x // 8 + y // 8) % 2 * 255
    return np.stack([red, green, blue], axis=2).astype(np.uint8)


def _post(address: tuple[str, int], path: str, body: bytes, token: str | None) -> Result:
    connection = http.client.HTTPConnection(*address, timeout=ANSWER_TIMEOUT_S)
    try:
        headers = {"Content-Type": FRAME_TYPE, **({"Authorization": f"Bearer {token}"} if token is not None else {})}
        connection.request("POST", path, body, headers)
        answer = unpack(connection.getresponse().read())
    finally:
        connection.close()
    if isinstance(answer, Reject):
        raise error_from(answer)
    if not isinstance(answer, Result):
        raise MalformedMessage(f"a {type(answer).__name__} is no answer to a frame")
    return answer
