"""What a report shows of an input: the right kind for each kind of data, and never much."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgert_converters.sample_views import MAX_POINTS, MAX_SIDE, ViewKind, view_input


def _pixels(png: bytes | None) -> np.ndarray:
    """Decodes what png.py writes: one unfiltered RGB picture."""
    assert png is not None
    width, height = struct.unpack(">II", png[16:24])
    length = struct.unpack(">I", png[33:37])[0]
    rows = np.frombuffer(zlib.decompress(png[41 : 41 + length]), np.uint8).reshape(height, 1 + 3 * width)
    return rows[:, 1:].reshape(height, width, 3)


@pytest.mark.parametrize("shape", [(1, 3, 32, 40), (1, 32, 40, 3), (1, 1, 32, 40), (1, 32, 40, 1), (3, 32, 40)])
def test_images_of_either_layout_are_pictures(shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (32, 40, 3)).astype(np.uint8)
    image[0, 0], image[0, 1] = 0, 255
    if 1 in shape[1:]:
        image = np.repeat(image[..., :1], 3, axis=2)
    kept = image[..., :1] if 1 in shape[1:] else image
    first = shape[-1] == 40
    x = np.ascontiguousarray(kept.transpose(2, 0, 1) if first else kept).reshape(shape)
    normalised = x.astype(np.float32) / np.float32(127.5) - 1
    view = view_input("x", normalised)
    assert view.kind is ViewKind.PICTURE
    assert np.array_equal(_pixels(view.png), image)


def test_a_large_picture_is_thinned_out() -> None:
    view = view_input("x", np.zeros((1, 3, 500, 300), np.float32))
    assert max(_pixels(view.png).shape) <= MAX_SIDE


@pytest.mark.parametrize("shape", [(1, 49, 10, 1), (1, 49, 10), (49, 10), (1, 1, 49, 10)])
def test_a_table_of_features_is_a_heat_map_with_time_to_the_right(shape: tuple[int, ...]) -> None:
    mfcc = np.zeros((49, 10), np.float32)
    mfcc[0, 0], mfcc[48, 9] = -5.0, 20.0
    view = view_input("mfcc", mfcc.reshape(shape))
    pixels = _pixels(view.png)
    assert view.kind is ViewKind.HEAT_MAP
    assert pixels.shape == (10, 49, 3)
    assert pixels[9, 0].tolist() == [68, 1, 84]  # the first coefficient lies at the bottom
    assert pixels[0, 48].tolist() == [253, 231, 37]
    assert (view.low, view.high) == (-5.0, 20.0)


def test_a_signal_is_a_line_that_keeps_its_peaks() -> None:
    wave = np.zeros((1, 16000, 1), np.float32)
    wave[0, 7777, 0], wave[0, 9000, 0] = 3.0, -2.0
    view = view_input("wave", wave)
    assert view.kind is ViewKind.LINE
    assert len(view.values) == MAX_POINTS
    assert (max(view.values), min(view.values)) == (3.0, -2.0)


def test_ids_and_short_vectors_are_numbers() -> None:
    ids = view_input("ids", np.arange(128, dtype=np.int64)[None])
    assert ids.kind is ViewKind.NUMBERS
    assert ids.values == tuple(range(24))
    assert view_input("f", np.array([[0.5, -1.25]], np.float32)).values == (0.5, -1.25)
    assert view_input("mask", np.array([True, False])).values == (1.0, 0.0)
    assert view_input("text", np.array(["a", "b"])).values == ()


@given(
    st.sampled_from([np.float32, np.float16, np.int64, np.uint8, np.bool_]),
    st.lists(st.integers(0, 40), max_size=4).filter(lambda shape: np.prod(shape) < 100_000),
    st.integers(0, 2**32 - 1),
)
def test_any_input_has_a_small_view(dtype: type[np.generic], shape: list[int], seed: int) -> None:
    x = np.asarray(np.random.default_rng(seed).standard_normal(shape) * 9).astype(dtype)
    if dtype is np.float32 and x.size:
        x.reshape(-1)[0] = np.inf
    view = view_input("x", x)
    assert len(view.png or b"") < 100_000
    assert len(view.values) <= MAX_POINTS
    assert np.isfinite([view.low, view.high, *view.values]).all()
    assert view.to_json()["kind"] in {kind.value for kind in ViewKind}
