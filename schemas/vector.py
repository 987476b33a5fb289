"""A vector on the wire: base64 of little-endian float32, with its dimension and dtype."""

import base64
import binascii
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator


class Vector(BaseModel):
    """A dense float32 vector. `data` is base64 of `dim` little-endian IEEE 754 singles."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dim: Annotated[int, Field(gt=0, le=65536)]
    dtype: Literal["float32"] = "float32"
    data: str

    @model_validator(mode="after")
    def _bytes_match_dim(self) -> Self:
        try:
            size = len(base64.b64decode(self.data, validate=True))
        except binascii.Error as error:
            raise ValueError(f"vector data is not base64: {error}") from error
        if size != 4 * self.dim:
            raise ValueError(f"vector of dim {self.dim} needs {4 * self.dim} bytes, has {size}")
        return self

    @classmethod
    def from_array(cls, array: NDArray[np.float32]) -> Self:
        """Encode a 1-d array of shape [dim]."""
        raw = np.ascontiguousarray(array, dtype="<f4")
        return cls(dim=raw.shape[0], data=base64.b64encode(raw.tobytes()).decode("ascii"))

    def to_array(self) -> NDArray[np.float32]:
        """Decode to a float32 array of shape [dim], owned by the caller."""
        return np.frombuffer(base64.b64decode(self.data), dtype="<f4").astype(np.float32)
