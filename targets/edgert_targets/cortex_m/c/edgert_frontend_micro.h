/* The micro_frontend filterbank, a row of features per step of a stream (docs/numerics.md). */
#ifndef EDGERT_FRONTEND_MICRO_H
#define EDGERT_FRONTEND_MICRO_H

#include "edgert_frontend_short.h"

/* What is left of a signal above its noise estimate, which follows the signal; never less than `remaining`. */
EDGERT_KERNEL uint32_t edgert_micro_reduce(uint32_t signal, uint32_t *noise, uint32_t share, uint32_t remaining)
{
    const uint32_t scaled = signal << 10;
    *noise = (uint32_t)(((uint64_t)scaled * share + (uint64_t)*noise * (16384 - share)) >> 14);
    const uint32_t left = (scaled - (*noise < scaled ? *noise : scaled)) >> 10;
    const uint32_t least = (uint32_t)(((uint64_t)signal * remaining) >> 14);
    return left > least ? left : least;
}

/* The gain for a noise estimate: of 0 and 1 as it stands, of others a parabola per octave, rounded twice. */
EDGERT_KERNEL int32_t edgert_micro_gain(uint32_t noise, const int16_t *gains)
{
    if (noise < 2) {
        return gains[noise];
    }
    const int32_t octave = edgert_bits32(noise) - 1;
    const int32_t t = (int32_t)((octave > 10 ? noise >> (octave - 10) : noise << (10 - octave)) & 1023u);
    const int16_t *const parabola = gains + 3 * octave - 1;
    const int32_t slope = ((parabola[2] * t) >> 5) + parabola[1] * 32;
    return parabola[0] + ((slope * t + (1 << 14)) >> 15);
}

/* The signal times its gain, small results bent to a square; at least 0. */
EDGERT_KERNEL uint32_t edgert_micro_bend(uint32_t signal, int32_t gain, int32_t snr_shift)
{
    const uint32_t snr = (uint32_t)(((uint64_t)signal * (uint32_t)gain) >> snr_shift);
    return snr < 8192 ? (snr * snr) >> 20 : (snr >> 6) - 64;
}

/* The energies of the bins of all stretches, in place: from int16[2] to uint32 each. */
EDGERT_KERNEL void edgert_micro_energies(void *z, int32_t first, int32_t end)
{
    uint8_t *const bytes = z;
    for (int32_t k = first; k < end; k++) {
        int16_t bin[2];
        memcpy(bin, bytes + 4 * k, sizeof bin);
        const uint32_t energy = (uint32_t)(bin[0] * bin[0]) + (uint32_t)(bin[1] * bin[1]);
        memcpy(bytes + 4 * k, &energy, sizeof energy);
    }
}

/* The weighted sums of energies: `channels` triangles. Stretch i is bins first[i] to first[i + 1] - 1, where triangle i
 * rises and triangle i - 1 falls. */
EDGERT_KERNEL void edgert_micro_triangles(const void *z, const uint16_t *first, const int16_t *rise, uint64_t *sums,
                                          int32_t channels)
{
    const uint8_t *const bytes = z;
    for (int32_t i = 0; i <= channels; i++) {
        uint64_t total = 0;
        uint64_t risen = 0;
        for (int32_t k = first[i]; k < first[i + 1]; k++) {
            uint32_t energy;
            memcpy(&energy, bytes + 4 * k, sizeof energy);
            total += energy;
            risen += (uint64_t)energy * (uint32_t)rise[k - first[0]];
        }
        if (i < channels) {
            sums[i] = risen;
        }
        if (i > 0) {
            sums[i - 1] += (total << 12) - risen;
        }
    }
}

/* The logarithm of what is left of a channel, in 2^-log_shift, rounded twice. */
EDGERT_KERNEL int32_t edgert_micro_log(uint32_t value, const uint16_t *corrections, int32_t correction_bits,
                                       int32_t log_shift)
{
    const uint64_t scaled = (uint64_t)value << correction_bits;
    const int64_t log2 = edgert_log2(scaled ? scaled : 1, corrections, 16);
    const int64_t log = (log2 * 45426 + (1 << 15)) >> 16;
    return (int32_t)(((log << log_shift) + (1 << 15)) >> 16);
}

/* One window -> features int8[channels]. scratch: int16[2 * half], then uint64[channels]. */
EDGERT_KERNEL void edgert_micro_row(const int16_t *audio, uint32_t *noise, int8_t *features, void *scratch,
                                    const int16_t *weights, const int16_t *turns, const uint16_t *first,
                                    const int16_t *rise, const uint16_t *corrections, const int16_t *gains,
                                    const int32_t *thresholds, int32_t window, int32_t half, int32_t channels,
                                    uint32_t even, uint32_t odd, uint32_t remaining, int32_t snr_shift,
                                    int32_t correction_bits, int32_t log_shift)
{
    int16_t *const z = scratch;
    uint64_t *const sums = (uint64_t *)(void *)(z + 2 * half);
    const int32_t room = edgert_short_room(audio, weights, window);
    edgert_short_load(audio, weights, z, window, half, room);
    edgert_short_transform(z, turns, half);
    edgert_short_split(z, turns, half);
    edgert_micro_energies(z, first[0], first[channels + 1]);
    edgert_micro_triangles(z, first, rise, sums, channels);
    for (int32_t i = 0; i < channels; i++) {
        const uint32_t signal = edgert_nearest_root(sums[i]) >> room;
        const uint32_t left = edgert_micro_reduce(signal, &noise[i], i & 1 ? odd : even, remaining);
        const uint32_t bent = edgert_micro_bend(left, edgert_micro_gain(noise[i], gains), snr_shift);
        features[i] = edgert_feature(edgert_micro_log(bent, corrections, correction_bits, log_shift), thresholds);
    }
}

/* Takes samples until the window is full or none is left; returns how many. */
EDGERT_KERNEL int32_t edgert_micro_take(int16_t *held, int32_t *count, const int16_t *audio, int32_t samples,
                                        int32_t window)
{
    const int32_t taken = edgert_min(samples, window - *count);
    memcpy(held + *count, audio, (size_t)taken * sizeof *audio);
    *count += taken;
    return taken;
}

/* Lets go of the first `step` samples of a full window. */
EDGERT_KERNEL void edgert_micro_step(int16_t *held, int32_t *count, int32_t window, int32_t step)
{
    for (int32_t i = step; i < window; i++) {
        held[i - step] = held[i];
    }
    *count = window - step;
}

#endif
