"""What the command line says of a failure."""

import pytest

from worker.cli import main


@pytest.mark.parametrize("name", ["[gpu].toml", "[/etc/mekiki].toml"])
def test_brackets_of_an_error_are_shown_as_they_are(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--config", name]) == 2
    assert name in capsys.readouterr().err
