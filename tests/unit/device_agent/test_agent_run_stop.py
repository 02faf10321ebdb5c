import threading
import time

import pytest

from device_agent.run_stop import RunStop, RunStopped


def test_a_run_that_nobody_waits_for_does_not_begin() -> None:
    stop = RunStop()
    stop.set()
    with pytest.raises(RunStopped):
        stop.begin()
    assert stop.ran_s == 0.0


def test_a_device_that_is_emulated_stops_waiting() -> None:
    stop = RunStop()
    stop.begin()
    threading.Timer(0.01, stop.set).start()
    begun_s = time.perf_counter()
    with pytest.raises(RunStopped):
        stop.sleep(20.0)
    assert time.perf_counter() - begun_s < 10.0
    assert stop.is_set
    assert stop.options.terminate


def test_a_run_that_ends_says_how_long_it_took() -> None:
    stop = RunStop()
    stop.begin()
    stop.sleep(-1.0)
    stop.end()
    assert stop.ran_s > 0
