"""Words and fonts that are kept as TOML beside the code that draws with them."""

import tomllib
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict


class DataFile(BaseModel):
    """What a TOML file holds, or one of its tables; frozen, and every key is known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def beside(cls, module: str, name: str) -> Self:
        """The file called `name` in the folder of `module`, a module's `__file__`."""
        with Path(module).with_name(name).open("rb") as file:
            return cls.model_validate(tomllib.load(file))
