/* Element-wise sum of two int8 tensors of one shape. */
#ifndef EDGERT_ADD_H
#define EDGERT_ADD_H

#include "edgert_requantize.h"

/* q31: both operands at 2^20 times twice the larger scale, summed, brought to the output's scale. */
EDGERT_KERNEL void edgert_add_q31(const int8_t *a, const int8_t *b, int8_t *y, int32_t count, int32_t a_zero,
                                  int32_t a_multiplier, int32_t a_shift, int32_t b_zero, int32_t b_multiplier,
                                  int32_t b_shift, int32_t multiplier, int32_t shift, int32_t y_zero, int32_t low,
                                  int32_t high)
{
    for (int32_t i = 0; i < count; i++) {
        const int32_t left = edgert_multiply_q31((a[i] - a_zero) * (1 << 20), a_multiplier, a_shift);
        const int32_t right = edgert_multiply_q31((b[i] - b_zero) * (1 << 20), b_multiplier, b_shift);
        const int32_t sum = edgert_multiply_q31(left + right, multiplier, shift);
        y[i] = (int8_t)edgert_clamp(sum + y_zero, low, high);
    }
}

/* The same where a has the larger scale, so that its multiplier is exactly a half, and right shifts are small.
 *
 * Everything is doubled once more for edgert_smmlar: a * 2^20 is exact, 2 * (b * 2^20) enters the high multiply.
 * `b_rounding` holds half a step of b's shift and, before that shift, -a_zero * 2^19; `rounding` holds half a step of
 * the last shift and the output's zero point, as in edgert_scale_fast. */
EDGERT_KERNEL int32_t edgert_add_one(int32_t a, int32_t b, int32_t b_zero, int32_t b_multiplier, int32_t b_right,
                                     int32_t b_rounding, int32_t multiplier, int32_t right, int32_t rounding)
{
    const int32_t wide = (b - b_zero) * (1 << 21);
    const int32_t addend = b_right > 0 ? b_rounding + (wide >> 31) : b_rounding;
    const int32_t term = edgert_smmlar(wide, b_multiplier, addend) >> b_right;
    const int32_t sum = term * 2 + a * (1 << 20);
    return edgert_smmlar(sum, multiplier, rounding + (sum >> 31)) >> right;
}

EDGERT_KERNEL void edgert_add_fast_q31(const int8_t *a, const int8_t *b, int8_t *y, int32_t count, int32_t b_zero,
                                       int32_t b_multiplier, int32_t b_right, int32_t b_rounding, int32_t multiplier,
                                       int32_t right, int32_t rounding, int32_t low, int32_t high)
{
    int32_t left = count;
    for (; left >= 4; left -= 4, a += 4, b += 4, y += 4) {
        int32_t sums[4];
        EDGERT_UNROLL(4)
        for (int32_t i = 0; i < 4; i++) {
            sums[i] = edgert_limit(edgert_add_one(a[i], b[i], b_zero, b_multiplier, b_right, b_rounding, multiplier,
                                                  right, rounding),
                                   low, high);
        }
        EDGERT_UNROLL(4)
        for (int32_t i = 0; i < 4; i++) {
            y[i] = (int8_t)sums[i];
        }
    }
    for (; left > 0; left--, a++, b++, y++) {
        const int32_t sum = edgert_add_one(*a, *b, b_zero, b_multiplier, b_right, b_rounding, multiplier, right,
                                           rounding);
        *y = (int8_t)edgert_limit(sum, low, high);
    }
}

/* fp32: rint(fma(a, a_ratio, fma(b, b_ratio, fixed))), each fused operation rounded once to float32. */
#if (defined(__FMA__) || (defined(__ARM_FEATURE_FMA) && defined(__ARM_FP))) && !defined(EDGERT_NO_FPU)
EDGERT_KERNEL void edgert_add_fp32(const int8_t *a, const int8_t *b, int8_t *y, int32_t count, float a_ratio,
                                   float b_ratio, float fixed, int64_t a_whole, int64_t b_whole, int64_t fixed_whole,
                                   int32_t point, int32_t low, int32_t high)
{
    (void)a_whole, (void)b_whole, (void)fixed_whole, (void)point;
    for (int32_t i = 0; i < count; i++) {
        const float partial = __builtin_fmaf((float)b[i], b_ratio, fixed);
        y[i] = (int8_t)edgert_limit(edgert_round_fp32(__builtin_fmaf((float)a[i], a_ratio, partial)), low, high);
    }
}
#else
/* value rounded to 24 significant bits, half to even: what a float32 keeps. */
EDGERT_KERNEL int64_t edgert_keep_24_bits(int64_t value)
{
    const uint64_t magnitude = value < 0 ? 0u - (uint64_t)value : (uint64_t)value;
    const int32_t drop = edgert_max(edgert_width(magnitude) - 24, 0);
    const int64_t kept = (int64_t)(edgert_drop_bits(magnitude, drop) << drop);
    return value < 0 ? -kept : kept;
}

/* Without a fused multiply-add: integers in units of 2^-point, in which every product and sum is exact. */
EDGERT_KERNEL void edgert_add_fp32(const int8_t *a, const int8_t *b, int8_t *y, int32_t count, float a_ratio,
                                   float b_ratio, float fixed, int64_t a_whole, int64_t b_whole, int64_t fixed_whole,
                                   int32_t point, int32_t low, int32_t high)
{
    (void)a_ratio, (void)b_ratio, (void)fixed;
    for (int32_t i = 0; i < count; i++) {
        const int64_t partial = edgert_keep_24_bits(b[i] * b_whole + fixed_whole);
        const int64_t sum = edgert_keep_24_bits(a[i] * a_whole + partial);
        const uint64_t magnitude = edgert_drop_bits(sum < 0 ? 0u - (uint64_t)sum : (uint64_t)sum, point);
        const int32_t whole = (int32_t)(magnitude > 512 ? 512 : magnitude);
        y[i] = (int8_t)edgert_clamp(sum < 0 ? -whole : whole, low, high);
    }
}
#endif

#endif
