import numpy as np
import pytest
from PIL import Image

from cluster.training.views import Views, random_crop
from wire.errors import DataError

HEIGHT, WIDTH = 32, 24


@pytest.fixture
def flat(tmp_path):
    """Twelve pictures, each of one grey of its own."""
    paths = []
    for number in range(12):
        path = tmp_path / f"{number:02}.png"
        Image.new("L", (40, 50), 20 * number).save(path)
        paths.append(path)
    return paths


def views_of(paths, views=7, seed=0):
    return Views(paths, views, seed, height=HEIGHT, width=WIDTH)


def greys(frame):
    return set(np.unique(frame).tolist())


def test_a_frame_is_the_same_whenever_it_is_asked_for_and_another_with_another_seed(pictures):
    one, other = views_of(pictures), views_of(pictures, seed=1)
    for row in (0, 9, 30, 47):
        np.testing.assert_array_equal(one.frame(row), one.frame(row))
        assert one.frame(row).shape == (HEIGHT, WIDTH, 3)
        assert one.frame(row).dtype == np.uint8
    assert any((one.frame(row) != other.frame(row)).any() for row in range(8))


def test_rows_go_through_all_pictures_before_the_next_view(flat):
    views = views_of(flat)
    assert len(views) == 12 * 7
    assert [greys(views.frame(row)) for row in range(12, 24)] == [{20 * number} for number in range(12)]


def test_from_the_fourth_view_on_a_rectangle_of_the_picture_before_is_pasted_in(flat):
    views = views_of(flat)
    for view in range(5):
        for index in (0, 5):
            expected = {20 * index, 20 * ((index - 1) % 12)} if view >= 3 else {20 * index}
            assert greys(views.frame(12 * view + index)) == expected


def test_a_pasted_rectangle_takes_between_a_third_and_four_fifths_of_each_side(flat):
    views = views_of(flat)
    for view in (3, 4, 6):
        pasted = views.frame(12 * view + 5)[..., 0] == 80
        rows, columns = np.flatnonzero(pasted.any(axis=1)), np.flatnonzero(pasted.any(axis=0))
        assert pasted.sum() == len(rows) * len(columns)
        assert 70 / 224 * HEIGHT - 1 <= len(rows) <= 180 / 224 * HEIGHT
        assert 70 / 224 * WIDTH - 1 <= len(columns) <= 180 / 224 * WIDTH


def test_every_sixth_view_is_tinted(flat):
    views = views_of(flat, views=12)
    for view in range(12):
        frame = views.frame(12 * view + 6).astype(int)
        tinted = (frame[..., 0] != frame[..., 1]).any()
        assert tinted == (view in (5, 11))


def test_the_first_view_takes_more_of_the_picture_than_the_others(tmp_path):
    ramp = np.tile(np.arange(240, dtype=np.uint8), (240, 1))
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    views = views_of([tmp_path / "ramp.png"], views=3)
    spans = [int(np.ptp(views.frame(row))) for row in range(3)]
    assert 0.8 * 240 < spans[0] <= 240
    assert all(0.4 * 240 < span <= 240 for span in spans[1:])


def test_half_the_crops_are_mirrored():
    ramp = Image.fromarray(np.tile(np.arange(64, dtype=np.uint8), (64, 1)))
    random = np.random.default_rng(0)
    crops = [random_crop(ramp, random, (0.5, 1.0), height=16, width=16) for _ in range(200)]
    assert 70 < sum(int(crop[0, 0]) > int(crop[0, -1]) for crop in crops) < 130


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (3, 2)])
def test_a_tiny_picture_still_gives_a_frame(size):
    crop = random_crop(Image.new("RGB", size, (1, 2, 3)), np.random.default_rng(0), (0.5, 0.6), height=16, width=16)
    assert (crop == (1, 2, 3)).all()


def test_batches_keep_the_order_of_the_rows(flat):
    rows = np.array([5, 1, 1, 11, 0])
    batches = list(views_of(flat).batches(rows, 2))
    assert [len(batch) for batch in batches] == [2, 2, 1]
    assert [int(frame[0, 0, 0]) for batch in batches for frame in batch] == [100, 20, 20, 220, 0]


def test_a_broken_picture_is_replaced_by_the_next(flat):
    flat[3].write_bytes(b"no picture")
    assert greys(views_of(flat).frame(3)) == {80}


def test_a_set_of_which_more_than_a_tenth_is_broken_is_refused(flat):
    for path in flat[3:5]:
        path.write_bytes(b"no picture")
    with pytest.raises(DataError, match="more than a tenth"):
        list(views_of(flat).batches(np.arange(12), 4))
