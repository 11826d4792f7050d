"""The time of a kernel: a roofline with a Gaussian process on what it leaves, one of each per family of kernels.

The roofline (Williams, Waterman, Patterson 2009; here a sum of a constant, work and traffic, with weights that are
never negative) holds far from everything that was measured, and never falls with size; the process (Rasmussen and
Williams 2006, chapter 2) corrects it near the measurements and says how far it may be believed.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgert.cost.factors import fit_factors
from edgert.cost.kernels import FEATURES, UNSIGNED, Kernel
from edgert.cost.process import fit_likeliest, new_process

__all__ = ["ANY", "FEWEST_KERNELS", "Family", "KernelModel", "KernelTimes", "fit_kernels"]

Array = NDArray[np.float64]

ANY = "any"
"""Stands in for a family that was measured too seldom or never: kernels that move numbers and compute nothing."""
FEWEST_KERNELS = 8
_MOST = 500
"""More measurements of one family are thinned: time grows with their cube, and they repeat each other."""
_TUNED_ON = 250
_LENGTHS = (1.0, 50.0)
_LEAST_GUESS_DEVIATION = 0.5
_WITHIN_FAMILY, _BETWEEN_FAMILIES, _BORROWED = 0.3, 0.25, 0.15
"""Deviations of log times of one device from those of another: of kernels, of families, and what a ratio leaves."""
_WORK_AND_TRAFFIC = tuple(
    FEATURES.index(name)
    for name in ("macs", "input_elements", "output_elements", "weight_elements", "gathers", "activated")
)
_FLOOR_MS = 2e-4
_CLOCK_MS = 3e-4
"""Standard deviation of a kernel's time that does not grow with it: clocks of profilers tick in microseconds."""
_MACS = FEATURES.index("macs")


@dataclass(frozen=True)
class Family:
    """What was learned of one family.

    Attributes:
        features: of the kernels that were measured, each as in `Kernel.features`.
        log_ms: natural logarithms of their times.
        roofline: ms for any kernel, then per MAC, number read, written and of weights, gather, pass of an activation.
        amplitude: variance of the process.
        lengths: its length scale along each feature.
        noise: variance of a measurement.
        doubt: variance of each of `log_ms` besides: of the profiler's clock, and of what another device told.
        ratio_deviation: standard deviation of the logarithm of the ratio to the other device, where there is one.
    """

    features: tuple[tuple[float, ...], ...]
    log_ms: tuple[float, ...]
    doubt: tuple[float, ...]
    roofline: tuple[float, ...]
    amplitude: float
    lengths: tuple[float, ...]
    noise: float
    ratio_deviation: float = 0.0

    def predict(self, features: Array) -> tuple[Array, Array]:
        """Returns mean and standard deviation of the logarithm of ms, (n,) each, of kernels (n, features)."""
        mean, deviation = self._process.predict(features, return_std=True)
        return mean + np.log(_roofline_ms(features, self.roofline)), np.hypot(deviation, self.ratio_deviation)

    @functools.cached_property
    def _process(self) -> Any:  # Any: untyped package
        features = np.array(self.features)
        process = new_process(np.array(self.lengths), self.amplitude, self.noise, doubt=np.array(self.doubt))
        left = np.array(self.log_ms) - np.log(_roofline_ms(features, self.roofline))
        return process.fit(features, left)


@dataclass(frozen=True, slots=True)
class KernelTimes:
    """Predictions for n kernels.

    Attributes:
        ms: medians of what is expected, (n,).
        deviation: standard deviation of their logarithms, (n,).
        guessed: names of kernels of no family that was learned.
    """

    ms: Array
    deviation: Array
    guessed: tuple[str, ...]


