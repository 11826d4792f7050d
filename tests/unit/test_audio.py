"""Features of sound in whole numbers: against TensorFlow's microfrontend and against MFCC in float."""

from __future__ import annotations

import dataclasses
import wave
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgert.bundle import TensorSpec
from edgert.commands.sound import hear, read_wav
from edgert.dtypes import DType
from edgert.errors import DataError, RecipeError, UsageError
from edgert.runtime.audio.integers import bit_length, log2, nearest_root, root
from edgert.runtime.audio.mfcc import FEATURE_BITS, mfcc
from edgert.runtime.audio.micro_frontend import micro_frontend
from edgert.runtime.audio.settings import MfccSettings, MicroFrontendSettings, needed_samples
from edgert.runtime.preprocess import build_preprocess
from tests import bundle_example

REFERENCE = Path(__file__).parents[1] / "data/micro_frontend.npz"
"""What TensorFlow's microfrontend (C, kissfft with 16 bits) gives for four of the clips, at 10 and 20 ms a row.

Its sources are those in the source archive of pymicro-features 2.0.2, window and mel scale in double precision as in
TensorFlow's own repository (that package has them in single precision, which moves one value of the window by one).
"""


@pytest.fixture(scope="module")
def sounds(zoo: Path) -> dict[str, NDArray[np.int16]]:
    with np.load(zoo / "data/speech_commands_v2_wav_60.npz") as data:
        return {name: data[name] for name in ("wav_int16", "mfcc_ref")}


@pytest.mark.parametrize("milliseconds", [10, 20])
def test_micro_frontend_is_tensorflows_bit_for_bit(milliseconds: int, sounds: dict[str, NDArray[np.int16]]) -> None:
    settings = MicroFrontendSettings(step=16 * milliseconds)
    with np.load(REFERENCE) as reference:
        for clip, expected in zip(reference["clips"], reference[f"step_{milliseconds}_ms"], strict=True):
            assert np.array_equal(micro_frontend(sounds["wav_int16"][clip], settings), expected)


def test_mfcc_is_near_the_float_one(sounds: dict[str, NDArray[np.int16]]) -> None:
    expected = sounds["mfcc_ref"]
    found = np.array([mfcc(clip, MfccSettings()) for clip in sounds["wav_int16"]]) * 2.0**-FEATURE_BITS
    assert found.shape == expected.shape == (60, 49, 10)
    assert np.abs(found - expected).mean() < 0.001
    assert np.abs(found - expected).max() < 0.2


def test_square_roots_and_logarithms() -> None:
    rng = np.random.default_rng(1)
    values = np.concatenate([np.arange(70000), rng.integers(0, 1 << 50, 1000) >> rng.integers(0, 50, 1000)])
    assert np.array_equal(bit_length(values), [int(value).bit_length() for value in values])
    exact = np.sqrt(values.astype(np.longdouble))
    assert np.all(np.abs(root(values) - exact) <= np.maximum(1, exact * 2.0**-15))
    assert np.all((np.abs(nearest_root(values) - exact) <= 0.5) | (values >> 16 == 0xFFFF))
    near = values[values > 0]
    assert np.abs(log2(near) / 65536 - np.log2(near.astype(np.float64))).max() < 5e-5


def test_needed_samples_give_the_features() -> None:
    assert needed_samples(MfccSettings(samples=9000), 280) == 9000
    settings = MicroFrontendSettings(step=320)
    assert micro_frontend(np.zeros(needed_samples(settings, 1960), np.int16), settings).size == 1960


def test_steps_take_sound_only() -> None:
    preprocess = build_preprocess([{"op": "mfcc"}])
    assert preprocess(np.zeros(4000, np.int16))[0].shape == (1, 49, 10)
    with pytest.raises(DataError, match=r"expected sound as int16\[samples\], got float32 of shape \(16000,\)"):
        preprocess(np.zeros(16000, np.float32))


