/* Comparisons, choices by them, and the way between floats, whole numbers and booleans (bytes of 0 and 1). */
#ifndef EDGERT_SELECT_H
#define EDGERT_SELECT_H

#include "edgert_pairs.h"

#define EDGERT_COMPARISON(name, type, suffix, sign)                                                                    \
    EDGERT_KERNEL void edgert_##name##_##suffix(const type *a, const type *b, uint8_t *y, EDGERT_PAIR_LOOPS)           \
    {                                                                                                                  \
        EDGERT_FOR_PAIRS(type, uint8_t, p sign q)                                                                      \
    }
#define EDGERT_COMPARISONS(type, suffix)                                                                               \
    EDGERT_COMPARISON(equal, type, suffix, ==)                                                                         \
    EDGERT_COMPARISON(not_equal, type, suffix, !=)                                                                     \
    EDGERT_COMPARISON(less, type, suffix, <)                                                                           \
    EDGERT_COMPARISON(less_equal, type, suffix, <=)                                                                    \
    EDGERT_COMPARISON(greater, type, suffix, >)                                                                        \
    EDGERT_COMPARISON(greater_equal, type, suffix, >=)

EDGERT_COMPARISONS(float, float)
EDGERT_COMPARISONS(int32_t, s32)
EDGERT_COMPARISON(logical_and, uint8_t, u8, &&)
EDGERT_COMPARISON(logical_or, uint8_t, u8, ||)
EDGERT_COMPARISON(not_equal, uint8_t, u8, !=)

EDGERT_KERNEL void edgert_logical_not(const uint8_t *x, uint8_t *y, int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        y[i] = !x[i];
    }
}

/* Elements of `bytes` bytes from a where `chosen`, else from b; a step of 0 is one element for all. */
EDGERT_KERNEL void edgert_select(const uint8_t *chosen, const void *a, const void *b, void *y, int32_t count,
                                 int32_t chosen_step, int32_t a_step, int32_t b_step, int32_t bytes)
{
    for (int32_t i = 0; i < count; i++) {
        const char *source = chosen[i * chosen_step] ? (const char *)a + i * a_step : (const char *)b + i * b_step;
        memcpy((char *)y + i * bytes, source, (size_t)bytes);
    }
}

#define EDGERT_CAST(name, from, to, value)                                                                             \
    EDGERT_KERNEL void edgert_cast_##name(const from *x, to *y, int32_t count)                                         \
    {                                                                                                                  \
        for (int32_t i = 0; i < count; i++) {                                                                          \
            y[i] = (to)(value);                                                                                        \
        }                                                                                                              \
    }

/* Towards zero; what int32 cannot hold gives its ends, no number gives 0. */
EDGERT_KERNEL int32_t edgert_whole(float v)
{
    return v >= 2147483648.0f ? INT32_MAX : v <= -2147483648.0f ? -INT32_MAX - 1 : v == v ? (int32_t)v : 0;
}

EDGERT_CAST(float_s32, float, int32_t, edgert_whole(x[i]))
EDGERT_CAST(float_bool, float, uint8_t, x[i] != 0.0f)
EDGERT_CAST(s32_float, int32_t, float, x[i])
EDGERT_CAST(s32_bool, int32_t, uint8_t, x[i] != 0)
EDGERT_CAST(s32_s64, int32_t, int64_t, x[i])
EDGERT_CAST(s64_s32, int64_t, int32_t, x[i])
EDGERT_CAST(s64_float, int64_t, float, x[i])
EDGERT_CAST(float_s64, float, int64_t, edgert_whole(x[i]))
EDGERT_CAST(bool_float, uint8_t, float, x[i])
EDGERT_CAST(bool_s32, uint8_t, int32_t, x[i])

#endif
