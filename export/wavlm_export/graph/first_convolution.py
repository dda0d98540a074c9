"""Samples in, the first convolution's weights with its GroupNorm folded into them out.

GroupNorm with one channel per group wants each channel's mean and variance over time. Both follow from the mean ``m`` and the covariance
``C`` of the patches that the convolution sees: a channel with the weights ``w`` has mean ``w m`` and variance ``w C w``. So the norm needs
no pass over the channels where there are more of these than taps, as in WavLM: it becomes part of the weights of this window.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto

from wavlm_export.graph.architecture import NORM_EPSILON
from wavlm_export.graph.nodes import ints

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wavlm_export.graph.architecture import Architecture
    from wavlm_export.graph.nodes import Nodes
    from wavlm_export.graph.weights import Weights


def kernel_matrix(weights: Weights, architecture: Architecture) -> NDArray[np.float32]:
    """The first convolution as a matrix ``[taps, channels]``; taps are filled up with zeros to a whole number of strides."""
    kernel = weights["conv_layers.0.conv.weight"][:, 0, :].T
    return np.pad(kernel, ((0, architecture.filled_taps - len(kernel)), (0, 0)))


def centred(nodes: Nodes, samples: str) -> str:
    """Samples less their mean. GroupNorm removes any offset anyway, but in float32 a large one would bury a small signal first."""
    return nodes.op("Sub", samples, nodes.op("ReduceMean", samples, ints(1), keepdims=1), name="centred")


def patches(nodes: Nodes, blocks: str, rows: str, architecture: Architecture) -> str:
    """The samples under each output row: ``[..., rows, taps]`` from ``[..., at least rows, stride]``; neighbours overlap."""
    shifts = architecture.filled_taps // architecture.strides[0]
    shifted = [nodes.op("Slice", blocks, ints(shift), nodes.op("Add", rows, ints(shift)), ints(-2)) for shift in range(shifts)]
    return nodes.op("Concat", *shifted, axis=-1, name="patches")


def group_norm_folded(nodes: Nodes, padded: str, samples: str, weights: Weights, architecture: Architecture) -> str:
    """Weights ``[batch, taps + 1, channels]`` of convolution and norm for these windows; the last row is the bias.

    ``padded``: centred samples ``[batch, n]``, filled up; ``samples``: how many there are.
    """
    kernel = kernel_matrix(weights, architecture)
    with nodes.scope("group_norm"):
        beyond = nodes.op("Sub", samples, ints(architecture.kernels[0]))
        rows = nodes.op("Add", nodes.op("Div", beyond, ints(architecture.strides[0])), ints(1))
        # A covariance of n taps costs as much as n channels.
        few_taps = len(kernel) < kernel.shape[1]
        mean, variance = (_by_covariance if few_taps else _by_channel)(nodes, padded, rows, kernel, architecture)
        deviation = nodes.op("Sqrt", nodes.op("Add", variance, np.float64(NORM_EPSILON)))
        gain = nodes.op("Div", weights["conv_layers.0.layer_norm.weight"].astype(np.float64), deviation)
        bias = nodes.op("Sub", weights["conv_layers.0.layer_norm.bias"].astype(np.float64), nodes.op("Mul", mean, gain))
        if few_taps:
            folded = nodes.op("Mul", kernel.astype(np.float64), gain)
            return nodes.op("Cast", nodes.op("Concat", folded, bias, axis=1), to=TensorProto.FLOAT)
        gain, bias = (nodes.op("Cast", value, to=TensorProto.FLOAT) for value in (gain, bias))
        return nodes.op("Concat", nodes.op("Mul", kernel, gain), bias, axis=1)


def _by_covariance(nodes: Nodes, padded: str, rows: str, kernel: NDArray[np.float32], architecture: Architecture) -> tuple[str, str]:
    """Each channel's mean and variance ``[batch, 1, channels]`` from those of the patches, for few taps.

    In float64: for a channel that lets only little of the signal through, the variance is a small difference of large numbers.
    """
    exact = kernel.astype(np.float64)
    blocks = nodes.op("Cast", nodes.op("Reshape", padded, ints(0, -1, architecture.strides[0])), to=TensorProto.DOUBLE)
    seen = patches(nodes, blocks, rows, architecture)
    mean = nodes.op("ReduceMean", seen, ints(1), keepdims=1)
    apart = nodes.op("Sub", seen, mean)
    product = nodes.op("MatMul", nodes.op("Transpose", apart, perm=[0, 2, 1]), apart)
    covariance = nodes.op("Div", product, nodes.op("Cast", rows, to=TensorProto.DOUBLE))
    variance = nodes.op("ReduceSum", nodes.op("Mul", nodes.op("MatMul", covariance, exact), exact), ints(1), keepdims=1)
    return nodes.op("MatMul", mean, exact), variance


def _by_channel(nodes: Nodes, padded: str, rows: str, kernel: NDArray[np.float32], architecture: Architecture) -> tuple[str, str]:
    """The same by a pass over the channels, for many taps.

    onnxruntime packs constant matrices, unless it is to save memory, and adds up in another order then; the int8 layers behind would
    make more of that than rounding. So the kernel is no constant here: it is multiplied by one, the sign of the number of rows.
    """
    blocks = nodes.op("Reshape", padded, ints(0, -1, architecture.strides[0]))
    unpacked = nodes.op("Mul", kernel, nodes.op("Cast", nodes.op("Sign", rows), to=TensorProto.FLOAT))
    values = nodes.op("MatMul", patches(nodes, blocks, rows, architecture), unpacked)
    exact = nodes.op("Cast", values, to=TensorProto.DOUBLE)
    mean = nodes.op("ReduceMean", exact, ints(1), keepdims=1)
    apart = nodes.op("Sub", exact, mean)
    return mean, nodes.op("ReduceMean", nodes.op("Mul", apart, apart), ints(1), keepdims=1)


def plain(weights: Weights, architecture: Architecture) -> NDArray[np.float32]:
    """Weights ``[taps + 1, channels]`` of the convolution alone; the last row is the bias."""
    bias = weights.optional("conv_layers.0.conv.bias")
    channels = architecture.channels[0]
    return np.vstack([kernel_matrix(weights, architecture), np.zeros((1, channels), np.float32) if bias is None else bias[None]])