@dataclass(frozen=True)
class KernelModel:
    """Predicts kernels of the families that it has, and guesses others from the traffic alone.

    `guess_deviation` is that of the logarithm of a guess: what guesses of the known families were off by.
    """

    families: dict[str, Family]
    guess_deviation: float

    def predict(self, kernels: Sequence[Kernel]) -> KernelTimes:
        """Returns the time of each kernel; one that is no kernel of a known family is guessed, widely, and named."""
        log_ms, deviation = np.empty(len(kernels)), np.empty(len(kernels))
        nearest = [self._nearest(kernel) for kernel in kernels]
        for family in set(nearest):
            own = [index for index, name in enumerate(nearest) if name == family]
            features = np.array([kernels[index].features for index in own])
            log_ms[own], deviation[own] = self.families[family].predict(features)
        guesses = [index for index, name in enumerate(nearest) if name != kernels[index].family]
        least = [self.guess_deviation if nearest[index] == ANY else _LEAST_GUESS_DEVIATION for index in guesses]
        deviation[guesses] = np.maximum(deviation[guesses], least)
        guessed = tuple(kernels[index].name for index in guesses)
        return KernelTimes(np.exp(log_ms), deviation, guessed)

    def _nearest(self, kernel: Kernel) -> str:
        """The family that predicts a kernel: its own, that of int8 weights for others, or any."""
        names = (kernel.family, kernel.family.removesuffix(UNSIGNED)) if kernel.is_known else ()
        return next((name for name in names if name in self.families), ANY)


def fit_kernels(
    kernels: Sequence[Kernel],
    ms: Sequence[float],
    like: KernelModel | None = None,
    earlier: KernelModel | None = None,
) -> KernelModel:
    """Learns every family from measured kernels.

    Args:
        kernels: of one device, engine and number of threads.
        ms: their times.
        like: a model of mostly the same kernels, whose length scales and noise are taken over: to find them takes most
            of the time.
        earlier: of another device, whose measurements count here, too, times a ratio for each family, where none of
            this device's own are near.

    Raises:
        MissingExtraError: scikit-learn is not installed.
        ValueError: fewer than eight kernels.
    """
    if len(kernels) < FEWEST_KERNELS:
        raise ValueError(f"{len(kernels)} kernels are too few to learn from; at least {FEWEST_KERNELS} are needed")
    features, log_ms = np.array([kernel.features for kernel in kernels]), np.log(np.maximum(ms, _FLOOR_MS))
    known = np.array([kernel.is_known for kernel in kernels])
    names = np.array([kernel.family for kernel in kernels])
    rows = {name: np.flatnonzero((names == name) & known) for name in sorted(set(names))} | {ANY: _any(features)}
    borrowed = _borrowed(earlier, rows, features, log_ms) if earlier else {}
    before: Mapping[str, Family] = like.families if like else {}
    families = {}
    for name in sorted({*rows, *borrowed}):
        own = rows.get(name, np.arange(0))
        if name in borrowed:
            families[name] = _joined(borrowed[name], features[own], log_ms[own])
        elif own.size >= FEWEST_KERNELS:
            families[name] = _fit(features[own], log_ms[own], before.get(name))
    learned = [own for own in rows.values() if own.size >= FEWEST_KERNELS]
    errors = [np.mean((families[ANY].predict(features[own])[0] - log_ms[own]) ** 2) for own in learned]
    return KernelModel(families, max(float(np.sqrt(np.mean(errors))), _LEAST_GUESS_DEVIATION))


def _borrowed(
    earlier: KernelModel, rows: Mapping[str, NDArray[np.int64]], features: Array, log_ms: Array
) -> dict[str, Family]:
    """The families of another device, each times its own ratio of the devices, which is drawn to that of all."""
    errors = {
        name: log_ms[rows[name]] - family.predict(features[rows[name]])[0]
        for name, family in earlier.families.items()
        if rows.get(name, np.arange(0)).size
    }
    means = np.array([np.mean(error) for error in errors.values()])
    variances = np.array([_WITHIN_FAMILY**2 / error.size for error in errors.values()])
    weights = 1 / (variances + _BETWEEN_FAMILIES**2)
    common = float(means @ weights / weights.sum()) if means.size else 0.0
    pull = _BETWEEN_FAMILIES**2 * weights
    ratios = dict(zip(errors, (common + pull * (means - common)).tolist(), strict=True))
    deviations = dict(zip(errors, (_BETWEEN_FAMILIES * np.sqrt(1 - pull)).tolist(), strict=True))
    return {
        name: _scaled(family, ratios.get(name, common), deviations.get(name, _BETWEEN_FAMILIES))
        for name, family in earlier.families.items()
    }


