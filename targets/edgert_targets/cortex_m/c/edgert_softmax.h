/* Softmax over the last axis; the output always has scale 1/256 and zero point -128. */
#ifndef EDGERT_SOFTMAX_H
#define EDGERT_SOFTMAX_H

#include "edgert_requantize.h"

/* 2 / (1 + a) for a in [0, 1] in Q0, as a number in Q1: three Newton steps as in gemmlowp's fixedpoint.h. */
EDGERT_KERNEL int32_t edgert_one_over_one_plus(int32_t a)
{
    const int32_t half = (int32_t)(((int64_t)a + INT32_MAX + 1) >> 1);
    int32_t x = 1515870810 + edgert_high_multiply(half, -1010580540);
    for (int32_t i = 0; i < 3; i++) {
        const int32_t correction = edgert_high_multiply(x, (1 << 29) - edgert_high_multiply(half, x));
        x += edgert_clamp(correction, INT32_MIN / 4, INT32_MAX / 4) * 4;
    }
    return x;
}

/* q31: `powers[d]` is exp of difference d to the largest logit in Q0, 0 where it is too small to count. */
EDGERT_KERNEL void edgert_softmax_q31(const int8_t *x, int8_t *y, const int32_t *powers, int32_t batch, int32_t depth)
{
    for (int32_t n = 0; n < batch; n++, x += depth, y += depth) {
        int32_t largest = x[0], total = 0;
        for (int32_t k = 1; k < depth; k++) {
            largest = edgert_max(largest, x[k]);
        }
        for (int32_t k = 0; k < depth; k++) {
            total += edgert_divide_by_power(powers[largest - x[k]], 12);
        }
        int32_t headroom = 0;
        while (((uint32_t)total << headroom & 0x80000000u) == 0) {
            headroom++;
        }
        const int32_t above_one = 12 - headroom;
        const int32_t scaled = (int32_t)(((uint32_t)total << headroom) - 0x80000000u);
        const int32_t half_inverse = edgert_one_over_one_plus(scaled);
        const int32_t inverse = half_inverse > INT32_MAX / 2 ? INT32_MAX : half_inverse * 2;
        for (int32_t k = 0; k < depth; k++) {
            const int32_t power = powers[largest - x[k]];
            const int32_t share = edgert_divide_by_power(edgert_high_multiply(power, inverse), above_one + 31 - 8);
            y[k] = power == 0 ? -128 : (int8_t)edgert_clamp(share - 128, -128, 127);
        }
    }
}

#endif
