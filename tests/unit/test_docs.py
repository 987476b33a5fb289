"""Generated documentation is that of the code."""

from docs.generate import CONFIGURATION_FILE, configuration


def test_the_configuration_reference_is_that_of_the_settings():
    assert CONFIGURATION_FILE.read_text(encoding="utf-8") == configuration(), "run `make docs`"
