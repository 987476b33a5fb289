"""The key that an index role asks for (http.keys_file), as those have it who search."""

from pathlib import Path

from worker.errors import ConfigurationError


def read_search_key(file: Path | None) -> dict[str, str]:
    """The header that shows the key in `file`, a line of its own; none without a file.

    Raises:
        ConfigurationError: the file cannot be read, or holds no key that a header can carry.

    """
    if file is None:
        return {}
    try:
        key = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(f"the search key cannot be read: {error}") from error
    if not key or not key.isprintable() or " " in key:
        raise ConfigurationError(f"{file} is not a key on a line of its own")
    return {"authorization": f"Bearer {key}"}
