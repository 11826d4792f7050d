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

/* The first place of the largest (`is_largest`) or of the smallest number along `length`. */
#define EDGERT_PLACE(suffix, type)                                                                                     \
    EDGERT_KERNEL void edgert_place_##suffix(const type *x, int32_t *y, int32_t batch, int32_t length, int32_t depth,  \
                                             int32_t is_largest)                                                       \
    {                                                                                                                  \
        for (int32_t n = 0; n < batch; n++, x += length * depth) {                                                     \
            for (int32_t k = 0; k < depth; k++) {                                                                      \
                int32_t place = 0;                                                                                     \
                for (int32_t i = 1; i < length; i++) {                                                                 \
                    const type v = x[i * depth + k], best = x[place * depth + k];                                      \
                    place = (is_largest ? v > best : v < best) ? i : place;                                            \
                }                                                                                                      \
                *y++ = place;                                                                                          \
            }                                                                                                          \
        }                                                                                                              \
    }

EDGERT_PLACE(s8, int8_t)
EDGERT_PLACE(u8, uint8_t)
EDGERT_PLACE(s16, int16_t)
EDGERT_PLACE(float, float)

#endif
