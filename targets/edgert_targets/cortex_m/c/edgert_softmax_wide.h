/* Softmax of int16 over the last axis, mode fp32; the output always has scale 1/32768 and zero point 0. */
#ifndef EDGERT_SOFTMAX_WIDE_H
#define EDGERT_SOFTMAX_WIDE_H

#include "edgert_softmax.h"

/* `powers` in Q62: exp of -256 differences i (256 of them), then of -j single ones;
 * `drop` bits leave room for the sum. */
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
            total += edgert_softmax_power(powers, largest - x[k], 8, drop);
        }
        for (int32_t k = 0; k < depth; k++) {
            const uint64_t power = edgert_softmax_power(powers, largest - x[k], 8, drop);
            y[k] = (int16_t)edgert_min(edgert_softmax_share(power, total, 15), 32767);
        }
    }
}

#endif
