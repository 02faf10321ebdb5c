import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

# Beside this file, and in no package: a package here would hide the one under test.
sys.path.insert(0, str(Path(__file__).parent))

from answerer_bench import Bench


@pytest.fixture
def make_bench(tmp_path, monkeypatch):
    with ThreadPoolExecutor(1) as worker:
        yield lambda **changes: Bench(tmp_path, worker, monkeypatch, **changes)
