"""Lines on standard error, as text and as JSON."""

import json
import logging
import threading
from datetime import UTC, datetime

import pytest

from worker.log import about, configure_logging
from worker.settings import LogSettings
from worker.shown import CONTROL

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


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize(
    "written",
    [
        "a\n2026-11-27 00:00:00,000 INFO worker.score: all is well",
        "a\r\x1b[2K2026-11-27 INFO worker.score: all is well",
        "a\x0b\x0c\x1c\x85\u2028b",
        "\x9b2J \u202egnp.exe",
        "a\ud800b",
    ],
)
def test_what_strangers_wrote_begins_no_line_and_commands_no_terminal(capsys, form, written):
    configure_logging(LogSettings(format=form))
    with about({"image_id": written}):
        logger.warning("the image %s is odd", written)
    captured = capsys.readouterr().err
    assert captured.endswith("\n")
    assert len(captured.splitlines()) == 1
    assert not CONTROL.search(captured[:-1])
    if form == "json":
        told = json.loads(captured)
        assert (told["message"], told["image_id"]) == (f"the image {written} is odd", written)


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize(
    "url",
    [
        "https://shop:secret@images.example/a.jpg",
        'https://images.example/a.jpg?X-Amz-Signature=secret"',
        "https://images.example/a.jpg?w=1&token=secret\\",
        "postgresql+psycopg://mekiki:secret@database/mekiki",
    ],
)
def test_what_urls_hide_is_masked_in_lines_and_in_exceptions(capsys, form, url):
    configure_logging(LogSettings(format=form))
    try:
        raise OSError(f"{url} does not answer")
    except OSError:
        logger.exception("asked %s", url)
    captured = capsys.readouterr().err
    assert "secret" not in captured
    assert captured.count("********") == 2
    if form == "json":
        json.loads(captured)


def test_a_line_of_an_exception_is_no_line_of_the_log(capsys):
    configure_logging(LogSettings(format="text"))
    try:
        raise OSError("a\n2026-11-27 00:00:00,000 INFO worker.score: all is well")
    except OSError:
        logger.exception("it failed")
    first, *others = lines(capsys)
    assert first.endswith("ERROR worker.somewhere: it failed")
    assert all(line.startswith("  ") for line in others)
    assert others[-1].strip().startswith("2026-11-27")