@pytest.mark.parametrize(
    ("step", "match"),
    [
        ({"op": "mfcc", "window": 32}, r"window must lie in \[64, 2048\] samples, got 32"),
        ({"op": "mfcc", "channels": 200}, r"channels must be 128 or fewer, got 200"),
        ({"op": "mfcc", "samples": 100}, r"samples must lie between the window, 480, and 1048576"),
        ({"op": "mfcc", "coefficients": 41}, r"41 coefficients need as many channels, got 40"),
        ({"op": "mfcc", "high_hz": 8001.0}, r"0 <= low_hz < high_hz <= 8000, half the sample rate, got 20.0 and 8001"),
        ({"op": "micro_frontend", "step": 500}, r"step must not exceed the window, 480, got 500"),
        ({"op": "micro_frontend", "even_smoothing": 2.0}, r"even_smoothing must lie in \[0, 1\], got 2.0"),
        (
            {"op": "micro_frontend", "offset": 0.0},
            r"strength must lie in \[0, 1\] and offset be above 0, got 0.95, 0.0",
        ),
        ({"op": "micro_frontend", "gain_bits": 12}, r"gain_bits must lie in \[19, 30\] and log_shift be 8 or less"),
        ({"op": "mfcc", "windows": 480}, r"windows"),
    ],
)
def test_wrong_settings_are_refused(step: dict[str, object], match: str) -> None:
    with pytest.raises(RecipeError, match=match):
        build_preprocess([step])


def _write_wav(path: Path, rate: int = 16000, channels: int = 1, width: int = 2) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(bytes(1000 * channels * width))
    return path


def test_wav_files_of_other_kinds_are_refused(tmp_path: Path) -> None:
    assert read_wav(_write_wav(tmp_path / "x.wav", rate=8000))[1] == 8000
    with pytest.raises(DataError, match=r"2 channels of 16 bits; one channel of 16 bits is allowed"):
        read_wav(_write_wav(tmp_path / "x.wav", channels=2))
    with pytest.raises(DataError, match=r"1 channels of 8 bits"):
        read_wav(_write_wav(tmp_path / "x.wav", width=1))
    (tmp_path / "text.wav").write_text("no sound")
    with pytest.raises(DataError, match=r"text.wav: not a readable .wav file"):
        read_wav(tmp_path / "text.wav")
    with pytest.raises(DataError, match=r"none.wav: cannot be read"):
        read_wav(tmp_path / "none.wav")


def test_bundles_that_do_not_take_the_sound_refuse_it(tmp_path: Path) -> None:
    sound = _write_wav(tmp_path / "x.wav")
    with pytest.raises(UsageError, match=r"has no pre-processing for sound; give .* mfcc, micro_frontend"):
        hear(sound, bundle_example.write(tmp_path))
    step: dict[str, object] = {"op": "mfcc"}
    steps = (step, {"op": "reshape", "shape": [7]})
    with pytest.raises(DataError, match=r"x.wav: 1000 samples do not fit .*: "):
        hear(sound, bundle_example.write(tmp_path, preprocess=steps))
    with pytest.raises(DataError, match=r"x.wav: 44100 Hz; the step mfcc of .* takes 16000 Hz: resample the file"):
        hear(_write_wav(sound, rate=44100), bundle_example.write(tmp_path, preprocess=(step,)))
    with pytest.raises(UsageError, match=r"is no bundle and says nothing about sound"):
        hear(sound, sound)


def test_a_stream_becomes_inputs_one_after_the_other(tmp_path: Path) -> None:
    sound = _write_wav(tmp_path / "x.wav")  # 1000 samples: four rows of 480, 160 apart
    rows, states = TensorSpec("rows", (1, 2, 40), DType.FLOAT), TensorSpec("states", (1, 8), DType.FLOAT)
    step: dict[str, object] = {"op": "micro_frontend"}
    (heard,) = hear(sound, bundle_example.write(tmp_path, preprocess=(step,), inputs=(rows,))).values()
    assert heard.shape == (2, 2, 40)
    with pytest.raises(UsageError, match=r"takes several inputs \(rows, states\) and sound is for one"):
        hear(sound, bundle_example.write(tmp_path, preprocess=(step,), inputs=(rows, states)))
    c = dataclasses.replace(bundle_example.variants()[0], format="c", inputs=(rows,))
    path = bundle_example.write(
        tmp_path, preprocess=(step,), inputs=(rows, states), variants=(c, *bundle_example.variants()[1:])
    )
    assert list(hear(sound, path)) == ["rows"]
