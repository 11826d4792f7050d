/* Any function of one 8-bit number: a table with its result for each, the smallest number first. */
#ifndef EDGERT_TABLE_H
#define EDGERT_TABLE_H

#include "edgert_kernel.h"

/* `first` is the smallest input: -128, or 0 where x is unsigned. Bytes carry either kind of result. */
EDGERT_KERNEL void edgert_table(const void *x, void *y, const int8_t *table, int32_t count, int32_t first)
{
    const uint8_t flip = first < 0 ? 0x80u : 0u;
    for (int32_t i = 0; i < count; i++) {
        ((int8_t *)y)[i] = table[((const uint8_t *)x)[i] ^ flip];
    }
}

#endif
