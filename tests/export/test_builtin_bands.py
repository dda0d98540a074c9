"""A filter bank in the place of WavLM's convolutions: what it hears, and that the layers above go on as they were."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from test_builtin_training import SIZES, _one_thread, moved, recipe, teacher
from transformers import WavLMForAudioFrameClassification, WavLMForXVector

from wavlm_diarizer.errors import OptionError
from wavlm_diarizer.settings import convolution_geometry
from wavlm_export.builtin import bands, config, filter_bank, model, projection, training

__all__ = ["_one_thread", "recipe", "teacher"]

BANK: dict[str, Any] = {"conv_dim": (30, 30, 24), "conv_kernel": filter_bank.KERNELS, "conv_stride": filter_bank.STRIDES, "conv_bias": True}


def test_the_bands_lie_evenly_in_mel_and_then_in_hertz() -> None:
    middles = filter_bank.frequencies(80)
    steps = np.diff(middles)
    assert middles[0] == filter_bank.LOWEST
    assert middles[-1] == pytest.approx(filter_bank.HIGHEST, abs=1)
    assert np.all(np.diff(steps) > -1e-6)
    assert steps[-1] == pytest.approx(filter_bank.WIDEST)
    mels = np.diff(2595 * np.log10(1 + middles[:40] / 700))
    np.testing.assert_allclose(mels, mels[0], rtol=1e-6)


def test_a_tone_is_loudest_in_its_own_band_at_any_phase() -> None:
    bank, middles = filter_bank.filters(80), filter_bank.frequencies(80)
    time = np.arange(filter_bank.KERNELS[0]) / config.RATE
    for band in (3, 20, 45, 79):
        loudness = []
        for phase in np.linspace(0, 2 * np.pi, 16, endpoint=False):
            rectified = np.maximum(bank @ np.cos(2 * np.pi * middles[band] * time + phase), 0)
            summed = rectified.reshape(80, filter_bank.PHASES).sum(axis=1)
            assert summed.argmax() == band
            loudness.append(summed[band])
        assert max(loudness) / min(loudness) < 1.25
    np.testing.assert_allclose(bank.sum(axis=1), 0, atol=1e-6)


def test_soft_and_loud_are_nearer_to_each_other_than_in_the_samples() -> None:
    torch.manual_seed(0)
    student = model.Student(replace(SIZES, **BANK), 2)
    filter_bank.begin(student)
    # Half a second of a tone in the fifth of ten bands, then the same 20 dB softer.
    time = torch.arange(8000) / config.RATE
    tone = torch.cos(2 * torch.pi * float(filter_bank.frequencies(10)[4]) * time)
    with torch.inference_mode():
        heard = student.sd.wavlm.feature_extractor(torch.cat((tone, 0.1 * tone))[None])[0]
    loud, soft = heard[:10, 5:20].mean(dim=1), heard[:10, 30:45].mean(dim=1)
    assert loud[4] > soft[4] > 1
    assert loud[4] / soft[4] < 5
    assert soft[4] > 2 * soft[8]


def test_a_pair_goes_on_with_a_filter_bank(recipe: config.Recipe, teacher: Path, tmp_path: Path) -> None:
    pytest.importorskip("kaldi_native_fbank")
    old = training.train(moved(recipe, tmp_path / "old", steps=2)) / "sd"
    changed = replace(
        moved(recipe, tmp_path / "new", log_every=20),
        data=replace(recipe.data, voice_teacher=str(teacher)),
        model=replace(SIZES, **BANK),
        bands=config.Bands(steps=120, peak_rate=5e-3),
        projection=config.Projection(alone=60, conversations=8),
    )
    said: list[str] = []
    made = bands.bands(changed, str(old), tmp_path / "made", said.append)
    first, *_, last = (int(line.split(": ")[1].split("%")[0]) for line in said if "%" in line)
    assert last < 0.85 * first
    assert "voices, at a cosine of" in said[-2]
    for kind, folder in ((WavLMForAudioFrameClassification, "sd"), (WavLMForXVector, "sv")):
        before, after = (kind.from_pretrained(path.with_name(folder)) for path in (old, made))
        assert convolution_geometry(after.config.conv_kernel, after.config.conv_stride) == (320, 560)
        others = after.state_dict()
        same = {name: torch.equal(value, others[name]) for name, value in before.state_dict().items() if name in others}
        kept = {name for name, equal in same.items() if equal}
        above = [name for name in same if ".encoder." in name or name.startswith("tdnn." if folder == "sv" else "classifier.")]
        assert above
        assert kept.issuperset(above)
        assert "wavlm.feature_projection.projection.weight" not in kept
    # And training goes on from it.
    trainer = training.Trainer(replace(changed, training=replace(changed.training, start=str(made), steps=2)))
    for batch in trainer.batches():
        assert np.isfinite(trainer.learn(batch)["activity"])


def test_a_projected_pair_without_a_teacher_keeps_its_voices_last_layer(recipe: config.Recipe, tmp_path: Path) -> None:
    trained = training.train(moved(recipe, tmp_path / "old", steps=1))
    head = WavLMForXVector.from_pretrained(trained / "sv")
    random = np.random.default_rng(5)
    narrow = projection.projected(head, random.standard_normal((16, 5)), random.standard_normal(16))
    model.save_pair(WavLMForAudioFrameClassification.from_pretrained(trained / "sd"), narrow, tmp_path / "projected")
    changed = replace(moved(recipe, tmp_path / "new"), model=replace(SIZES, **BANK), bands=config.Bands(steps=1))
    made = bands.bands(changed, str(tmp_path / "projected" / "sd"), tmp_path / "made", str)
    last = WavLMForXVector.from_pretrained(made.with_name("sv")).feature_extractor
    assert torch.equal(last.weight[:5], narrow.feature_extractor.weight)
    assert not last.weight[5:].any()


def test_what_cannot_become_a_filter_bank_is_refused(recipe: config.Recipe, tmp_path: Path) -> None:
    old = training.train(moved(recipe, tmp_path / "old", steps=1)) / "sd"
    with pytest.raises(OptionError, match="this recipe has other convolutions"):
        bands.bands(recipe, str(old), tmp_path / "made", str)
    wider = replace(recipe, model=replace(SIZES, **BANK, hidden=64))
    with pytest.raises(OptionError, match="layers of other sizes than the recipe"):
        bands.bands(wider, str(old), tmp_path / "made", str)
    old.with_name("sv").rename(tmp_path / "elsewhere")
    with pytest.raises(OptionError, match="no checkpoint with a voice head"):
        bands.bands(recipe, str(old), tmp_path / "made", str)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("name", ["builtin", "convolutional", "filter-bank", "frames"])
def test_a_recipe_fits_the_checkpoint_that_it_starts_from(name: str) -> None:
    root = Path(__file__).parents[2]
    known = config.read(root / "export" / "recipes" / f"{name}.toml")
    student = model.Student(known.model, 2)
    model.start_from(student, root / known.training.start)
    answer = student(torch.zeros(1, config.RATE))
    assert answer.activity.shape[2] == config.LABELS
    assert torch.isfinite(answer.activity).all()
    if name == "filter-bank":
        filter_bank.begin(student)
        assert convolution_geometry(student.sd.config.conv_kernel, student.sd.config.conv_stride)[0] == config.HOP
