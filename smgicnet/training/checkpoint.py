"""The state of an unfinished training in a file, from which it goes on as if it had never stopped."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from smgicnet.methods.weights import save
from smgicnet.training.distributed import Group

log = logging.getLogger(__name__)
Row = dict[str, float]  # one step of a history: its number, the terms, the learning rate, the seconds


@dataclass(frozen=True)
class Checkpoint:
    """The file of a training's state, and what the state is made of.

    Attributes
    ----------
    path : the file
    identity : what identifies the training; a file with another identity is put aside and never resumed
    network, optimizer : what is stored, besides the random state and the history
    """

    path: Path
    identity: Mapping[str, object]
    network: nn.Module
    optimizer: torch.optim.Optimizer

    def save(self, history: list[Row], step: int) -> None:
        """Write the state after ``step`` steps, atomically."""
        state = {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "random": torch.get_rng_state(),
            "step": step,
            "identity": self._identity,
            "history": history,
        }
        save(state, self.path)

    def resume(self, group: Group) -> tuple[list[Row], int]:
        """Load the state from the file if it is one of this very training.

        Returns the history and the step to go on with, an empty history and 0 where the training starts anew.
        """
        if not self.path.is_file():
            return [], 0
        try:
            state = torch.load(self.path, map_location="cpu", weights_only=True)
            same = state["identity"] == self._identity
        except Exception as error:
            log.warning("%s cannot be read (%s)", self.path, error)
            same = False
        group.wait()  # until all processes have read it: the first may put it aside
        if not same:
            self._put_aside(group)
            return [], 0
        self.network.load_state_dict(state["network"], strict=True)
        self.optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"])
        log.info("resuming from %s at iteration %d", self.path, state["step"])
        return state["history"], state["step"]

    @property
    def _identity(self) -> str:
        return json.dumps(self.identity, sort_keys=True)

    def _put_aside(self, group: Group) -> None:
        aside = self.path.with_name("checkpoint.other.pt")
        if group.first:
            self.path.replace(aside)
        log.warning("the checkpoint is of another config, seed or code: put aside as %s, starting anew", aside)
