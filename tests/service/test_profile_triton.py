from pathlib import Path

import pytest
from click.testing import CliRunner

from cluster.bundles.synthetic import write_synthetic
from cluster.cli.profile import command
from cluster.profiling.option_profile import OptionProfile

pytestmark = pytest.mark.service


def test_cluster_graphs_are_timed_on_a_real_triton_that_is_gone_afterwards(tmp_path: Path) -> None:
    bundle = write_synthetic(tmp_path / "synthetic").directory
    kept = tmp_path / "triton.json"
    words = ["cluster", str(bundle), "--backend", "triton", "--batch", "1,2", "--repeats", "3", "--out", str(kept)]

    result = CliRunner().invoke(command, words, catch_exceptions=False)

    assert result.exit_code == 0, result.output
    profile = OptionProfile.load(kept)
    assert profile.engine == "triton"
    assert [each.batch for each in profile.rows[0].batches] == [1, 2]
    assert all(each.seconds > 0 for each in profile.rows[0].batches)
