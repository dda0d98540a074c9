"""A checkpoint and speech in, its int8 graph out, with any groups of products left in fp32."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wavlm_export.graph.architecture import Architecture
from wavlm_export.graph.build import build_fast
from wavlm_export.graph.parts import groups
from wavlm_export.graph.products import Precision
from wavlm_export.graph.smoothing import divisors, magnitudes, row_magnitudes
from wavlm_export.graph.speaker import Speaker
from wavlm_export.graph.weights import Weights
from wavlm_export.quantize import LEAST_WEIGHTS

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import numpy as np
    import onnx
    from numpy.typing import NDArray

    from wavlm_export.checkpoint import Checkpoint


class FastQuantizer:
    """Makes int8 graphs in the fast form. Scales are found for each window or row, so no window's answer depends on others."""

    batch_independent = True

    def __init__(self, checkpoint: Checkpoint, _: onnx.ModelProto, windows: Sequence[NDArray[np.float32]]) -> None:
        """``windows``: calibration speech ``[n]``, normalised as the checkpoint wants it."""
        architecture = Architecture.of(checkpoint.config)
        self._checkpoint = checkpoint
        speaker = None if checkpoint.speaker is None else Speaker.of(checkpoint.speaker)
        found = groups(architecture) | (speaker.groups() if speaker is not None else {})
        self._groups = {name: group for name, group in found.items() if group.weights >= LEAST_WEIGHTS}
        weights = row_magnitudes(Weights.of(checkpoint.model).at(str(checkpoint.model.base_model_prefix)), architecture)
        if speaker is not None:
            weights |= speaker.row_magnitudes()
        self._smoothing = divisors(magnitudes(checkpoint, windows), weights) if self._groups else {}

    @property
    def groups(self) -> dict[str, int]:
        """The groups of products, and the multiplications for one frame in each."""
        return {name: group.work for name, group in self._groups.items()}

    @property
    def notes(self) -> dict[str, object]:
        """For the report."""
        return {"smoothed_parts": sorted(self._smoothing)} if self._smoothing else {}

    def graph(self, keep: Collection[str]) -> onnx.ModelProto:
        """The graph with all groups in int8 but those in ``keep``."""
        int8 = frozenset(part for name, group in self._groups.items() if name not in keep for part in group.parts)
        return build_fast(self._checkpoint, Precision(int8=int8, smoothing=self._smoothing))
