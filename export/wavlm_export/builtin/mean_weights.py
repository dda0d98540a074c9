"""A model while it learns in, the mean of its weights over the last steps out: the noise of single steps is gone from it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator


def averaged(module: torch.nn.Module) -> list[torch.Tensor]:
    """What a mean of a model's weights is of: all that learns, and what batch norm has measured."""
    learned: list[torch.Tensor] = [value for value in module.parameters() if value.requires_grad]
    return learned + [value for value in module.buffers() if value.is_floating_point()]


class MeanWeights:
    """An exponential mean of what learns (Polyak and Juditsky 1992)."""

    def __init__(self, module: torch.nn.Module, steps: int) -> None:
        """``steps``: about how many the mean is over; at first over those that there were."""
        self._own = averaged(module)
        self._mean = [value.detach().clone() for value in self._own]
        self._steps = steps

    @torch.no_grad()
    def add(self, step: int) -> None:
        """Take in the weights after step ``step``, counted from one."""
        share = max(1 / self._steps, 9 / (10 + step))
        torch._foreach_lerp_(self._mean, self._own, share)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """While in it, the model has the mean instead of its own weights."""
        with torch.no_grad():
            kept = [value.detach().clone() for value in self._own]
            torch._foreach_copy_(self._own, self._mean)
        try:
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_(self._own, kept)

    def state(self) -> list[torch.Tensor]:
        """What :meth:`load` takes."""
        return self._mean

    def load(self, state: list[Any]) -> None:
        """Go on from a saved state."""
        torch._foreach_copy_(self._mean, state)
