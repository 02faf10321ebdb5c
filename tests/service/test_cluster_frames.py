"""What a running cluster answers: real sockets, real Serve, real Triton."""

import http.client
import io
import json

import numpy as np
import psutil
import pytest
from conftest import RunningCluster
from PIL import Image
from websockets.sync.client import ClientConnection, connect

from loadtests.clips import clip_path
from serve_apps.readiness import option_bitstream
from wire.ids import BundleDigest, DeviceId, OptionId
from wire.manifest import Option
from wire.messages import Frame, Hello, Message, Reject, Result, Welcome, pack, unpack

pytestmark = pytest.mark.service


def served(cluster: RunningCluster) -> list[Option]:
    return [option for option in cluster.bundle.manifest.options if option.cluster_graph]


def frame_of(cluster: RunningCluster, option: Option) -> Frame:
    bitstream = option_bitstream(cluster.bundle, option)
    return Frame(frame_id=1, option_id=option.id, budget_s=20.0, bitstream=bitstream)


def stream(cluster: RunningCluster, point: str) -> ClientConnection:
    return connect(f"{cluster.url}/v1/points/{point}/stream", compression=None, proxy=None)


def hello(cluster: RunningCluster) -> bytes:
    return pack(Hello(DeviceId("test"), "test", cluster.bundle.digest))


def exchange(socket: ClientConnection, message: bytes) -> Message:
    socket.send(message)
    data = socket.recv(timeout=20)
    assert isinstance(data, bytes)
    return unpack(data)


def post(cluster: RunningCluster, path: str, body: bytes, kind: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", cluster.port, timeout=30)
    try:
        connection.request("POST", path, body, {"Content-Type": kind})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def get(cluster: RunningCluster, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", cluster.port, timeout=30)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def picture_of_the_clip() -> Image.Image:
    import av

    with av.open(str(clip_path("bikes"))) as container:
        return next(container.decode(video=0)).to_image()


def test_there_are_four_interior_points_and_both_ends(cluster: RunningCluster) -> None:
    points = cluster.bundle.points
    assert points[0] == "input"
    assert points[-1] == "output"
    assert len(points) >= 6


def test_every_option_answers_a_frame_over_its_stream(cluster: RunningCluster) -> None:
    for option in served(cluster):
        with stream(cluster, option.point) as socket:
            assert isinstance(exchange(socket, hello(cluster)), Welcome)
            result = exchange(socket, pack(frame_of(cluster, option)))
            assert isinstance(result, Result), option.point
            assert result.frame_id == 1
            assert len(result.labels) == 5
            assert result.load.point == option.point
            assert 0 < result.timings.compute_s <= result.timings.total_s


def test_the_tails_run_in_a_real_triton(cluster: RunningCluster) -> None:
    children = psutil.Process(cluster.process_id).children(recursive=True)
    assert [child for child in children if child.name() == "tritonserver"]
    models = [child for child in children if child.name().startswith("triton_python_b")]
    assert len(models) == len({option.cluster_graph for option in served(cluster)})


def test_frames_sent_together_are_answered_in_batches(cluster: RunningCluster) -> None:
    option = served(cluster)[-1]
    bitstream = option_bitstream(cluster.bundle, option)
    frames = [Frame(frame_id=n, option_id=option.id, budget_s=20.0, bitstream=bitstream) for n in range(24)]
    with stream(cluster, option.point) as socket:
        exchange(socket, hello(cluster))
        for frame in frames:
            socket.send(pack(frame))
        results = [unpack(bytes(socket.recv(timeout=20))) for _ in range(24)]  # type: ignore[arg-type]
    assert sorted(result.frame_id for result in results if isinstance(result, Result)) == list(range(24))
    assert max(result.batch_size for result in results if isinstance(result, Result)) > 1


def test_a_posted_picture_comes_back_as_labels(cluster: RunningCluster) -> None:
    buffer = io.BytesIO()
    picture_of_the_clip().save(buffer, "PNG")
    status, body = post(cluster, "/v1/points/input/frame", buffer.getvalue(), "image/png")
    assert status == 200
    labels = json.loads(body)["labels"]
    assert len(labels) == 5
    assert labels[0]["score"] >= labels[-1]["score"] > 0


def test_a_posted_frame_comes_back_as_a_result(cluster: RunningCluster) -> None:
    option = served(cluster)[1]
    message = pack(frame_of(cluster, option))
    status, body = post(cluster, f"/v1/points/{option.point}/frame", message, "application/msgpack")
    assert status == 200
    assert isinstance(unpack(body), Result)


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/v1/points/input/frame", b"not a picture", 422, "bad_picture"),
        ("/v1/points/blocks.99/frame", b"", 404, "unknown_point"),
        ("/v1/points/input/frame", b"\0" * (21 * 2**20), 413, "message_too_large"),
    ],
)
def test_a_bad_post_gets_its_own_error(cluster: RunningCluster, path: str, body: bytes, status: int, code: str) -> None:
    answered, said = post(cluster, path, body, "image/jpeg")
    assert answered == status
    assert json.loads(said)["code"] == code


