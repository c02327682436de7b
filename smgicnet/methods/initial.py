"""No registration at all: the row "Initial"."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from smgicnet.methods.contract import Method


class Initial(Method):
    """The identity: what a pair scores before anything is done to it."""

    @classmethod
    def from_config(cls, config: Mapping, stage: int = 0) -> Initial:
        return cls()

    def fields(self, fixed: Tensor, moving: Tensor) -> tuple[Tensor, Tensor]:
        zero = fixed.new_zeros(1, 3, *fixed.shape[2:])
        return zero, zero
