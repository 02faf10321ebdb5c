import pytest

from cluster.cli import screen


@pytest.fixture(autouse=True)
def _own_consoles(monkeypatch):
    """Let no test have the console of another, which is as wide as that one wanted it; tests side by side have 80."""
    monkeypatch.delenv("COLUMNS", raising=False)
    screen.notes.cache_clear()
    screen.output.cache_clear()
