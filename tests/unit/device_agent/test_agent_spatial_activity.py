import io
from itertools import islice, pairwise

import numpy as np
import pytest
from PIL import Image

from device_agent.option_costs import ACTIVITY_EXPONENT
from device_agent.sources import Pixels, open_source, parse_source
from device_agent.spatial_activity import spatial_activity
from loadtests.clips import clip_path
from wire.manifest import Input


def jpeg_bytes(pixels: Pixels) -> int:
    coded = io.BytesIO()
    Image.fromarray(pixels[0]).save(coded, "JPEG", quality=75)
    return len(coded.getvalue())


def test_a_plain_picture_has_none_and_stripes_have_all_of_their_steps() -> None:
    plain = np.full((1, 64, 64, 3), 200, np.uint8)
    assert spatial_activity(plain) == 0
    lying = plain.copy()
    lying[:, ::2] = 0
    assert spatial_activity(lying) == spatial_activity(lying.transpose(0, 2, 1, 3)) == pytest.approx(200)
    assert spatial_activity(np.bitwise_xor(lying, lying.transpose(0, 2, 1, 3))) == pytest.approx(400)


def test_a_picture_of_two_by_two_pixels_is_enough() -> None:
    assert spatial_activity(np.array([[[[0] * 3, [10] * 3], [[20] * 3, [0] * 3]]], np.uint8)) == 30


def test_sizes_of_a_clip_s_pictures_follow_it_through_changes_of_scene() -> None:
    source = open_source(parse_source(str(clip_path("bikes"))), fps=5.0, endless=True)
    frames = [frame.pixels for frame in islice(source.frames(Input(height=224, width=224, resize=256)), 60)]
    sizes, activity = [jpeg_bytes(frame) for frame in frames], [spatial_activity(frame) for frame in frames]
    as_before, as_scaled = [], []
    for (size, nxt), (of, of_next) in zip(pairwise(sizes), pairwise(activity), strict=True):
        as_before.append(abs(size / nxt - 1))
        as_scaled.append(abs(size * (of_next / of) ** ACTIVITY_EXPONENT / nxt - 1))
    assert max(as_before) > 0.5, "the clip has changes of scene, the last one where it begins again"
    assert max(as_scaled) < 0.2
    assert np.mean(as_scaled) < 0.5 * np.mean(as_before)
