/* What the kernels for Helium (Armv8.1-M MVE) share: sums of 4 outputs to 4 output integers at once.
 *
 * A table of channels is int32_t, in blocks of 4 channels: 4 biases, 4 multipliers (in fp32 mode bits of floats) and
 * in q31 mode 4 shifts in one number, a byte each, the first one lowest. The last block is filled up with zeros.
 */
#ifndef EDGERT_MVE_H
#define EDGERT_MVE_H

#include "edgert_requantize.h"

#if defined(__ARM_FEATURE_MVE)
#include <arm_mve.h>
#else
#include "edgert_mve_lanes.h"
#endif

/* Loads stay on their side of these and sums stay sums: GCC 12 moves them so far that vectors go to the stack. */
#if defined(__ARM_FEATURE_MVE) && defined(__GNUC__)
#define EDGERT_MVE_POINTER(pointer) __asm__ volatile("" : "+l"(pointer) : : "memory")
#define EDGERT_MVE_VECTOR(vector) __asm__ volatile("" : "+w"(vector) : : "memory")
#else
#define EDGERT_MVE_POINTER(pointer)
#define EDGERT_MVE_VECTOR(vector)
#endif

EDGERT_KERNEL int32x4_t edgert_mve_lanes(int32_t a, int32_t b, int32_t c, int32_t d)
{
#if defined(__ARM_FEATURE_MVE) && defined(__GNUC__)
    int32x4_t result; /* GCC 12 would go through memory */
    __asm__("vmov %q[result][2], %q[result][0], %[a], %[c]\n\t"
            "vmov %q[result][3], %q[result][1], %[b], %[d]"
            : [result] "=w"(result)
            : [a] "r"(a), [b] "r"(b), [c] "r"(c), [d] "r"(d));
    return result;
#else
    const int32_t lanes[4] = {a, b, c, d};
    return vldrwq_s32(lanes);
#endif
}

#if defined(EDGERT_REQUANTIZE_Q31)
#define EDGERT_MVE_BLOCK 9 /* numbers in the table of 4 channels */

typedef struct {
    int32x4_t multipliers, shifts;
} edgert_mve_scales_t;

EDGERT_KERNEL edgert_mve_scales_t edgert_mve_scales(const int32_t *table)
{
    const edgert_mve_scales_t scales = {vldrwq_s32(table + 4), vldrbq_s32((const int8_t *)(table + 8))};
    return scales;
}

/* 4 sums times their multipliers. vqrdmulh rounds half up as edgert_high_multiply does, vrshl rounds half up too: half
 * away from zero differs below zero only, by one less before the shift where there is one; when everything below zero
 * is clamped (`is_signed` 0) that makes no difference. */
EDGERT_KERNEL int32x4_t edgert_mve_scale(int32x4_t sums, edgert_mve_scales_t scales, int32_t is_signed)
{
    int32x4_t value = vqrdmulhq_s32(sums, scales.multipliers);
    if (is_signed) {
        value = vaddq_s32(value, vshrq_n_s32(vandq_s32(value, scales.shifts), 31));
    }
    return vrshlq_s32(value, scales.shifts);
}
#else
#define EDGERT_MVE_BLOCK 8

typedef struct {
    int32x4_t multipliers; /* the bits of floats */
} edgert_mve_scales_t;

EDGERT_KERNEL edgert_mve_scales_t edgert_mve_scales(const int32_t *table)
{
    const edgert_mve_scales_t scales = {vldrwq_s32(table + 4)};
    return scales;
}

/* 4 sums times their multipliers: rint(f32(sum) * multiplier), half to even; nothing here can be contracted. */
EDGERT_KERNEL int32x4_t edgert_mve_scale(int32x4_t sums, edgert_mve_scales_t scales, int32_t is_signed)
{
    (void)is_signed;
#if defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 2)
    return vcvtnq_s32_f32(vmulq_f32(vcvtq_f32_s32(sums), vreinterpretq_f32_s32(scales.multipliers)));
#else
    int32_t values[4];
    float multipliers[4];
    vstrwq_s32(values, sums);
    memcpy(multipliers, &scales.multipliers, sizeof multipliers);
    for (int32_t i = 0; i < 4; i++) {
        values[i] = edgert_multiply_fp32(values[i], multipliers[i]);
    }
    return vldrwq_s32(values);
#endif
}
#endif

/* Adds the zero point to 4 scaled sums, clamps and stores them; the lanes that `taken` leaves out are not stored. */
EDGERT_KERNEL void edgert_mve_store(int8_t *y, int32x4_t scaled, mve_pred16_t taken, int32_t is_whole, int32_t zero,
                                    int32_t low, int32_t high)
{
    const int32x4_t value = vmaxq_s32(vminq_s32(vaddq_n_s32(scaled, zero), vdupq_n_s32(high)), vdupq_n_s32(low));
    if (is_whole) {
        vstrbq_s32(y, value);
    } else {
        vstrbq_p_s32(y, value, taken);
    }
}

/* Copies; `bytes` beyond a multiple of 16 are read by no more than they are, but written as 16: the target has room. */
EDGERT_KERNEL void edgert_mve_copy(const int8_t *from, int8_t *to, int32_t bytes)
{
    int32_t i = 0;
    EDGERT_UNROLL(4)
    for (; i + 16 <= bytes; i += 16) {
        vstrbq_s8(to + i, vldrbq_s8(from + i));
    }
    if (i < bytes) {
        vstrbq_s8(to + i, vldrbq_z_s8(from + i, vctp8q((uint32_t)(bytes - i))));
    }
}

/* Copies `bytes`, none beyond. */
EDGERT_KERNEL void edgert_mve_copy_exactly(const int8_t *from, int8_t *to, int32_t bytes)
{
    for (int32_t i = 0; i < bytes; i += 16) {
        const mve_pred16_t taken = vctp8q((uint32_t)(bytes - i));
        vstrbq_p_s8(to + i, vldrbq_z_s8(from + i, taken), taken);
    }
}

#endif
