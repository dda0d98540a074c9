"""Samples, frames and seconds: every conversion between them, in integers, with one division at the end.

A model sees ``sample_rate`` samples per second and answers with one frame per ``hop`` samples. Frame ``i`` stands for samples
``[hop * i, hop * (i + 1))``, the last frame of a recording up to its end; the frame is computed from the receptive field
``[hop * i, hop * i + receptive_field)``, so ``n`` samples give ``1 + (n - receptive_field) // hop`` frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class TimeBase:
    """How one model counts time. The defaults are those of every WavLM, HuBERT and wav2vec 2.0 convolution stack."""

    sample_rate: int = 16_000
    """Samples per second of the model's input."""
    hop: int = 320
    """Samples from one frame to the next: the product of the convolution strides."""
    receptive_field: int = 400
    """Samples that one frame is computed from, and so the shortest input."""

    def frames(self, samples: int) -> int:
        """Number of frames of ``samples`` samples; 0 if there are fewer than one receptive field."""
        if samples < self.receptive_field:
            return 0
        return 1 + (samples - self.receptive_field) // self.hop

    def first_sample(self, frame: int) -> int:
        """First sample that frame ``frame`` stands for."""
        return frame * self.hop

    def frame_at(self, sample: int) -> int:
        """The frame that stands for sample ``sample`` (the last frame also stands for all that follows it)."""
        return sample // self.hop

    def samples(self, seconds: float) -> int:
        """The sample nearest to ``seconds``."""
        return round(Fraction(seconds) * self.sample_rate)

    def whole_frames(self, seconds: float) -> int:
        """The number of frames nearest to a duration of ``seconds``."""
        return round(Fraction(seconds) * self.sample_rate / self.hop)

    def seconds(self, sample: int) -> float:
        """Seconds of ``sample`` samples: the one division."""
        return sample / self.sample_rate

    def frame_seconds(self, frame: int) -> float:
        """Seconds at which frame ``frame`` begins."""
        return self.seconds(self.first_sample(frame))

    def span(self, first: int, stop: int, total_frames: int, total_samples: int) -> tuple[float, float]:
        """Start and end in seconds of the frames ``first .. stop - 1`` of a recording.

        A span that reaches the recording's last frame ends with the recording, ``total_samples``, not at the frame's nominal end.
        """
        end = total_samples if stop >= total_frames else self.first_sample(stop)
        return self.seconds(self.first_sample(first)), self.seconds(end)

    @property
    def frame_step(self) -> float:
        """Seconds from one frame to the next."""
        return self.seconds(self.hop)
