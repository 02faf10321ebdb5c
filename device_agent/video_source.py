"""Frames from a video file, a camera or an RTSP stream, through PyAV, which also scales them."""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import av
import numpy as np

from device_agent.pacing import Pacer
from device_agent.sources import Pixels, SourceFrame, SourceSpec, crop_centre, scaled_size
from wire.errors import SourceError
from wire.manifest import Input

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame

_OPEN_TIMEOUT_S: Final = 5.0
_READ_TIMEOUT_S: Final = 5.0
_MENDS: Final = {
    "file": "play it with another program to see if it is a whole video file",
    "camera": "see that the camera is plugged in and that this user may read it (group video)",
    "rtsp": "see that the address, the user and the password are right and that the camera answers",
    "folder": "",
}


class VideoSource:
    """Decodes one video stream and keeps the frames that the pacing asks for."""

    def __init__(self, spec: SourceSpec, *, fps: float, endless: bool) -> None:
        self._spec = spec
        self._fps = fps
        self._endless = endless and not spec.is_live

    def frames(self, expected: Input) -> Iterator[SourceFrame]:
        """Yield the paced frames; raises SourceError if the stream cannot be opened or holds no frame."""
        pacer = Pacer(self._fps)
        while True:
            count = 0
            for frame in self._played_once(expected, pacer):
                count += 1
                yield frame
            if count == 0:
                raise self._error("has no frames")
            if not self._endless:
                return
            pacer.restart()

    def _played_once(self, expected: Input, pacer: Pacer) -> Iterator[SourceFrame]:
        try:
            with self._open() as container:
                for media_s, frame in self._decoded(container):
                    due_s = pacer.due(media_s)
                    if due_s is not None:
                        # Of a live source the camera says when a frame is due.
                        live_s = time.monotonic() if self._spec.is_live else due_s
                        yield SourceFrame(live_s, _pixels(frame, expected))
        except (av.FFmpegError, OSError, ValueError) as error:
            raise self._error(f"cannot be read: {error}") from error

    def _open(self) -> "InputContainer":
        options = {"rtsp_transport": "tcp"} if self._spec.kind == "rtsp" else {}
        form = "v4l2" if self._spec.kind == "camera" else None
        timeout = None if self._spec.kind == "file" else (_OPEN_TIMEOUT_S, _READ_TIMEOUT_S)
        return av.open(self._spec.location, format=form, options=options, timeout=timeout)

    def _decoded(self, container: "InputContainer") -> Iterator[tuple[float, "VideoFrame"]]:
        if not container.streams.video:
            raise self._error("has no video stream")
        stream = container.streams.video[0]
        # One thread: decoding must not take the cores that the head needs.
        stream.codec_context.thread_count = 1
        rate = float(stream.average_rate or 25)
        first_s: float | None = None
        for index, frame in enumerate(container.decode(stream)):
            shown_s = frame.time if frame.time is not None else index / rate
            first_s = shown_s if first_s is None else first_s
            yield shown_s - first_s, frame

    def _error(self, what: str) -> SourceError:
        spec = self._spec
        return SourceError(f"the {spec.kind} {spec.location!r} {what}", mend=_MENDS[spec.kind])


def _pixels(frame: "VideoFrame", expected: Input) -> Pixels:
    width, height = scaled_size(frame.width, frame.height, expected)
    scaled = frame.reformat(width=width, height=height, format="rgb24", interpolation="BILINEAR")
    return crop_centre(scaled.to_ndarray().astype(np.uint8, copy=False), expected)
