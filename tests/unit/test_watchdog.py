"""What is stuck ends the process; what was stopped with it, or returns in time, does not."""

import subprocess
import sys
import textwrap

import pytest

from worker.watchdog import STUCK, Watchdog, unlimited


class Left(Exception):
    """The process would have ended."""


def leave(status):
    raise Left(status)


def test_only_what_is_over_its_limit_ends_the_process():
    watchdog = Watchdog(leave)
    with watchdog.limit("a short call", 5.0):
        watchdog.look(2.0)
    with watchdog.limit("a long call", 5.0):
        for _ in range(4):
            watchdog.look(1.0)
        watchdog.look(1.0)
        with pytest.raises(Left, match=str(STUCK)):
            watchdog.look(1.0)
    watchdog.look(2.0)


def test_time_does_not_pass_while_the_process_is_stopped():
    watchdog = Watchdog(leave)
    with watchdog.limit("a call", 5.0):
        watchdog.look(3600.0)
        watchdog.look(2.0)
        with pytest.raises(Left):
            watchdog.look(2.0)


def test_an_end_that_was_asked_for_holds_for_all():
    watchdog = Watchdog(leave)
    watchdog.end_within("draining", 3.0)
    watchdog.look(2.0)
    with pytest.raises(Left):
        watchdog.look(2.0)


def test_without_one_nothing_is_limited():
    with unlimited("a call", 0.0) as limited:
        pass
    assert limited is None


def test_a_process_that_is_stuck_is_gone():
    code = """
        import threading, time
        from worker.watchdog import Watchdog
        with Watchdog(interval=0.02) as watchdog:
            watchdog.end_within("this", 0.1)
            threading.Thread(target=time.sleep, args=(60,)).start()  # an orderly end would wait for it
            time.sleep(60)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == STUCK
    assert "this does not return" in done.stderr
    assert "Thread" in done.stderr, "what every thread was at"
