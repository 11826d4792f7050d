/* Blocks [batch][length][depth] to [batch][depth]: the largest, the smallest, the total, the mean, the product. */
#ifndef EDGERT_REDUCE_H
#define EDGERT_REDUCE_H

#include "edgert_float.h"

/* `next`, an expression of `found` and the number v, from the first number on; `last` is of `found`. */
#define EDGERT_REDUCTION(name, type, next, last)                                                                       \
    EDGERT_KERNEL void edgert_##name(const type *x, type *y, int32_t batch, int32_t length, int32_t depth)             \
    {                                                                                                                  \
        for (int32_t n = 0; n < batch; n++, x += length * depth) {                                                     \
            for (int32_t k = 0; k < depth; k++) {                                                                      \
                type found = x[k];                                                                                     \
                for (int32_t i = 1; i < length; i++) {                                                                 \
                    const type v = x[i * depth + k];                                                                   \
                    found = (type)(next);                                                                              \
                }                                                                                                      \
                *y++ = (type)(last);                                                                                   \
            }                                                                                                          \
        }                                                                                                              \
    }

#define EDGERT_EXTREMES(type, suffix)                                                                                  \
    EDGERT_REDUCTION(largest_##suffix, type, v > found ? v : found, found)                                             \
    EDGERT_REDUCTION(smallest_##suffix, type, v < found ? v : found, found)

EDGERT_EXTREMES(int8_t, s8)
EDGERT_EXTREMES(uint8_t, u8)
EDGERT_EXTREMES(int16_t, s16)
EDGERT_EXTREMES(float, float)
EDGERT_REDUCTION(total_float, float, found + v, found)
EDGERT_REDUCTION(mean_float, float, found + v, found / (float)length)
EDGERT_REDUCTION(product_float, float, found * v, found)

#endif
