import io

import numpy as np
import pytest
from PIL import Image

from cluster import pictures
from cluster.pictures import centre_crop, open_picture
from cluster.training.pictures import LabelledPicture, find_labelled, find_pictures
from wire.errors import BadPicture, DataError


def encoded(picture, form="PNG"):
    buffer = io.BytesIO()
    picture.save(buffer, form)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("mode", "form"),
    [("L", "PNG"), ("RGBA", "PNG"), ("P", "PNG"), ("1", "PNG"), ("I;16", "PNG"), ("RGBA", "WEBP"), ("CMYK", "JPEG")],
)
def test_a_picture_of_any_mode_becomes_rgb(mode, form):
    data = encoded(Image.new(mode, (5, 4)), form)
    opened = open_picture(io.BytesIO(data))
    assert (opened.mode, opened.size) == ("RGB", (5, 4))


@pytest.mark.parametrize(
    "data",
    [b"", b"no picture", encoded(Image.new("RGB", (64, 64)), "JPEG")[:200], encoded(Image.new("RGB", (64, 64)))[:60]],
    ids=["empty", "text", "half a JPEG", "half a PNG"],
)
def test_what_does_not_decode_is_refused(data):
    with pytest.raises(BadPicture, match="does not decode") as caught:
        open_picture(io.BytesIO(data))
    assert caught.value.mend


def test_a_missing_file_is_refused_by_its_name(tmp_path):
    with pytest.raises(BadPicture, match=r"gone\.png"):
        open_picture(tmp_path / "gone.png")


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(monkeypatch):
    monkeypatch.setattr(pictures, "MAX_PIXELS", 99)
    data = encoded(Image.new("RGB", (10, 10)))
    monkeypatch.setattr(Image.Image, "convert", None)
    with pytest.raises(BadPicture, match="10×10 pixels") as caught:
        open_picture(io.BytesIO(data))
    assert caught.value.mend


@pytest.mark.parametrize("size", [(256, 256), (300, 256), (256, 999), (32, 20), (1, 1), (1000, 3), (257, 255)])
def test_the_crop_has_the_size_that_the_backbone_takes_whatever_the_picture(size):
    crop = centre_crop(Image.new("RGB", size), resize=256, height=224, width=224)
    assert (crop.shape, crop.dtype) == ((224, 224, 3), np.uint8)


@pytest.mark.parametrize("upright", [False, True])
def test_the_crop_is_the_middle_of_the_picture(upright):
    picture = np.zeros((36, 60, 3), np.uint8)
    picture[:, 14:46] = 200
    picture = picture.swapaxes(0, 1).copy() if upright else picture
    crop = centre_crop(Image.fromarray(picture), resize=36, height=32, width=32)
    assert (crop == 200).all()


def test_pictures_are_found_at_any_depth_in_one_order_whatever_their_case(tmp_path):
    for name in ("b/z.JPG", "b/a.webp", "a.png", "notes.txt", "b/c/d.jpeg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = [path.relative_to(tmp_path).as_posix() for path in find_pictures(tmp_path)]
    assert found == ["a.png", "b/a.webp", "b/c/d.jpeg", "b/z.JPG"]


def test_a_folder_that_is_missing_or_without_pictures_is_refused_with_a_mend(tmp_path):
    for folder, said in ((tmp_path / "gone", "there is no folder"), (tmp_path, "no picture")):
        with pytest.raises(DataError, match=said) as caught:
            find_pictures(folder)
        assert caught.value.mend


def test_an_evaluation_set_is_read_with_its_labels(labelled):
    found = find_labelled(labelled)
    assert len(found) == 8
    assert found[5] == LabelledPicture(labelled / "images" / "5.png", 1)


@pytest.mark.parametrize(
    "listing",
    [None, "", "file,label\n", "file,class\n0.png,1\n", "file,label\n0.png,cat\n", "file,label\ngone.png,1\n"],
    ids=["missing", "empty", "no rows", "no labels", "a word for a label", "a missing picture"],
)
def test_a_malformed_evaluation_set_is_refused_with_a_mend(tmp_path, listing):
    (tmp_path / "images").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "images" / "0.png")
    if listing is not None:
        (tmp_path / "labels.csv").write_text(listing, encoding="utf-8")
    with pytest.raises(DataError, match=r"labels\.csv") as caught:
        find_labelled(tmp_path)
    assert caught.value.mend


def test_a_long_thin_picture_does_not_become_a_huge_one():
    crop = centre_crop(Image.new("RGB", (1, 65535), (10, 20, 30)), resize=256, height=224, width=224)

    assert crop.shape == (224, 224, 3)
    assert (crop == (10, 20, 30)).all()
