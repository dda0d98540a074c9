"""Speech in, what to divide each channel by before it is rounded out.

A few channels much larger than all others take the whole range of a byte for themselves. Dividing them by a factor and multiplying their
weights by it changes nothing but how well both can be rounded (SmoothQuant, https://arxiv.org/abs/2211.10438, equation 4).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from wavlm_export.checkpoint import Checkpoint
    from wavlm_export.graph.architecture import Architecture
    from wavlm_export.graph.weights import Weights

OUTLIER = 4.0
"""A part is smoothed if its largest channel is so many times as large as its 9th largest in ten: a few times is what any noise has."""
SHARE = 0.5
"""How much of a channel's size goes over to its weights."""


def magnitudes(checkpoint: Checkpoint, windows: Iterable[NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    """The largest magnitude of each channel at the input of every part, over windows ``[n]`` normalised as the checkpoint wants them."""
    from wavlm_diarizer.sessions import open_session
    from wavlm_export.graph.build import build_fast
    from wavlm_export.graph.products import Precision

    watched: dict[str, str] = {}
    session = open_session(build_fast(checkpoint, Precision(watched=watched)).SerializeToString())
    largest: dict[str, NDArray[np.float32]] = {}
    for window in windows:
        for part, seen in zip(watched, session.run(list(watched.values()), {"input_values": window[None]}), strict=True):
            largest[part] = np.maximum(largest[part], seen) if part in largest else seen
    return largest


def row_magnitudes(weights: Weights, architecture: Architecture) -> dict[str, NDArray[np.float32]]:
    """The largest weight ``[inputs]`` that each channel of a part's input meets. ``weights``: of the model under the head."""
    kinds = {
        "attention inputs": ("attention.q_proj", "attention.k_proj", "attention.v_proj"),
        "attention output": ("attention.out_proj",),
        "feed forward in": ("feed_forward.intermediate_dense",),
        "feed forward out": ("feed_forward.output_dense",),
    }
    names = {"projection": ("feature_projection.projection",)} | {
        f"layer {layer + 1} {kind}": tuple(f"encoder.layers.{layer}.{module}" for module in modules)
        for layer in range(architecture.layers)
        for kind, modules in kinds.items()
    }
    return {
        part: np.max([np.abs(weights[f"{module}.weight"]).max(axis=0) for module in modules], axis=0) for part, modules in names.items()
    }


def divisors(seen: Mapping[str, NDArray[np.float32]], weights: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    """For each part that has channels far larger than others: what to divide its channels by, 1 for the most usual ones.

    ``seen``: largest magnitudes of each part's channels ``[inputs]``; ``weights``: those of the rows of its weights.
    """
    found = {}
    for part, largest in seen.items():
        usual = float(np.quantile(largest, 0.9))
        if part not in weights or largest.max() <= OUTLIER * usual:
            continue
        size = np.maximum(largest, 1e-3 * usual) ** SHARE / np.maximum(weights[part], 1e-3 * weights[part].max()) ** (1 - SHARE)
        # Channels of no more than usual size stay as they are: only what stands out is worth a coarser weight.
        found[part] = np.where(largest > usual, np.maximum(size / np.median(size), 1.0), 1.0).astype(np.float32)
    return found
