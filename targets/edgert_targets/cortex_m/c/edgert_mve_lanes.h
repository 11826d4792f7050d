/* The vector instructions that edgert_*_mve.h use, lane by lane in portable C, under the names of Arm's intrinsics.
 *
 * Kernels for Helium are so one text: on cores without it they give the same integers from the same packed weights, and
 * a sanitizer sees every byte that they read and write. Names, lanes and rounding: Arm C Language Extensions, MVE.
 */
#ifndef EDGERT_MVE_LANES_H
#define EDGERT_MVE_LANES_H

#include "edgert_requantize.h"

typedef struct {
    int8_t lane[16];
} int8x16_t;
typedef struct {
    int16_t lane[8];
} int16x8_t;
typedef struct {
    int32_t lane[4];
} int32x4_t;
typedef uint16_t mve_pred16_t;

/* One bit per byte: the first `count` lanes of 1 or 4 bytes take part. */
EDGERT_KERNEL mve_pred16_t edgert_first_bytes(uint32_t count)
{
    return (mve_pred16_t)(count >= 16u ? 0xFFFFu : ((1u << count) - 1u));
}
EDGERT_KERNEL mve_pred16_t vctp8q(uint32_t count) { return edgert_first_bytes(count); }
EDGERT_KERNEL mve_pred16_t vctp16q(uint32_t count) { return edgert_first_bytes(count >= 8u ? 16u : count * 2u); }
EDGERT_KERNEL mve_pred16_t vctp32q(uint32_t count) { return edgert_first_bytes(count >= 4u ? 16u : count * 4u); }

/* Loads and stores; what the predicate leaves out is not touched, and loaded as 0. */
#define EDGERT_LOAD(NAME, VECTOR, ELEMENT, LANES)                                                                      \
    EDGERT_KERNEL VECTOR vldr##NAME##_z_s##LANES(const ELEMENT *from, mve_pred16_t taken)                              \
    {                                                                                                                  \
        VECTOR result;                                                                                                 \
        for (int32_t i = 0; i < 128 / LANES; i++) {                                                                    \
            result.lane[i] = (taken >> (i * LANES / 8) & 1) ? from[i] : (ELEMENT)0;                                    \
        }                                                                                                              \
        return result;                                                                                                 \
    }                                                                                                                  \
    EDGERT_KERNEL VECTOR vldr##NAME##_s##LANES(const ELEMENT *from) { return vldr##NAME##_z_s##LANES(from, 0xFFFF); }
#define EDGERT_STORE(NAME, VECTOR, ELEMENT, LANES)                                                                     \
    EDGERT_KERNEL void vstr##NAME##_p_s##LANES(ELEMENT *to, VECTOR value, mve_pred16_t taken)                          \
    {                                                                                                                  \
        for (int32_t i = 0; i < 128 / LANES; i++) {                                                                    \
            if (taken >> (i * LANES / 8) & 1) {                                                                        \
                to[i] = (ELEMENT)value.lane[i];                                                                        \
            }                                                                                                          \
        }                                                                                                              \
    }                                                                                                                  \
    EDGERT_KERNEL void vstr##NAME##_s##LANES(ELEMENT *to, VECTOR value) { vstr##NAME##_p_s##LANES(to, value, 0xFFFF); }
EDGERT_LOAD(bq, int8x16_t, int8_t, 8)
EDGERT_LOAD(bq, int16x8_t, int8_t, 16)
EDGERT_LOAD(bq, int32x4_t, int8_t, 32)
EDGERT_LOAD(wq, int32x4_t, int32_t, 32)
EDGERT_STORE(bq, int8x16_t, int8_t, 8)
EDGERT_STORE(bq, int16x8_t, int8_t, 16)
EDGERT_STORE(bq, int32x4_t, int8_t, 32)
EDGERT_STORE(wq, int32x4_t, int32_t, 32)

/* Lane by lane: `a` and `b` are lanes of the operands; 16-bit sums and products keep their low half. */
#define EDGERT_LANES(NAME, VECTOR, RIGHT, B, LANES, VALUE)                                                             \
    EDGERT_KERNEL VECTOR NAME(VECTOR left, RIGHT right)                                                                \
    {                                                                                                                  \
        VECTOR result = left;                                                                                          \
        for (int32_t i = 0; i < LANES; i++) {                                                                          \
            const int32_t a = left.lane[i], b = B;                                                                     \
            result.lane[i] = VALUE;                                                                                    \
        }                                                                                                              \
        return result;                                                                                                 \
    }
