"""Object stores, web servers and folders, by obstore: credentials, region and endpoint of the environment."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from export.bundle.sources.source import CHUNK, Get, NotThere, first_line
from worker.errors import BundleError, ConfigurationError

SCHEMES = ("s3", "gs", "az", "https", "file")


def open_object_store(url: str, ca_file: Path | None) -> Get:
    """What is stored under `url`.

    Raises:
        ConfigurationError: it cannot be opened.

    """
    import obstore  # noqa: PLC0415 - other commands have no need of it
    from obstore.exceptions import BaseError  # noqa: PLC0415
    from obstore.store import from_url  # noqa: PLC0415

    options: dict[str, Any] = {"retry_config": {"max_retries": 5, "retry_timeout": timedelta(seconds=60)}}
    if url.startswith("file:"):
        options.clear()
    elif ca_file is not None:
        options["client_options"] = {"root_certificate": ca_file.read_bytes()}
    try:
        store = from_url(url, **options)
    except (BaseError, ValueError, TypeError) as error:
        raise ConfigurationError(f"{url} cannot be opened: {first_line(error)}") from error

    def get(name: str) -> Iterator[bytes]:
        try:
            for chunk in obstore.get(store, name).stream(min_chunk_size=CHUNK):
                yield bytes(chunk)
        except FileNotFoundError as error:
            raise NotThere(f"{url}/{name} cannot be had: {first_line(error)}") from error
        except (BaseError, OSError) as error:
            raise BundleError(f"{url}/{name} cannot be had: {first_line(error)}") from error

    return get
