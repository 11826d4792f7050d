/* Element-wise operators on two tensors, either of which may be spread over the other.
 *
 * Four loops, the outermost first; a_0 to a_3 and b_0 to b_3 are how far their steps are in a and b. Each kernel also
 * comes with b as a constant table, which stands behind y. In mode fp32 every operation rounds once to float32, so no
 * compiler may fuse two of them.
 */
#ifndef EDGERT_PAIRS_H
#define EDGERT_PAIRS_H

#include "edgert_float.h"
#include "edgert_requantize.h"

#define EDGERT_LIST(...) __VA_ARGS__

#define EDGERT_PAIR_LOOPS                                                                                              \
    int32_t count_0, int32_t a_0, int32_t b_0, int32_t count_1, int32_t a_1, int32_t b_1, int32_t count_2,             \
        int32_t a_2, int32_t b_2, int32_t count_3, int32_t a_3, int32_t b_3

/* Stores `value`, an expression of p and q, the two operands, for every element, as `made`. */
#define EDGERT_FOR_PAIRS(type, made, value)                                                                            \
    for (int32_t i = 0; i < count_0; i++) {                                                                            \
        for (int32_t j = 0; j < count_1; j++) {                                                                        \
            for (int32_t k = 0; k < count_2; k++) {                                                                    \
                const type *left = a + (i * a_0 + j * a_1 + k * a_2), *right = b + (i * b_0 + j * b_1 + k * b_2);      \
                for (int32_t l = 0; l < count_3; l++, left += a_3, right += b_3) {                                     \
                    const type p = *left, q = *right;                                                                  \
                    *y++ = (made)(value);                                                                              \
                }                                                                                                      \
            }                                                                                                          \
        }                                                                                                              \
    }

/* `parameters` stand in parentheses and begin with a comma. */
#define EDGERT_PAIRS(name, type, parameters, value)                                                                    \
    EDGERT_KERNEL void edgert_##name(const type *a, const type *b, type *y, EDGERT_PAIR_LOOPS EDGERT_LIST parameters)  \
    {                                                                                                                  \
        EDGERT_FOR_PAIRS(type, type, value)                                                                            \
    }                                                                                                                  \
    EDGERT_KERNEL void edgert_##name##_table(const type *a, type *y, const type *b,                                    \
                                             EDGERT_PAIR_LOOPS EDGERT_LIST parameters)                                 \
    {                                                                                                                  \
        EDGERT_FOR_PAIRS(type, type, value)                                                                            \
    }

/* q31: operands at 2^`bits` times twice the larger scale, the sum or (signs of 1 and -1) difference at the output's. */
EDGERT_KERNEL int32_t edgert_sum_q31(int32_t bits, int32_t p, int32_t a_multiplier, int32_t a_shift, int32_t a_sign,
                                     int32_t q, int32_t b_multiplier, int32_t b_shift, int32_t b_sign,
                                     int32_t multiplier, int32_t shift)
{
    const int32_t left = edgert_multiply_q31(p * (1 << bits), a_multiplier, a_shift);
    const int32_t right = edgert_multiply_q31(q * (1 << bits), b_multiplier, b_shift);
    return edgert_multiply_q31(a_sign * left + b_sign * right, multiplier, shift);
}

/* fp32: rint(fma(a, a_ratio, fma(b, b_ratio, fixed))): a double holds product and sum before each is rounded. */
EDGERT_KERNEL float edgert_sum_fp32(int32_t p, float a_ratio, int32_t q, float b_ratio, float fixed)
{
    const float partial = (float)((double)q * (double)b_ratio + (double)fixed);
    return (float)((double)p * (double)a_ratio + (double)partial);
}

/* fp32: what an integer stands for, with a sign of 1 or -1. */
EDGERT_KERNEL float edgert_real(int32_t centred, float scale, int32_t sign)
{
    return edgert_alone((float)(sign * centred) * scale);
}

EDGERT_PAIRS(maximum, int8_t, (), p > q ? p : q)
EDGERT_PAIRS(minimum, int8_t, (), p < q ? p : q)

/* q31: the product of the centred integers, brought to the output's scale. */
EDGERT_PAIRS(mul_q31, int8_t,
             (, int32_t a_zero, int32_t b_zero, int32_t multiplier, int32_t shift, int32_t y_zero, int32_t low,
              int32_t high),
             edgert_clamp(edgert_multiply_q31((p - a_zero) * (q - b_zero), multiplier, shift) + y_zero, low, high))

