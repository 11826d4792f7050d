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

/* q31: `powers[d]` is exp of difference d to the largest logit in Q0, 0 where it is too small to count, as it is from
 * `known` on. */
EDGERT_KERNEL int32_t edgert_power_q31(const int32_t *powers, int32_t known, int32_t difference)
{
    return difference < known ? powers[difference] : 0;
}

EDGERT_KERNEL void edgert_softmax_q31(const int8_t *x, int8_t *y, const int32_t *powers, int32_t batch, int32_t depth,
                                      int32_t known)
{
    for (int32_t n = 0; n < batch; n++, x += depth, y += depth) {
        int32_t largest = x[0], total = 0;
        for (int32_t k = 1; k < depth; k++) {
            largest = edgert_max(largest, x[k]);
        }
        for (int32_t k = 0; k < depth; k++) {
            total += edgert_divide_by_power(edgert_power_q31(powers, known, largest - x[k]), 12);
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
            const int32_t power = edgert_power_q31(powers, known, largest - x[k]);
            const int32_t share = edgert_divide_by_power(edgert_high_multiply(power, inverse), above_one + 31 - 8);
            y[k] = power == 0 ? -128 : (int8_t)edgert_clamp(share - 128, -128, 127);
        }
    }
}

/* fp32: rint(256 * p) - 128, half to even, p = exp(x_k - largest) / sum of all. A power is a product of two entries of
 * `powers` in Q62: exp of -16 differences i (16 of them), then of -j single ones (16); `drop` bits leave room for the
 * sum. The quotient is divided out bit by bit. */
EDGERT_KERNEL uint64_t edgert_high_product(uint64_t a, uint64_t b)
{
    const uint64_t a_low = a & 0xFFFFFFFFu, b_low = b & 0xFFFFFFFFu;
    const uint64_t first = (a >> 32) * b_low + (a_low * b_low >> 32);
    const uint64_t second = a_low * (b >> 32) + (first & 0xFFFFFFFFu);
    return (a >> 32) * (b >> 32) + (first >> 32) + (second >> 32);
}

EDGERT_KERNEL uint64_t edgert_softmax_power(const uint64_t *powers, int32_t difference, int32_t low_bits,
                                            int32_t drop)
{
    const int32_t ones = 1 << low_bits;
    const uint64_t power =
        edgert_high_product(powers[difference >> low_bits], powers[ones + (difference & (ones - 1))]);
    return (power + ((uint64_t)1 << (drop - 1))) >> drop;
}

/* rint(2^bits * p), half to even, p = power / total. */
EDGERT_KERNEL int32_t edgert_softmax_share(uint64_t power, uint64_t total, int32_t bits)
{
    int32_t share = 0;
    for (int32_t i = 0; i <= bits; i++) {
        const int32_t bit = power >= total;
        share = 2 * share + bit;
        power = (bit ? power - total : power) * 2;
    }
    return share + (power > total || (power == total && (share & 1)) ? 1 : 0);
}

EDGERT_KERNEL void edgert_softmax_fp32(const int8_t *x, int8_t *y, const uint64_t *powers, int32_t batch,
                                       int32_t depth, int32_t drop)
{
    for (int32_t n = 0; n < batch; n++, x += depth, y += depth) {
        int32_t largest = x[0];
        uint64_t total = 0;
        for (int32_t k = 1; k < depth; k++) {
            largest = edgert_max(largest, x[k]);
        }
        for (int32_t k = 0; k < depth; k++) {
            total += edgert_softmax_power(powers, largest - x[k], 4, drop);
        }
        for (int32_t k = 0; k < depth; k++) {
            const int32_t share = edgert_softmax_share(edgert_softmax_power(powers, largest - x[k], 4, drop), total, 8);
            y[k] = (int8_t)edgert_min(share - 128, 127);
        }
    }
}

#endif
