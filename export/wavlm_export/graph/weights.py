"""A PyTorch module's tensors in, NumPy arrays by the names of the architecture's blocks out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from numpy.typing import NDArray


class Weights:
    """Named tensors, seen from one place in the tree of modules."""

    def __init__(self, tensors: Mapping[str, NDArray[np.float32]], prefix: str = "") -> None:
        self._tensors = tensors
        self._prefix = prefix

    @classmethod
    def of(cls, model: torch.nn.Module) -> Weights:
        """All parameters and buffers of a module, as float32."""
        return cls({name: tensor.detach().float().numpy() for name, tensor in model.state_dict().items()})

    def at(self, name: str) -> Weights:
        """The same tensors, seen from the module ``name``."""
        return Weights(self._tensors, f"{self._prefix}{name}.")

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        return self._tensors[self._prefix + name]

    def __contains__(self, name: str) -> bool:
        return self._prefix + name in self._tensors

    def optional(self, name: str) -> NDArray[np.float32] | None:
        """The tensor, or ``None`` if the architecture goes without."""
        return self._tensors.get(self._prefix + name)

    def linear(self, name: str) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Weight ``[inputs, outputs]`` and bias ``[outputs]`` of a linear layer."""
        return np.ascontiguousarray(self[f"{name}.weight"].T), self.optional(f"{name}.bias")

    def normed_convolution(self, name: str) -> NDArray[np.float32]:
        """The weight ``[outputs, inputs, taps]`` of a convolution under weight norm, in either of PyTorch's spellings, or of a plain one.

        The norm is one length per tap (``dim=2``): https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.parametrizations.weight_norm.html
        """
        plain = self.optional(f"{name}.weight")
        if plain is not None:
            return plain
        new = f"{name}.parametrizations.weight.original0" in self
        lengths = self[f"{name}.parametrizations.weight.original0" if new else f"{name}.weight_g"].astype(np.float64)
        directions = self[f"{name}.parametrizations.weight.original1" if new else f"{name}.weight_v"].astype(np.float64)
        norms = np.sqrt(np.sum(directions**2, axis=(0, 1), keepdims=True))
        folded: NDArray[np.float32] = (directions * (lengths / norms)).astype(np.float32)
        return folded
