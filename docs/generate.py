"""Write docs/configuration.md from the settings model; a test holds it to the model."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from worker.settings import Settings

CONFIGURATION_FILE = Path(__file__).parent / "configuration.md"

_HEAD = """# Configuration

Generated from `worker/settings.py` by `make docs`.

Settings come from a TOML file (`--config FILE`), then `MEKIKI_*` environment variables, then
`--set section.key=value` flags; the last wins. In the environment two underscores stand for the
dot: `MEKIKI_KAFKA__BOOTSTRAP_SERVERS=broker:9092` sets `kafka.bootstrap_servers`. Lists and tables
are JSON there: `MEKIKI_FETCH__ALLOWED_NETWORKS='["10.1.0.0/16"]'`. A key that does not exist is an
error, not a silence.

```toml
[kafka]
bootstrap_servers = "broker-1:9093,broker-2:9093"
properties_file = "/etc/mekiki/kafka.properties"   # security.protocol=SASL_SSL, sasl.password=...

[fetch]
folder = "/images"

[score]
delivery = "exactly_once"
```

`mekiki check` says which of them do not fit this machine, and masks secrets.
"""


def configuration() -> str:
    """The reference, as Markdown."""
    parts = [_HEAD]
    for name, field in Settings.model_fields.items():
        section = field.annotation
        assert isinstance(section, type)
        assert issubclass(section, BaseModel)
        parts.append(f"\n## {name}\n\n{section.__doc__}\n\n| setting | default | |\n|---|---|---|\n")
        parts.extend(_rows(name, section))
    return "".join(parts)


def _rows(prefix: str, section: type[BaseModel]) -> Iterator[str]:
    for name, field in section.model_fields.items():
        annotation = field.annotation
        if (
            isinstance(annotation, type)
            and issubclass(annotation, BaseModel)
            and annotation.__name__.endswith("Settings")
        ):
            yield from _rows(f"{prefix}.{name}", annotation)
            continue
        default = (
            "one for each process"
            if field.default_factory not in (None, list, dict)
            else _shown(field.get_default(call_default_factory=True, validated_data={}))
        )
        yield f"| `{prefix}.{name}` | {default} | {field.description or ''} |\n"


def _shown(value: Any) -> str:
    if isinstance(value, Path) and value.is_absolute():
        return f"the {value.name} bundle"
    if value is None:
        return "unset"
    return f"`{value!r}`" if isinstance(value, str) else f"`{value}`"


if __name__ == "__main__":
    CONFIGURATION_FILE.write_text(configuration(), encoding="utf-8")
