/* MFCC of a clip of known length that counts as divided by its maximum (docs/numerics.md). */
#ifndef EDGERT_FRONTEND_MFCC_H
#define EDGERT_FRONTEND_MFCC_H

#include "edgert_frontend_spectrum.h"

/* The largest sample, at least 1. */
EDGERT_KERNEL int32_t edgert_peak(const int16_t *audio, int32_t samples)
{
    int32_t peak = 1;
    for (int32_t i = 0; i < samples; i++) {
        peak = edgert_max(peak, audio[i]);
    }
    return peak;
}

/* The logarithms of the channels of one window, in place of the first half of each sum. */
EDGERT_KERNEL void edgert_mfcc_logs(const uint64_t *sums, const uint16_t *corrections, int32_t *logs, uint64_t floor,
                                    int32_t scale, int32_t channels)
{
    for (int32_t i = 0; i < channels; i++) {
        const uint64_t sum = sums[i] + floor;
        logs[i] = edgert_log2(sum ? sum : 1, corrections, 9) - scale;
    }
}

/* One row of the cosine transform, rounded half up to 1/1024. */
EDGERT_KERNEL int32_t edgert_mfcc_coefficient(const int32_t *logs, const int16_t *cosines, int32_t channels,
                                              int32_t drop)
{
    int64_t sum = (int64_t)1 << (drop - 1);
    for (int32_t i = 0; i < channels; i++) {
        sum += edgert_long_product(logs[i], cosines[i]);
    }
    return (int32_t)(sum >> drop);
}

/* audio int16[samples] -> features int8[frames][coefficients]. scratch: int32[2 * half], then uint64[channels]. */
EDGERT_KERNEL void edgert_mfcc(const int16_t *audio, int8_t *features, void *scratch, const int16_t *weights,
                               const int16_t *turns, const uint16_t *first, const int16_t *rise,
                               const uint16_t *corrections, const int16_t *cosines, const int32_t *thresholds,
                               int32_t samples, int32_t window, int32_t step, int32_t half, int32_t channels,
                               int32_t coefficients, uint32_t floor, int32_t unit, int32_t drop)
{
    int32_t *const z = scratch;
    uint64_t *const sums = (uint64_t *)(void *)(z + 2 * half);
    int32_t *const logs = z;
    const int32_t peak = edgert_peak(audio, samples);
    const int32_t scale = edgert_log2((uint64_t)(uint32_t)peak, corrections, 9) + unit;
    const uint64_t added = ((uint64_t)(uint32_t)peak * floor) >> 16;
    for (int32_t start = 0; start + window <= samples; start += step) {
        edgert_spectrum(audio + start, weights, turns, z, window, half);
        edgert_triangles(z, first, rise, sums, channels);
        edgert_mfcc_logs(sums, corrections, logs, added, scale, channels);
        for (int32_t i = 0; i < coefficients; i++) {
            *features++ = edgert_feature(edgert_mfcc_coefficient(logs, cosines + i * channels, channels, drop),
                                         thresholds);
        }
    }
}

#endif