def _scaled(family: Family, log_ratio: float, deviation: float) -> Family:
    return dataclasses.replace(
        family,
        log_ms=tuple(value + log_ratio for value in family.log_ms),
        roofline=tuple(float(np.exp(log_ratio)) * weight for weight in family.roofline),
        doubt=tuple(value + _BORROWED**2 for value in family.doubt),
        ratio_deviation=deviation,
    )


def _joined(family: Family, features: Array, log_ms: Array) -> Family:
    """A family with more measurements."""
    return dataclasses.replace(
        family,
        features=(*family.features, *map(tuple, features.tolist())),
        log_ms=(*family.log_ms, *log_ms.tolist()),
        doubt=(*family.doubt, *_of_clock(log_ms).tolist()),
    )


def _any(features: Array) -> NDArray[np.int64]:
    """Rows of kernels without products; all where there are too few."""
    moving: NDArray[np.int64] = np.flatnonzero(features[:, _MACS] == 0)
    return moving if moving.size >= FEWEST_KERNELS else np.arange(len(features))


def _fit(features: Array, log_ms: Array, like: Family | None) -> Family:
    features, log_ms = _once(features, log_ms)
    rows = _thin(len(features), _MOST)
    features, log_ms = features[rows], log_ms[rows]
    roofline = _fit_roofline(features, log_ms)
    if like is not None:
        amplitude, lengths, noise = like.amplitude, like.lengths, like.noise
    else:
        few = _thin(len(features), _TUNED_ON)
        left = log_ms - np.log(_roofline_ms(features, roofline))
        start = new_process(np.full(features.shape[1], 4.0), doubt=_of_clock(log_ms[few]), lengths=_LENGTHS)
        found = fit_likeliest(start, features[few], left[few]).kernel_
        lengths = tuple(found.k1.k2.length_scale.tolist())
        amplitude, noise = float(found.k1.k1.constant_value), float(found.k2.noise_level)
    measured = tuple(map(tuple, features.tolist())), tuple(log_ms.tolist()), tuple(_of_clock(log_ms).tolist())
    return Family(*measured, roofline, amplitude, lengths, noise)


def _once(features: Array, log_ms: Array) -> tuple[Array, Array]:
    """The mean of kernels that are the same: of one network mostly, they agree far better than those of two."""
    same, places = np.unique(features, axis=0, return_inverse=True)
    places = places.reshape(-1)  # NumPy 2.0 alone gives another shape
    return same, np.bincount(places, log_ms) / np.bincount(places)


def _of_clock(log_ms: Array) -> Array:
    """Variance of the logarithm of each time by the clock."""
    variance: Array = (_CLOCK_MS / np.exp(log_ms)) ** 2
    return variance


def _fit_roofline(features: Array, log_ms: Array) -> tuple[float, ...]:
    """The weights that are best in relative terms and not negative."""
    roofline = fit_factors(np.column_stack([np.ones(len(features)), _sizes(features)]), np.exp(log_ms))
    roofline[0] = max(roofline[0], _FLOOR_MS)
    return tuple(roofline.tolist())


def _roofline_ms(features: Array, roofline: Sequence[float]) -> Array:
    ms: Array = roofline[0] + _sizes(features) @ np.array(roofline[1:])
    return ms


def _sizes(features: Array) -> Array:
    sizes: Array = np.exp2(features[:, _WORK_AND_TRAFFIC]) - 1
    return sizes


def _thin(size: int, most: int) -> NDArray[np.int64]:
    """Places of at most so many, drawn evenly."""
    return np.sort(np.random.default_rng(0).permutation(size)[:most])
