"""Lines on standard error, as text and as JSON."""

import json
import logging
import threading
from datetime import UTC, datetime

import pytest

from worker.log import about, configure_logging
from worker.settings import LogSettings

logger = logging.getLogger("worker.somewhere")


@pytest.fixture(autouse=True)
def root_as_before():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    for handler in handlers:  # pytest's own: configuring anew would close them
        root.removeHandler(handler)
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(capsys):
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()


def test_a_json_line_holds_when_what_and_where(capsys):
    configure_logging(LogSettings(format="json"))
    logger.warning("%s is 目\nin two lines", "this")
    (line,) = lines(capsys)
    told = json.loads(line)
    assert (told["level"], told["logger"]) == ("WARNING", "worker.somewhere")
    assert told["message"] == "this is 目\nin two lines"
    assert abs((datetime.now(UTC) - datetime.fromisoformat(told["time"])).total_seconds()) < 60
    assert "exception" not in told


def test_a_json_line_holds_the_exception(capsys):
    configure_logging(LogSettings(format="json"))
    try:
        raise OSError("the disk is full")
    except OSError:
        logger.exception("a build failed")
    (line,) = lines(capsys)
    assert json.loads(line)["exception"].endswith("OSError: the disk is full")


def test_a_json_line_holds_the_ids_of_the_event_at_hand(capsys):
    configure_logging(LogSettings(format="json"))
    with about({"image_id": "i1", "event_id": "e1"}):
        logger.warning("first")
        with about({"image_id": "i2"}):
            logger.warning("second")
        elsewhere = threading.Thread(target=logger.warning, args=("third",))
        elsewhere.start()
        elsewhere.join()
    logger.warning("fourth")
    told = [json.loads(line) for line in lines(capsys)]
    ids = [(one.get("image_id"), one.get("event_id")) for one in told]
    assert ids == [("i1", "e1"), ("i2", None), (None, None), (None, None)]


def test_a_text_line_is_for_people(capsys):
    configure_logging(LogSettings(format="text"))
    logger.error("gone")
    (line,) = lines(capsys)
    assert line.endswith(" ERROR worker.somewhere: gone")


def test_what_is_below_the_level_is_left_out(capsys):
    configure_logging(LogSettings(level="WARNING"))
    logger.info("chatter")
    logging.getLogger("uvicorn.access").info("GET /healthz")
    assert lines(capsys) == []


def test_configured_twice_a_line_comes_once(capsys):
    configure_logging(LogSettings())
    configure_logging(LogSettings())
    logger.warning("once")
    assert len(lines(capsys)) == 1
