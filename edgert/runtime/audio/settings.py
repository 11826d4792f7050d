"""The settings of the audio front ends, which are the arguments of the pre-processing steps of the same names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

__all__ = [
    "FRONT_ENDS",
    "MAX_FFT",
    "MIN_FFT",
    "FrontEnd",
    "LogMelSettings",
    "MfccSettings",
    "MicroFrontendSettings",
    "fft_size",
    "needed_samples",
]

MIN_FFT, MAX_FFT = 64, 2048
_MAX_CHANNELS = 128
_MAX_SAMPLES = 1 << 20


def fft_size(window: int) -> int:
    """Returns the points of the Fourier transform of a window: the power of two that is not shorter."""
    return max(MIN_FFT, 1 << (window - 1).bit_length())


@dataclass(frozen=True, slots=True, kw_only=True)
class MfccSettings:
    """Mel-frequency cepstral coefficients of a clip of `samples` samples that was divided by its maximum.

    Window, step and samples count samples. The defaults are those of the MLPerf Tiny keyword model.
    """

    samples: int = 16000
    sample_rate: int = 16000
    window: int = 480
    step: int = 320
    channels: int = 40
    low_hz: float = 20.0
    high_hz: float = 4000.0
    coefficients: int = 10

    def __post_init__(self) -> None:
        _check_spectrum(self.window, self.channels, self.low_hz, self.high_hz, self.sample_rate)
        if not self.window <= self.samples <= _MAX_SAMPLES:
            raise ValueError(f"samples must lie between the window, {self.window}, and {_MAX_SAMPLES}")
        if self.coefficients > self.channels:
            raise ValueError(f"{self.coefficients} coefficients need as many channels, got {self.channels}")

    @property
    def frames(self) -> int:
        """Number of whole windows in the clip."""
        return 1 + (self.samples - self.window) // self.step


@dataclass(frozen=True, slots=True, kw_only=True)
class MicroFrontendSettings:
    """Log filterbank energies after noise reduction and per-channel gain control, one row per step.

    The defaults are those of the published micro_frontend with a step of 10 ms; micro_speech was trained with 20 ms
    (`step` 320).
    """

    sample_rate: int = 16000
    window: int = 480
    step: int = 160
    channels: int = 40
    low_hz: float = 125.0
    high_hz: float = 7500.0
    even_smoothing: float = 0.025
    odd_smoothing: float = 0.06
    min_signal_remaining: float = 0.05
    strength: float = 0.95
    offset: float = 80.0
    gain_bits: int = 21
    log_shift: int = 6

    def __post_init__(self) -> None:
        _check_spectrum(self.window, self.channels, self.low_hz, self.high_hz, self.sample_rate)
        if self.step > self.window:
            raise ValueError(f"step must not exceed the window, {self.window}, got {self.step}")
        for name in ("even_smoothing", "odd_smoothing", "min_signal_remaining"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in [0, 1], got {getattr(self, name)}")
        if not (0 <= self.strength <= 1 and self.offset > 0):  # up to 1 the parabolas of the gain fit 16 bits
            raise ValueError(f"strength must lie in [0, 1] and offset be above 0, got {self.strength}, {self.offset}")
        least = fft_size(self.window).bit_length() + 9  # so that no signal-to-noise ratio needs more than 32 bits
        if not (least <= self.gain_bits <= 30 and self.log_shift <= 8):
            found = f"{self.gain_bits} and {self.log_shift}"
            raise ValueError(f"gain_bits must lie in [{least}, 30] and log_shift be 8 or less, got {found}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogMelSettings:
    """Energies in mel bands, in decibels, of `frames` windows of sound or vibration, one row each.

    The defaults are those of the MLPerf Tiny anomaly model: five rows of 128 bands.
    """

    sample_rate: int = 16000
    window: int = 1024
    step: int = 512
    channels: int = 128
    low_hz: float = 0.0
    high_hz: float = 8000.0
    frames: int = 5

    def __post_init__(self) -> None:
        _check_spectrum(self.window, self.channels, self.low_hz, self.high_hz, self.sample_rate)
        if self.samples > _MAX_SAMPLES:
            raise ValueError(f"{self.frames} frames take {self.samples} samples; allowed: {_MAX_SAMPLES}")

    @property
    def samples(self) -> int:
        """Samples that the frames take."""
        return self.window + (self.frames - 1) * self.step


FrontEnd: TypeAlias = MfccSettings | MicroFrontendSettings | LogMelSettings

FRONT_ENDS: dict[str, type[FrontEnd]] = {
    "log_mel": LogMelSettings,
    "mfcc": MfccSettings,
    "micro_frontend": MicroFrontendSettings,
}
"""The front ends by the name of their step."""


def needed_samples(settings: FrontEnd, features: int) -> int:
    """Returns how many samples give that many features: of a micro_frontend as many rows as it takes."""
    if not isinstance(settings, MicroFrontendSettings):
        return settings.samples
    return settings.window + (max(1, features // settings.channels) - 1) * settings.step


def _check_spectrum(window: int, channels: int, low_hz: float, high_hz: float, sample_rate: int) -> None:
    if not MIN_FFT <= window <= MAX_FFT:
        raise ValueError(f"window must lie in [{MIN_FFT}, {MAX_FFT}] samples, got {window}")
    if channels > _MAX_CHANNELS:
        raise ValueError(f"channels must be {_MAX_CHANNELS} or fewer, got {channels}")
    if not 0 <= low_hz < high_hz <= sample_rate / 2:
        raise ValueError(
            f"0 <= low_hz < high_hz <= {sample_rate / 2:g}, half the sample rate, got {low_hz} and {high_hz}"
        )
