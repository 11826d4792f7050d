/* Logarithm, powers, sine, rounding and running sums of floats, without a mathematics library. */
#ifndef EDGERT_FLOAT_MATH_H
#define EDGERT_FLOAT_MATH_H

#include "edgert_float_functions.h"

EDGERT_KERNEL float edgert_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* ln(x), relative error at most 2e-7 away from 1: x = m * 2^n, m in [0.7, 1.4], ln m = 2 * artanh((m - 1) / (m + 1)) by
 * five terms of the series, whose rest is below 2^-30 there. 0 gives minus infinity, below it there is no number. */
EDGERT_KERNEL float edgert_log(float x)
{
    if (!(x > 0.0f)) {
        return edgert_of_bits(x < 0.0f ? 0x7FC00000u : 0xFF800000u);
    }
    const float normal = x < 1.17549435e-38f ? x * 8388608.0f : x;
    uint32_t bits;
    memcpy(&bits, &normal, sizeof bits);
    const int32_t n = (int32_t)((bits + 0x4AFB0Du) >> 23) - 127 - (x < 1.17549435e-38f ? 23 : 0);
    const float m = edgert_of_bits(bits - (((bits + 0x4AFB0Du) >> 23) << 23) + (127u << 23));
    const float s = (m - 1.0f) / (m + 1.0f), square = s * s;
    float p = 2.0f / 9.0f;
    p = p * square + 2.0f / 7.0f;
    p = p * square + 2.0f / 5.0f;
    p = p * square + 2.0f / 3.0f;
    p = p * square * s;
    return (float)n * 0.693359375f + ((float)n * -2.12194440e-4f + (p + 2.0f * s));
}

/* Whole numbers around v; from 2^23 on every float is one. */
EDGERT_KERNEL float edgert_floor(float v)
{
    if (!(v > -8388608.0f && v < 8388608.0f)) {
        return v;
    }
    const float near = (float)(int32_t)v;
    return near > v ? near - 1.0f : near;
}

/* Half to even. */
EDGERT_KERNEL float edgert_rint(float v)
{
    const float low = edgert_floor(v), rest = v - low;
    if (rest != 0.5f) {
        return rest < 0.5f ? low : low + 1.0f;
    }
    return (int32_t)low % 2 ? low + 1.0f : low;
}

/* sin(x + quarter * pi / 2), absolute error at most 2e-7 for |x| below 8,000: pi / 2 is taken away in three parts, and
 * the series end below 2^-27 within pi / 4. */
EDGERT_KERNEL float edgert_sine(float x, int32_t quarter)
{
    const int32_t n = edgert_round(x * 0.636619772f, -4194304, 4194303);
    const float r = ((x - (float)n * 1.5703125f) - (float)n * 4.83751297e-4f) - (float)n * 7.54978942e-8f;
    const float square = r * r;
    float value;
    if ((n + quarter) & 1) {
        value = -1.0f / 3628800.0f;
        value = value * square + 1.0f / 40320.0f;
        value = value * square - 1.0f / 720.0f;
        value = value * square + 1.0f / 24.0f;
        value = value * square - 0.5f;
        value = value * square + 1.0f;
    } else {
        value = 1.0f / 362880.0f;
        value = value * square - 1.0f / 5040.0f;
        value = value * square + 1.0f / 120.0f;
        value = value * square - 1.0f / 6.0f;
        value = value * square * r + r;
    }
    return (n + quarter) & 2 ? -value : value;
}

/* base^exponent: by repeated products where the exponent is a whole number up to 64, else exp(exponent * ln base). */
EDGERT_KERNEL float edgert_power(float base, float exponent)
{
    const float size = exponent < 0.0f ? -exponent : exponent;
    if (size <= 64.0f && edgert_floor(size) == size) {
        float result = 1.0f, factor = base;
        for (int32_t left = (int32_t)size; left; left /= 2, factor = left ? factor * factor : factor) {
            result = left % 2 ? result * factor : result;
        }
        return exponent < 0.0f ? 1.0f / result : result;
    }
    if (base == 0.0f) {
        return exponent > 0.0f ? 0.0f : edgert_of_bits(0x7F800000u);
    }
    return base < 0.0f ? edgert_of_bits(0x7FC00000u) : edgert_exp(exponent * edgert_log(base));
}

/* The error function, absolute error at most 3e-7. Source: Abramowitz and Stegun, Handbook of mathematical functions,
 * 1964, formula 7.1.26. */
EDGERT_KERNEL float edgert_erf(float x)
{
    const float size = x < 0.0f ? -x : x, t = 1.0f / (1.0f + 0.3275911f * size);
    float p = 1.061405429f;
    p = p * t - 1.453152027f;
    p = p * t + 1.421413741f;
    p = p * t - 0.284496736f;
    p = p * t + 0.254829592f;
    const float value = 1.0f - p * t * edgert_exp(-size * size);
    return x < 0.0f ? -value : value;
}

EDGERT_EACH(ceil_float, (), -edgert_floor(-v))
EDGERT_EACH(cos_float, (), edgert_sine(v, 1))
EDGERT_EACH(floor_float, (), edgert_floor(v))
EDGERT_EACH(gelu_float, (), 0.5f * v * (1.0f + edgert_erf(v * 0.707106781f)))
EDGERT_EACH(gelu_tanh_float, (),
            0.5f * v * (1.0f + edgert_tanh(0.797884561f * (v + 0.044715f * v * v * v))))
EDGERT_EACH(log_float, (), edgert_log(v))
EDGERT_EACH(round_float, (), edgert_rint(v))
EDGERT_EACH(sign_float, (), v > 0.0f ? 1.0f : v < 0.0f ? -1.0f : 0.0f)
EDGERT_EACH(sin_float, (), edgert_sine(v, 0))

/* Over blocks [batch][length][depth]: sums along `length`, without the number itself where `is_exclusive`. */
EDGERT_KERNEL void edgert_cumsum_float(const float *x, float *y, int32_t batch, int32_t length, int32_t depth,
                                       int32_t is_exclusive, int32_t is_reverse)
{
    for (int32_t n = 0; n < batch; n++, x += length * depth, y += length * depth) {
        for (int32_t k = 0; k < depth; k++) {
            float sum = 0.0f;
            for (int32_t i = 0; i < length; i++) {
                const int32_t place = (is_reverse ? length - 1 - i : i) * depth + k;
                const float before = sum;
                sum += x[place];
                y[place] = is_exclusive ? before : sum;
            }
        }
    }
}

EDGERT_KERNEL void edgert_log_softmax_float(const float *x, float *y, int32_t batch, int32_t depth)
{
    for (int32_t n = 0; n < batch; n++, x += depth, y += depth) {
        float largest = x[0], total = 0.0f;
        for (int32_t k = 1; k < depth; k++) {
            largest = x[k] > largest ? x[k] : largest;
        }
        for (int32_t k = 0; k < depth; k++) {
            total += edgert_exp(x[k] - largest);
        }
        const float tail = edgert_log(total);
        for (int32_t k = 0; k < depth; k++) {
            y[k] = (x[k] - largest) - tail;
        }
    }
}

#endif