#define EDGERT_WRAP(VALUE) (int32_t)((uint32_t)(VALUE))
EDGERT_LANES(vaddq_s16, int16x8_t, int16x8_t, right.lane[i], 8, (int16_t)(a + b))
EDGERT_LANES(vmulq_s16, int16x8_t, int16x8_t, right.lane[i], 8, (int16_t)(a *b))
EDGERT_LANES(vminq_s16, int16x8_t, int16x8_t, right.lane[i], 8, (int16_t)edgert_min(a, b))
EDGERT_LANES(vmaxq_s16, int16x8_t, int16x8_t, right.lane[i], 8, (int16_t)edgert_max(a, b))
EDGERT_LANES(vqaddq_n_s16, int16x8_t, int16_t, right, 8, (int16_t)edgert_clamp(a + b, INT16_MIN, INT16_MAX))
EDGERT_LANES(vaddq_s32, int32x4_t, int32x4_t, right.lane[i], 4, EDGERT_WRAP((uint32_t)a + (uint32_t)b))
EDGERT_LANES(vandq_s32, int32x4_t, int32x4_t, right.lane[i], 4, a &b)
EDGERT_LANES(vminq_s32, int32x4_t, int32x4_t, right.lane[i], 4, edgert_min(a, b))
EDGERT_LANES(vmaxq_s32, int32x4_t, int32x4_t, right.lane[i], 4, edgert_max(a, b))
EDGERT_LANES(vaddq_n_s32, int32x4_t, int32_t, right, 4, EDGERT_WRAP((uint32_t)a + (uint32_t)b))
EDGERT_LANES(vshlq_n_s32, int32x4_t, int32_t, right, 4, EDGERT_WRAP((uint32_t)a << b))
EDGERT_LANES(vshrq_n_s32, int32x4_t, int32_t, right, 4, a >> b)
EDGERT_LANES(vqrdmulhq_s32, int32x4_t, int32x4_t, right.lane[i], 4, edgert_high_multiply(a, b))
EDGERT_LANES(vqrdmulhq_n_s32, int32x4_t, int32_t, right, 4, edgert_high_multiply(a, b))

/* value * 2^shift, rounded half up; shift is -32 to 0 here. */
EDGERT_KERNEL int32_t edgert_rounding_shift(int32_t value, int32_t shift)
{
    return (int32_t)(((int64_t)value + ((int64_t)1 << -shift >> 1)) >> -shift);
}
EDGERT_LANES(vrshlq_s32, int32x4_t, int32x4_t, right.lane[i], 4, edgert_rounding_shift(a, b))
EDGERT_LANES(vrshlq_n_s32, int32x4_t, int32_t, right, 4, edgert_rounding_shift(a, b))

EDGERT_KERNEL int8x16_t vdupq_n_s8(int8_t value)
{
    int8x16_t result;
    memset(&result, value, sizeof result);
    return result;
}
EDGERT_KERNEL int16x8_t vdupq_n_s16(int16_t value)
{
    int16x8_t result;
    for (int32_t i = 0; i < 8; i++) {
        result.lane[i] = value;
    }
    return result;
}
EDGERT_KERNEL int32x4_t vdupq_n_s32(int32_t value)
{
    const int32x4_t result = {{value, value, value, value}};
    return result;
}

/* sum + the 16 products */
EDGERT_KERNEL int32_t vmladavaq_s8(int32_t sum, int8x16_t left, int8x16_t right)
{
    for (int32_t i = 0; i < 16; i++) {
        sum += left.lane[i] * right.lane[i];
    }
    return sum;
}

/* Even (b) and odd (t) lanes, wider, and back with saturation. */
EDGERT_KERNEL int32x4_t vmovlbq_s16(int16x8_t value)
{
    const int32x4_t result = {{value.lane[0], value.lane[2], value.lane[4], value.lane[6]}};
    return result;
}
EDGERT_KERNEL int32x4_t vmovltq_s16(int16x8_t value)
{
    const int32x4_t result = {{value.lane[1], value.lane[3], value.lane[5], value.lane[7]}};
    return result;
}
EDGERT_KERNEL int16x8_t edgert_narrow(int16x8_t into, int32x4_t value, int32_t first)
{
    for (int32_t i = 0; i < 4; i++) {
        into.lane[i * 2 + first] = (int16_t)edgert_clamp(value.lane[i], INT16_MIN, INT16_MAX);
    }
    return into;
}
EDGERT_KERNEL int16x8_t vqmovnbq_s32(int16x8_t into, int32x4_t value) { return edgert_narrow(into, value, 0); }
EDGERT_KERNEL int16x8_t vqmovntq_s32(int16x8_t into, int32x4_t value) { return edgert_narrow(into, value, 1); }

/* As bytes: the even byte of every 16-bit lane becomes the value, saturated. */
EDGERT_KERNEL int8x16_t vreinterpretq_s8_s16(int16x8_t value)
{
    int8x16_t result;
    memcpy(&result, &value, sizeof result);
    return result;
}
EDGERT_KERNEL int16x8_t vreinterpretq_s16_s8(int8x16_t value)
{
    int16x8_t result;
    memcpy(&result, &value, sizeof result);
    return result;
}
EDGERT_KERNEL int8x16_t vqmovnbq_s16(int8x16_t into, int16x8_t value)
{
    for (int32_t i = 0; i < 8; i++) {
        into.lane[i * 2] = (int8_t)edgert_clamp(value.lane[i], INT8_MIN, INT8_MAX);
    }
    return into;
}

#endif
