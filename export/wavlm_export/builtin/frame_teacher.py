"""Speech in, what a speaker embedder makes of every 20 ms of it out: what it pools in the end, and what its first block hands on.

There are few voices to learn from, and one embedding for all that somebody says is one example of each. What such an embedder pools
differs from frame to frame with what is said, so a second of speech has fifty examples, and what is learned of them carries over to
voices that were never heard (docs/training-runs.md, "The teacher's frames").
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from wavlm_diarizer.errors import OptionError
from wavlm_export.builtin.voice_teacher import log_mels

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

EARLY, LATE = "/xvector/transit1/linear/Conv_output_0", "/xvector/transit3/linear/Conv_output_0"
"""Inside CAM++ (Wang et al. 2023, 2303.00332) as ``benchmarks/contenders/export_rival_models.py`` exports it: after the first dense block,
and what a rectifier and the statistics pooling follow,"""
LAST, NORM = "xvector.dense.linear.weight", "xvector.dense.nonlinear.batchnorm"
"""and the layer that makes an embedding of the pooled statistics."""
EPSILON = 1e-5
"""Epsilon of PyTorch's batch norm."""


class FrameTeacher:
    """CAM++, asked for its frames; on one thread."""

    def __init__(self, teacher: str | Path) -> None:
        """Raises :class:`OptionError` if the file is not there or is another model."""
        import onnx

        from wavlm_diarizer.sessions import open_session

        path = Path(teacher)
        if not path.is_file():
            raise OptionError(f"There is no voice teacher {path}: set data.voice_teacher to CAM++ as ONNX.")
        model = onnx.load(path)
        made = {name for node in model.graph.node for name in node.output}
        if not {EARLY, LATE} <= made:
            raise OptionError(f"{path} has no frames to learn from: it is not CAM++ as export_rival_models.py writes it.")
        self.last = _last_layer(model)
        """Weight ``[width, 2 * frames' width]`` and bias ``[width]`` from the pooled mean and deviation to the embedding."""
        for name in (EARLY, LATE):
            model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
        self._session = open_session(model.SerializeToString(), threads=1)
        self._input = self._session.get_inputs()[0].name

    def __call__(self, samples: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Early ``[frames, 256]`` and late ``[frames, 512]``, before the rectifier, one every 20 ms, of ``[n]`` samples at 16 kHz."""
        energies = log_mels(samples)
        early, late = self._session.run([EARLY, LATE], {self._input: (energies - energies.mean(axis=0))[None]})
        return early[0].T, late[0].T


def _last_layer(model: onnx.ModelProto) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The last layer and the batch norm behind it as one."""
    from onnx import numpy_helper

    weights = {one.name: numpy_helper.to_array(one).astype(np.float64) for one in model.graph.initializer}
    scale = 1 / np.sqrt(weights[f"{NORM}.running_var"] + EPSILON)
    last = weights[LAST].reshape(len(scale), -1)
    return (last * scale[:, None]).astype(np.float32), (-weights[f"{NORM}.running_mean"] * scale).astype(np.float32)