/* fp32: rint(f32(product) * multiplier + y_zero), the zero point added before rounding. */
EDGERT_PAIRS(mul_fp32, int8_t,
             (, int32_t a_zero, int32_t b_zero, float multiplier, float y_zero, int32_t low, int32_t high),
             edgert_round(edgert_alone((float)((p - a_zero) * (q - b_zero)) * multiplier) + y_zero, low, high))

#define EDGERT_SUMS(type, suffix, bits)                                                                                \
    EDGERT_PAIRS(sum_pairs_q31##suffix, type,                                                                          \
                 (, int32_t a_zero, int32_t a_multiplier, int32_t a_shift, int32_t a_sign, int32_t b_zero,             \
                  int32_t b_multiplier, int32_t b_shift, int32_t b_sign, int32_t multiplier, int32_t shift,            \
                  int32_t y_zero, int32_t low, int32_t high),                                                          \
                 edgert_clamp(edgert_sum_q31(bits, p - a_zero, a_multiplier, a_shift, a_sign, q - b_zero,              \
                                             b_multiplier, b_shift, b_sign, multiplier, shift) + y_zero, low, high))   \
    EDGERT_PAIRS(add_pairs_fp32##suffix, type,                                                                         \
                 (, float a_ratio, float b_ratio, float fixed, int32_t low, int32_t high),                             \
                 edgert_round(edgert_sum_fp32(p, a_ratio, q, b_ratio, fixed), low, high))                              \
    EDGERT_PAIRS(add_swapped_fp32##suffix, type,                                                                       \
                 (, float a_ratio, float b_ratio, float fixed, int32_t low, int32_t high),                             \
                 edgert_round(edgert_sum_fp32(q, b_ratio, p, a_ratio, fixed), low, high))

EDGERT_SUMS(int8_t, , 20)
EDGERT_SUMS(int16_t, _s16, 15)

/* fp32: both operands as real numbers, their difference, that in steps of the output. */
EDGERT_PAIRS(sub_fp32, int8_t,
             (, int32_t a_zero, float a_scale, int32_t a_sign, int32_t b_zero, float b_scale, int32_t b_sign,
              float y_scale, int32_t y_zero, int32_t low, int32_t high),
             y_zero + edgert_round((edgert_real(p - a_zero, a_scale, a_sign) +
                                    edgert_real(q - b_zero, b_scale, b_sign)) / y_scale, low - y_zero, high - y_zero))

/* q31: x at the output's scale; below zero the product of x and slope, which has a scale of its own. */
EDGERT_PAIRS(prelu_q31, int8_t,
             (, int32_t x_zero, int32_t slope_zero, int32_t y_zero, int32_t above_multiplier, int32_t above_shift,
              int32_t below_multiplier, int32_t below_shift),
             edgert_clamp(y_zero + (p >= x_zero
                                        ? edgert_multiply_q31(p - x_zero, above_multiplier, above_shift)
                                        : edgert_multiply_q31((p - x_zero) * (q - slope_zero), below_multiplier,
                                                              below_shift)),
                          -128, 127))

/* fp32: what x stands for, times what the slope stands for below zero. */
EDGERT_PAIRS(prelu_fp32, int8_t,
             (, int32_t x_zero, int32_t slope_zero, int32_t y_zero, float x_scale, float slope_scale, float y_scale),
             y_zero + edgert_round((p >= x_zero ? edgert_real(p - x_zero, x_scale, 1)
                                                : edgert_alone(edgert_real(p - x_zero, x_scale, 1) *
                                                               edgert_real(q - slope_zero, slope_scale, 1))) / y_scale,
                                   -128 - y_zero, 127 - y_zero))
EDGERT_PAIRS(prelu_float, float, (), p < 0.0f ? edgert_alone(p * q) : p)

/* Floats, with the limits of a fused activation. */
EDGERT_PAIRS(add_float, float, (, float low, float high), edgert_between(p + q, low, high))
EDGERT_PAIRS(sub_float, float, (, float a_sign, float b_sign, float low, float high),
             edgert_between(a_sign * p + b_sign * q, low, high))
EDGERT_PAIRS(mul_float, float, (, float low, float high), edgert_between(edgert_alone(p * q), low, high))
EDGERT_PAIRS(div_float, float, (, float low, float high), edgert_between(p / q, low, high))
EDGERT_PAIRS(divide_into_float, float, (, float low, float high), edgert_between(q / p, low, high))
EDGERT_PAIRS(maximum_float, float, (), p > q ? p : q)
EDGERT_PAIRS(minimum_float, float, (), p < q ? p : q)
EDGERT_PAIRS(squared_difference_float, float, (), edgert_alone((p - q) * (p - q)))

#endif
