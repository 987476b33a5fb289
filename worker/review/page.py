"""A report as a page that is one file."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

_SHARED = Path(__file__).parent / "templates"


def page(templates: Path, name: str, **values: Any) -> str:
    """The template `name` of the folder `templates`, which may build on those that reports share."""
    environment = Environment(
        loader=FileSystemLoader([templates, _SHARED]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["share"] = share
    return environment.get_template(name).render(**values)


def share(value: float | None) -> str:
    """A share in per cent."""
    return "none" if value is None else f"{value:.2%}"
