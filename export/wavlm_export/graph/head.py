"""Hidden states in, logits ``[batch, frames, labels]`` out: the weighted sum of all layers and the classifier, folded into one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wavlm_export.graph.architecture import Architecture
    from wavlm_export.graph.nodes import Nodes
    from wavlm_export.graph.weights import Weights


def head(nodes: Nodes, states: Iterable[str], weights: Weights, architecture: Architecture) -> str:
    """The classifier of a sum is the sum of classifiers: every layer is multiplied by its share at once, and none has to be kept.

    ``states``: the embeddings and each layer's output, ``[batch, frames, hidden]``.
    """
    matrix, bias = weights.linear("classifier")
    if bias is None:
        bias = np.zeros(matrix.shape[1], np.float32)
    shares = layer_shares(weights, architecture.layers, weighted_sum=architecture.weighted_sum)
    logits = nodes.constant(bias)
    for share, state in zip(shares, states, strict=True):
        if share:
            with nodes.scope("head"):
                logits = nodes.op("Add", nodes.op("MatMul", state, (matrix * share).astype(np.float32)), logits)
    return logits


def layer_shares(weights: Weights, layers: int, *, weighted_sum: bool) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """How much a head sees of the embeddings and of each layer's output: its softmaxed weights, or nothing but the last layer."""
    if weighted_sum:
        return softmax(weights["layer_weights"].astype(np.float64))
    shares = np.zeros(layers + 1)
    shares[-1] = 1.0
    return shares


def softmax(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The weights of the sum from their parameters."""
    powers = np.exp(values - values.max())
    shares: np.ndarray[tuple[int], np.dtype[np.float64]] = powers / powers.sum()
    return shares
