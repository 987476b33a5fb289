"""Which of two indexes answers, and what a file says about it."""

from types import SimpleNamespace

import pytest

from tests.unit.index.indexing import IDENTITY
from worker.index import serving as module
from worker.index.backend import IndexSize
from worker.index.serving import CURRENT, NEXT, Choice, Searched, Serving


def searched(space, ready=True):
    identity = IDENTITY.model_copy(update={"space": space})
    index = SimpleNamespace(identity=identity, size=lambda: IndexSize(vectors=7, tail=0))
    return Searched(index, None, lambda: ready, {})


@pytest.mark.parametrize(
    ("word", "beside", "answers"),
    [
        (CURRENT, searched("new"), "old"),
        (NEXT, searched("new"), "new"),
        (NEXT, searched("new", ready=False), "old"),
        (NEXT, None, "old"),
    ],
)
def test_the_next_answers_where_it_is_wanted_and_has_caught_up(word, beside, answers):
    serving = Serving(searched("old"), lambda: word)
    serving.next = beside
    assert serving.chosen().space == answers


def test_each_space_has_its_index_whichever_serves():
    serving = Serving(searched("old"))
    assert serving.of_space("new") is None
    serving.next = searched("new", ready=False)
    assert serving.of_space("new") is serving.next
    assert serving.of_space("old") is serving.current
    assert serving.of_space("") is None


def test_a_word_of_the_settings_holds():
    assert Choice(NEXT)() == NEXT
    assert Choice(CURRENT)() == CURRENT


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_LOOK_SECONDS", 0.0)
    return tmp_path / "serve"


def test_a_file_is_obeyed_as_it_changes(file):
    choice = Choice(file)
    assert choice() == CURRENT
    for word in (NEXT, CURRENT, NEXT):
        file.write_text(f"{word}\n")
        assert choice() == word
    fresh = file.with_name("fresh")
    fresh.write_text(CURRENT)
    fresh.replace(file)
    assert choice() == CURRENT


@pytest.mark.parametrize("content", [b"", b"nxt", b"next current", b"\xff\xfe", None])
def test_what_a_file_does_not_say_changes_nothing(file, content, caplog):
    choice = Choice(file)
    file.write_text(NEXT)
    assert choice() == NEXT
    file.unlink() if content is None else file.write_bytes(content)
    assert [choice() for _ in range(3)] == [NEXT] * 3
    assert len(caplog.records) == 1, "told once"
    assert str(file) in caplog.text
