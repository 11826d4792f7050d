/* Sums to output integers, in the mode of the model (docs/numerics.md): model.c defines EDGERT_REQUANTIZE_Q31 or
 * EDGERT_REQUANTIZE_FP32 before it includes kernels.
 *
 * Each form must give the integers of the integer interpreter, bit for bit, on every core and under every option.
 */
#ifndef EDGERT_REQUANTIZE_H
#define EDGERT_REQUANTIZE_H

#include "edgert_dsp.h"

/* value * multiplier * 2^-31, rounded half up: what gemmlowp's saturating doubling high multiply gives but for
 * (-2^31)^2, which no multiplier of a model reaches. */
EDGERT_KERNEL int32_t edgert_high_multiply(int32_t value, int32_t multiplier)
{
    return (int32_t)(((int64_t)value * multiplier + (1 << 30)) >> 31);
}

/* value / 2^exponent, rounded half away from zero; exponent is 0 to 31. */
EDGERT_KERNEL int32_t edgert_divide_by_power(int32_t value, int32_t exponent)
{
    const int32_t mask = (int32_t)(((uint32_t)1 << exponent) - 1u);
    return (value >> exponent) + ((value & mask) > (mask >> 1) + (value < 0) ? 1 : 0);
}

/* value * multiplier * 2^(shift - 31) by TensorFlow Lite's double rounding; |value| * 2^max(shift, 0) fits int32. */
EDGERT_KERNEL int32_t edgert_multiply_q31(int32_t value, int32_t multiplier, int32_t shift)
{
    const int32_t left = edgert_max(shift, 0);
    return edgert_divide_by_power(edgert_high_multiply((int32_t)((uint32_t)value << left), multiplier), left - shift);
}

/* mantissa * 2^-drop, rounded half to even; drop is 0 to 63. */
EDGERT_KERNEL uint64_t edgert_drop_bits(uint64_t mantissa, int32_t drop)
{
    if (drop == 0) {
        return mantissa;
    }
    const uint64_t kept = mantissa >> drop;
    const uint64_t rest = mantissa - (kept << drop);
    const uint64_t half = (uint64_t)1 << (drop - 1);
    return kept + (rest > half || (rest == half && (kept & 1u)) ? 1u : 0u);
}

/* Significant bits. */
EDGERT_KERNEL int32_t edgert_width(uint64_t value)
{
#if defined(__GNUC__)
    const uint32_t high = (uint32_t)(value >> 32);
    return high ? 64 - __builtin_clz(high) : value ? 32 - __builtin_clz((uint32_t)value) : 0;
#else
    int32_t width = 0;
    for (int32_t step = 32; step > 0; step /= 2) {
        if (value >> step) {
            width += step;
            value >>= step;
        }
    }
    return width + (value ? 1 : 0);
#endif
}

/* rint(f32(sum) * multiplier), rounded half to even, in integers, for |result| below 2^31: f32(sum) keeps 24 bits, so
 * does the product, then it is rounded to a whole number. */
EDGERT_KERNEL int32_t edgert_multiply_in_integers(int32_t sum, float multiplier)
{
    uint32_t bits;
    EDGERT_COPY(&bits, &multiplier, sizeof bits);
    const uint32_t magnitude = sum < 0 ? 0u - (uint32_t)sum : (uint32_t)sum;
    const int32_t sum_drop = edgert_max(edgert_width(magnitude) - 24, 0);
    const uint64_t sum_mantissa = edgert_drop_bits(magnitude, sum_drop);
    const uint64_t product = sum_mantissa * ((bits & 0x7FFFFFu) | 0x800000u);
    const int32_t drop = edgert_max(edgert_width(product) - 24, 0);
    const uint64_t mantissa = edgert_drop_bits(product, drop);
    /* value = mantissa * 2^exponent, with the multiplier's own exponent 127 + 23 too large */
    const int32_t exponent = (int32_t)((bits >> 23) & 0xFFu) - 150 + sum_drop + drop;
    const uint64_t whole = exponent >= 0    ? mantissa << edgert_min(exponent, 32)
                           : exponent > -64 ? edgert_drop_bits(mantissa, -exponent)
                                            : 0;
    return sum < 0 ? -(int32_t)whole : (int32_t)whole;
}

/* The same for |result| below 2^22, by the FPU where there is one (EDGERT_NO_FPU: as if there were none). */
#if (defined(__ARM_FP) || !defined(__arm__)) && !defined(EDGERT_NO_FPU)
/* The value through its bits, so that no compiler makes one fused operation of a product and an addition. */
EDGERT_KERNEL float edgert_unfused(float value)
{
    uint32_t bits;
    EDGERT_COPY(&bits, &value, sizeof bits);
#if defined(__GNUC__)
    __asm__("" : "+r"(bits));
#endif
    EDGERT_COPY(&value, &bits, sizeof value);
    return value;
}

