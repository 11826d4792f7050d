/* Element-wise sum of two int8 tensors of one shape for Helium, 4 elements at once. */
#ifndef EDGERT_ADD_MVE_H
#define EDGERT_ADD_MVE_H

#include "edgert_mve.h"

/* (value - zero) * 2^20 * multiplier * 2^(shift - 31) by double rounding, shift <= 0. The operand with the larger scale
 * has one half as its factor: a shift is the same. */
EDGERT_KERNEL int32x4_t edgert_mve_operand(int32x4_t value, int32_t zero, int32_t multiplier, int32_t shift)
{
    const int32x4_t centred = vaddq_n_s32(value, -zero);
    if (multiplier == 1 << 30 && shift == 0) {
        return vshlq_n_s32(centred, 19);
    }
    const int32x4_t product = vqrdmulhq_n_s32(vshlq_n_s32(centred, 20), multiplier);
    const int32x4_t less = shift < 0 ? vaddq_s32(product, vshrq_n_s32(product, 31)) : product;
    return vrshlq_n_s32(less, shift);
}

/* q31: both operands at 2^20 times twice the larger scale, summed, brought to the output's scale; shifts are <= 0.
 * Rounding half away from zero as in edgert_mve_scale. */
EDGERT_KERNEL void edgert_add_q31_mve(const int8_t *a, const int8_t *b, int8_t *y, int32_t count, int32_t a_zero,
                                      int32_t a_multiplier, int32_t a_shift, int32_t b_zero, int32_t b_multiplier,
                                      int32_t b_shift, int32_t multiplier, int32_t shift, int32_t y_zero, int32_t low,
                                      int32_t high)
{
    for (; count > 0; count -= 4, a += 4, b += 4, y += 4) {
        const mve_pred16_t taken = vctp32q((uint32_t)count);
        const int32x4_t left = edgert_mve_operand(vldrbq_z_s32(a, taken), a_zero, a_multiplier, a_shift);
        const int32x4_t right = edgert_mve_operand(vldrbq_z_s32(b, taken), b_zero, b_multiplier, b_shift);
        int32x4_t sum = vqrdmulhq_n_s32(vaddq_s32(left, right), multiplier);
        if (low < y_zero && shift < 0) {
            sum = vaddq_s32(sum, vshrq_n_s32(sum, 31));
        }
        edgert_mve_store(y, vrshlq_n_s32(sum, shift), taken, 0, y_zero, low, high);
    }
}

#endif
