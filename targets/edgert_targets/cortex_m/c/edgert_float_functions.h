/* Functions of single floats without a mathematics library, and the way between floats and integers. */
#ifndef EDGERT_FLOAT_FUNCTIONS_H
#define EDGERT_FLOAT_FUNCTIONS_H

#include "edgert_float.h"

/* exp(x), relative error at most 2e-7: 2^n * exp(r) with r = x - n * ln 2 in [-0.35, 0.35], ln 2 in two parts, and a
 * polynomial of degree 6 (the series, whose rest is below 2^-24 there). Below -87 it is 0, above 88 that of 88. */
EDGERT_KERNEL float edgert_exp(float x)
{
    if (!(x > -87.0f)) {
        return 0.0f;
    }
    const float inside = x < 88.0f ? x : 88.0f;
    const int32_t n = edgert_round(inside * 1.44269504f, -126, 127);
    const float r = (inside - (float)n * 0.693359375f) + (float)n * 2.12194440e-4f;
    float p = 1.0f / 720.0f;
    p = p * r + 1.0f / 120.0f;
    p = p * r + 1.0f / 24.0f;
    p = p * r + 1.0f / 6.0f;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    const uint32_t bits = (uint32_t)(n + 127) << 23;
    float power;
    memcpy(&power, &bits, sizeof power);
    return p * power;
}

EDGERT_KERNEL float edgert_logistic(float x) { return 1.0f / (1.0f + edgert_exp(-x)); }

/* Absolute error at most 2e-7. */
EDGERT_KERNEL float edgert_tanh(float x)
{
    const float t = edgert_exp(x < 0.0f ? 2.0f * x : -2.0f * x);
    const float size = (1.0f - t) / (1.0f + t);
    return x < 0.0f ? -size : size;
}

/* Square root by the hardware where there is one; by Newton's method on halves of the exponent otherwise. */
EDGERT_KERNEL float edgert_sqrt(float x)
{
    if (!(x > 0.0f)) {
        return 0.0f;
    }
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits = (bits >> 1) + 0x1FBD1DF5u;
    float y;
    memcpy(&y, &bits, sizeof y);
    for (int32_t i = 0; i < 3; i++) {
        y = 0.5f * (y + x / y);
    }
    return y;
}

/* Stores `value`, an expression of v, for every element. */
#define EDGERT_EACH(name, parameters, value)                                                                           \
    EDGERT_KERNEL void edgert_##name(const float *x, float *y, int32_t count EDGERT_REST parameters)                   \
    {                                                                                                                  \
        for (int32_t i = 0; i < count; i++) {                                                                          \
            const float v = x[i];                                                                                      \
            y[i] = (value);                                                                                            \
        }                                                                                                              \
    }
#define EDGERT_REST(...) __VA_ARGS__

EDGERT_EACH(abs_float, (), v < 0.0f ? -v : v)
EDGERT_EACH(elu_float, (), v < 0.0f ? edgert_exp(v) - 1.0f : v)
EDGERT_EACH(exp_float, (), edgert_exp(v))
EDGERT_EACH(hard_swish_float, (), v * edgert_between(v + 3.0f, 0.0f, 6.0f) / 6.0f)
EDGERT_EACH(leaky_relu_float, (, float alpha), v < 0.0f ? v * alpha : v)
EDGERT_EACH(limit_float, (, float low, float high), edgert_between(v, low, high))
EDGERT_EACH(logistic_float, (), edgert_logistic(v))
EDGERT_EACH(neg_float, (), -v)
EDGERT_EACH(rsqrt_float, (), 1.0f / edgert_sqrt(v))
EDGERT_EACH(sqrt_float, (), edgert_sqrt(v))
EDGERT_EACH(square_float, (), v * v)
EDGERT_EACH(tanh_float, (), edgert_tanh(v))

#define EDGERT_BETWEEN_TYPES(type, suffix)                                                                             \
    EDGERT_KERNEL void edgert_dequantize_##suffix(const type *x, float *y, int32_t count, int32_t zero, float scale)   \
    {                                                                                                                  \
        for (int32_t i = 0; i < count; i++) {                                                                          \
            y[i] = (float)(x[i] - zero) * scale;                                                                       \
        }                                                                                                              \
    }                                                                                                                  \
    EDGERT_KERNEL void edgert_quantize_##suffix(const float *x, type *y, int32_t count, int32_t zero, float scale,     \
                                                int32_t low, int32_t high)                                             \
    {                                                                                                                  \
        for (int32_t i = 0; i < count; i++) {                                                                          \
            y[i] = (type)(zero + edgert_round(x[i] / scale, low - zero, high - zero));                                 \
        }                                                                                                              \
    }

EDGERT_BETWEEN_TYPES(int8_t, s8)
EDGERT_BETWEEN_TYPES(uint8_t, u8)
EDGERT_BETWEEN_TYPES(int16_t, s16)

#endif