def test_a_stream_refuses_what_it_does_not_understand_and_serves_others(cluster: RunningCluster) -> None:
    option = served(cluster)[1]
    good = pack(frame_of(cluster, option))
    with stream(cluster, option.point) as well:
        exchange(well, hello(cluster))
        for bad, code in (
            (b"\xc1 garbage", "malformed_message"),
            (pack(Hello(DeviceId("x"), "x", BundleDigest("0" * 64))), "wrong_bundle"),
            (good, "malformed_message"),  # a frame before the hello
        ):
            with stream(cluster, option.point) as socket:
                answer = exchange(socket, bad)
                assert isinstance(answer, Reject)
                assert answer.code == code
        assert isinstance(exchange(well, good), Result)


def test_a_bad_frame_is_rejected_and_the_stream_goes_on(cluster: RunningCluster) -> None:
    option = served(cluster)[1]
    frame = frame_of(cluster, option)
    flipped = bytearray(frame.bitstream)
    flipped[-1] ^= 1
    with stream(cluster, option.point) as socket:
        exchange(socket, hello(cluster))
        for bad, code in (
            (Frame(frame_id=7, option_id=option.id, budget_s=5.0, bitstream=bytes(flipped)), "corrupt_bitstream"),
            (Frame(frame_id=7, option_id=OptionId(999), budget_s=5.0, bitstream=b""), "unknown_option"),
            (Frame(frame_id=7, option_id=option.id, budget_s=0.0, bitstream=frame.bitstream), "deadline_exceeded"),
        ):
            answer = exchange(socket, pack(bad))
            assert isinstance(answer, Reject)
            assert (answer.frame_id, answer.code) == (7, code)
        assert isinstance(exchange(socket, pack(frame)), Result)


def test_the_control_application_says_who_it_is_and_how_it_stands(cluster: RunningCluster) -> None:
    status, body = get(cluster, "/v1/version")
    assert (status, json.loads(body)["bundle"]) == (200, cluster.bundle.digest)
    status, body = get(cluster, "/v1/load")
    points = {signal["point"] for signal in json.loads(body)["points"]}
    assert points == {option.point for option in served(cluster)}
    status, body = get(cluster, "/v1/healthz")
    assert (status, json.loads(body)["ready"]) == (200, True)


def test_bundles_are_fetched_by_digest_and_nothing_else_is(cluster: RunningCluster) -> None:
    prefix = f"/v1/bundle/{cluster.bundle.digest}"
    status, body = get(cluster, f"{prefix}/manifest.json")
    assert (status, body) == (200, (cluster.bundle.directory / "manifest.json").read_bytes())
    assert get(cluster, f"{prefix}/files/labels.txt")[0] == 200
    assert get(cluster, f"{prefix}/files/..%2f..%2fetc%2fpasswd")[0] == 404
    assert get(cluster, f"/v1/bundle/{'0' * 64}/manifest.json")[0] == 409


def test_split_and_whole_agree_on_a_clear_picture(cluster: RunningCluster) -> None:
    """The test picture is no photograph, so this one takes a frame of the clip through every option."""
    import onnxruntime

    from cluster.pictures import centre_crop

    pixels = centre_crop(picture_of_the_clip(), resize=256, height=224, width=224)
    whole = cluster.bundle.manifest.options[-1]
    assert whole.device_graph
    session = onnxruntime.InferenceSession(cluster.bundle.directory / whole.device_graph)
    wanted = int(np.argmax(session.run(None, {"pixels": pixels[None]})[0]))
    agreeing = 0
    for option in served(cluster):
        if option.device_graph is None:
            continue
        head = onnxruntime.InferenceSession(cluster.bundle.directory / option.device_graph)
        symbols = head.run(None, {"pixels": pixels[None]})[0][0]
        bitstream = cluster.bundle.coding(option).encode(symbols)
        frame = Frame(frame_id=1, option_id=option.id, budget_s=20.0, bitstream=bitstream)
        _, body = post(cluster, f"/v1/points/{option.point}/frame", pack(frame), "application/msgpack")
        result = unpack(body)
        assert isinstance(result, Result)
        agreeing += wanted in result.labels
    assert agreeing >= 2
