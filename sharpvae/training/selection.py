"""Which epoch's weights are the best, and when to stop looking for better ones."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor, nn


class Best:
    """The lowest value so far, and the weights that had it.

    Args:
        patience: epochs without a better value after which training may stop; 0: never.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.epoch, self.value = 0, math.inf
        self.state: dict[str, Tensor] = {}

    def offer(self, epoch: int, value: float, network: nn.Module) -> bool:
        """Take the weights of `network` if `value` is the lowest so far; whether it is."""
        if not value < self.value:
            return False
        self.epoch, self.value = epoch, value
        self.state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        return True

    def hopeless(self, epoch: int) -> bool:
        """Whether patience has run out by `epoch`."""
        return 0 < self.patience <= epoch - self.epoch

    def state_dict(self) -> dict[str, Any]:
        """All that `load_state_dict` needs."""
        return {"epoch": self.epoch, "value": self.value, "state": self.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self.epoch, self.value, self.state = state["epoch"], state["value"], state["state"]
