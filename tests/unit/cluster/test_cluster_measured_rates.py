from dataclasses import replace

import pytest

from cluster.codecs.measured_rates import load_measured, save_measured
from cluster.codecs.weights import CodecKey
from wire.errors import CheckpointError
from wire.manifest import Measured

KEY = CodecKey("net", "blocks.3", "bottlenet", "c4-s2")
MEASURED = Measured(
    dataset="pictures", pictures=8, top1=0.5, top1_drop=0.125, top5=0.75, top5_drop=0.0, agreement=0.75,
    bytes_mean=99.5, bytes_p95=120.0,
)  # fmt: skip


def test_measurements_are_read_back_by_rate_for_what_they_were_taken_of(tmp_path):
    rates = {"huffman": MEASURED, "jpeg-q75": replace(MEASURED, bytes_mean=50.0)}
    path = save_measured(tmp_path, KEY, "subject", rates)
    assert path.name == "blocks.3.bottlenet-c4-s2.json"
    assert load_measured(tmp_path, KEY, "subject") == rates
    assert list(path.parent.iterdir()) == [path]


def test_a_measurement_of_other_weights_is_refused_with_the_command_that_measures(tmp_path):
    save_measured(tmp_path, KEY, "subject", {"huffman": MEASURED})
    with pytest.raises(CheckpointError, match="other weights") as caught:
        load_measured(tmp_path, KEY, "another subject")
    assert "isthmus" in caught.value.mend


def test_what_was_never_measured_is_refused_with_the_command_that_measures(tmp_path):
    with pytest.raises(CheckpointError, match="nothing was measured") as caught:
        load_measured(tmp_path, KEY, "subject")
    assert "isthmus" in caught.value.mend


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "{}", '{"subject_sha256": "x", "measured": {"huffman": {"top1": 1}}}',
     '{"subject_sha256": "x", "measured": {"huffman": 1}}', '{"subject_sha256": "x", "measured": []}'],
)  # fmt: skip
def test_a_damaged_record_is_no_measurement(tmp_path, text):
    path = KEY.path(tmp_path).with_suffix(".json")
    path.parent.mkdir(parents=True)
    path.write_text(text)

    with pytest.raises(CheckpointError, match="no record"):
        load_measured(tmp_path, KEY, "x")


def test_a_record_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    path = save_measured(tmp_path, KEY, "subject", {"huffman": MEASURED})

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cluster.whole_file.os.replace", full)
    with pytest.raises(CheckpointError, match="No space left"):
        save_measured(tmp_path, KEY, "another subject", {"huffman": MEASURED})
    assert load_measured(tmp_path, KEY, "subject") == {"huffman": MEASURED}
    assert list(path.parent.iterdir()) == [path]