/* rint(value) for |value| below 2^22: adding 1.5 * 2^23 leaves no bits behind the point. */
EDGERT_KERNEL int32_t edgert_round_fp32(float value)
{
    const float rounded = edgert_unfused(value) + 12582912.0f;
    int32_t bits;
    EDGERT_COPY(&bits, &rounded, sizeof bits);
    return bits - 0x4B400000;
}

EDGERT_KERNEL int32_t edgert_multiply_fp32(int32_t sum, float multiplier)
{
    return edgert_round_fp32((float)sum * multiplier);
}
#else
#if defined(EDGERT_REQUANTIZE_FP32)
/* One copy in flash: it is long. */
static EDGERT_SHARED int32_t edgert_multiply_fp32(int32_t sum, float multiplier)
{
    return edgert_multiply_in_integers(sum, multiplier);
}
#else
EDGERT_KERNEL int32_t edgert_multiply_fp32(int32_t sum, float multiplier)
{
    return edgert_multiply_in_integers(sum, multiplier);
}
#endif
#endif

/* What a layer knows of one output channel. `bias` has the input's zero point folded in: acc = bias + sum(x * w). */
#if defined(EDGERT_REQUANTIZE_Q31)
typedef struct {
    int32_t bias;
    int32_t multiplier;
    int32_t shift; /* as in edgert_multiply_q31 */
} edgert_channel_t;

EDGERT_KERNEL int32_t edgert_scale(int32_t sum, const edgert_channel_t *channel)
{
    return edgert_multiply_q31(sum, channel->multiplier, channel->shift);
}

/* What a kernel keeps of a channel while it makes many outputs of it, where |sum| stays below 2^30 and every right
 * shift is 1 to 22 (the layer's generator checks that). Sums are doubled: EDGERT_SUM_STEP times bias and weights. */
#define EDGERT_SUM_STEP 2
typedef struct {
    int32_t multiplier;
    int32_t rounding; /* half an output step and the zero point, before the right shift */
    int32_t right;
} edgert_scaling_t;

EDGERT_KERNEL edgert_scaling_t edgert_scaling(const edgert_channel_t *channel, int32_t zero)
{
    const int32_t right = -channel->shift;
    const edgert_scaling_t scaling = {channel->multiplier, (int32_t)((uint32_t)(2 * zero + 1) << (right - 1)), right};
    return scaling;
}

/* sum * multiplier * 2^(shift - 31) + zero. The high word of the doubled product is the high multiply. Rounding half
 * away from zero by 2^right is adding half a step, less 1 below zero, and shifting; a negative sum whose product rounds
 * to zero also takes that 1 away, and stays zero. */
EDGERT_KERNEL int32_t edgert_scale_fast(int32_t sum, edgert_scaling_t scaling)
{
    return edgert_smmlar(sum, scaling.multiplier, scaling.rounding + (sum >> 31)) >> scaling.right;
}
#else
typedef struct {
    int32_t bias;
    float multiplier;
} edgert_channel_t;

EDGERT_KERNEL int32_t edgert_scale(int32_t sum, const edgert_channel_t *channel)
{
    return edgert_multiply_fp32(sum, channel->multiplier);
}

#define EDGERT_SUM_STEP 1
typedef struct {
    float multiplier;
    int32_t zero;
} edgert_scaling_t;

EDGERT_KERNEL edgert_scaling_t edgert_scaling(const edgert_channel_t *channel, int32_t zero)
{
    const edgert_scaling_t scaling = {channel->multiplier, zero};
    return scaling;
}

EDGERT_KERNEL int32_t edgert_scale_fast(int32_t sum, edgert_scaling_t scaling)
{
    return edgert_multiply_fp32(sum, scaling.multiplier) + scaling.zero;
}
#endif

/* One instruction where the range is that of int8. */
EDGERT_KERNEL int32_t edgert_limit(int32_t value, int32_t low, int32_t high)
{
    return low <= -128 && high >= 127 ? edgert_saturate_int8(value) : edgert_clamp(value, low, high);
}

EDGERT_KERNEL int8_t edgert_requantize_fast(int32_t sum, edgert_scaling_t scaling, int32_t low, int32_t high)
{
    return (int8_t)edgert_limit(edgert_scale_fast(sum, scaling), low, high);
}

EDGERT_KERNEL int8_t edgert_requantize(int32_t sum, const edgert_channel_t *channel, int32_t zero, int32_t low,
                                       int32_t high)
{
    return (int8_t)edgert_limit(edgert_scale(sum, channel) + zero, low, high);
}

#endif
