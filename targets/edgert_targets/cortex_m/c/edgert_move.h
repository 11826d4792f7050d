/* Moves of numbers of any type: they are bytes here. Runs that lie together on both sides move at once. */
#ifndef EDGERT_MOVE_H
#define EDGERT_MOVE_H

#include "edgert_kernel.h"

EDGERT_KERNEL void edgert_copy(const void *x, void *y, int32_t bytes) { memmove(y, x, (size_t)bytes); }

/* A table, to where computed numbers are. */
EDGERT_KERNEL void edgert_constant(void *y, const void *entries, int32_t bytes) { memcpy(y, entries, (size_t)bytes); }

/* Runs of `run` bytes over up to four axes: counts, outermost first, and how many bytes a step is in x and in y. */
EDGERT_KERNEL void edgert_move(const void *x, void *y, int32_t count_0, int32_t x_0, int32_t y_0, int32_t count_1,
                               int32_t x_1, int32_t y_1, int32_t count_2, int32_t x_2, int32_t y_2, int32_t count_3,
                               int32_t x_3, int32_t y_3, int32_t run)
{
    for (int32_t i = 0; i < count_0; i++) {
        for (int32_t j = 0; j < count_1; j++) {
            for (int32_t k = 0; k < count_2; k++) {
                const char *source = (const char *)x + (i * x_0 + j * x_1 + k * x_2);
                char *target = (char *)y + (i * y_0 + j * y_1 + k * y_2);
                for (int32_t l = 0; l < count_3; l++, source += x_3, target += y_3) {
                    memcpy(target, source, (size_t)run);
                }
            }
        }
    }
}

/* Run (i, j) of y is the one at byte outer[i] + inner[j] of x. */
EDGERT_KERNEL void edgert_gather(const void *x, void *y, const int32_t *outer, const int32_t *inner,
                                 int32_t outer_count, int32_t inner_count, int32_t run)
{
    char *target = y;
    for (int32_t i = 0; i < outer_count; i++) {
        for (int32_t j = 0; j < inner_count; j++, target += run) {
            memcpy(target, (const char *)x + outer[i] + inner[j], (size_t)run);
        }
    }
}

/* y gets `fill` (an element's `item` bytes) everywhere, then x as edgert_move does, from byte `first` on. */
EDGERT_KERNEL void edgert_pad(const void *x, void *y, int32_t first, int32_t bytes, int32_t count_0, int32_t x_0,
                              int32_t y_0, int32_t count_1, int32_t x_1, int32_t y_1, int32_t count_2, int32_t x_2,
                              int32_t y_2, int32_t count_3, int32_t x_3, int32_t y_3, int32_t run, int32_t item,
                              uint32_t fill)
{
    for (int32_t i = 0; i < bytes; i++) {
        ((uint8_t *)y)[i] = (uint8_t)(fill >> i % item * 8);
    }
    edgert_move(x, (char *)y + first, count_0, x_0, y_0, count_1, x_1, y_1, count_2, x_2, y_2, count_3, x_3, y_3, run);
}

#endif
