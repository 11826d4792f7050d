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

/* fp32: rint(fma(a, a_ratio, fma(b, b_ratio, fixed))); a double holds both products and both sums before they are
 * rounded to float, as in the integer interpreter. */
EDGERT_KERNEL void edgert_add_fp32(const int8_t *a, const int8_t *b, int8_t *y, int32_t count, float a_ratio,
                                   float b_ratio, float fixed, int32_t low, int32_t high)
{
    for (int32_t i = 0; i < count; i++) {
        const float partial = (float)((double)b[i] * (double)b_ratio + (double)fixed);
        const float sum = (float)((double)a[i] * (double)a_ratio + (double)partial);
        y[i] = (int8_t)edgert_clamp(edgert_multiply_fp32(1, sum), low, high);
    }
}

#endif
