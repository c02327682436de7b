"""The method of the row "Initial", which does not register at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from smgicnet.methods.contract import Displacements, Method


class Initial(Method):
    """The identity, which shows what a pair scores before anything is done to it."""

    @classmethod
    def from_block(cls, block: Mapping[str, Any], stage: int = 0) -> Initial:
        return cls()

    def fields(self, fixed: Tensor, moving: Tensor) -> Displacements:
        zero = fixed.new_zeros(1, 3, *fixed.shape[2:])
        return Displacements(zero, zero)
