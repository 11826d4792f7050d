/* Softmax of int16 over the last axis, mode fp32; the output always has scale 1/32768 and zero point 0. */
#ifndef EDGERT_SOFTMAX_WIDE_H
#define EDGERT_SOFTMAX_WIDE_H

#include "edgert_softmax.h"

/* A product of two entries of `powers` in Q62: exp of -256 differences i (256 of them), then of -j single ones. */
EDGERT_KERNEL uint64_t edgert_power_wide(const uint64_t *powers, int32_t difference, int32_t drop)
{
    const uint64_t power = edgert_high_product(powers[difference >> 8], powers[256 + (difference & 255)]);
    return (power + ((uint64_t)1 << (drop - 1))) >> drop;
}

/* rint(32768 * p), half to even, p = power / total, divided out bit by bit. */
EDGERT_KERNEL int32_t edgert_share_of_32768(uint64_t power, uint64_t total)
{
    int32_t share = 0;
    for (int32_t i = 0; i < 16; i++) {
        const int32_t bit = power >= total;
        share = 2 * share + bit;
        power = (bit ? power - total : power) * 2;
    }
    return share + (power > total || (power == total && (share & 1)) ? 1 : 0);
}

/* `drop` bits leave room for the sum. */
EDGERT_KERNEL void edgert_softmax_wide(const int16_t *x, int16_t *y, const uint64_t *powers, int32_t batch,
                                       int32_t depth, int32_t drop)
{
    for (int32_t n = 0; n < batch; n++, x += depth, y += depth) {
        int32_t largest = x[0];
        uint64_t total = 0;
        for (int32_t k = 1; k < depth; k++) {
            largest = edgert_max(largest, x[k]);
        }
        for (int32_t k = 0; k < depth; k++) {
            total += edgert_power_wide(powers, largest - x[k], drop);
        }
        for (int32_t k = 0; k < depth; k++) {
            const uint64_t power = edgert_power_wide(powers, largest - x[k], drop);
            y[k] = (int16_t)edgert_min(edgert_share_of_32768(power, total), 32767);
        }
    }
}

#endif
