/* Pooling over windows that may reach outside the input: what lies outside is left out. */
#ifndef EDGERT_POOL_H
#define EDGERT_POOL_H

#include "edgert_requantize.h"

/* q31: the mean of the integers, rounded half away from zero; the parameters stay. */
EDGERT_KERNEL void edgert_average_pool_q31(const int8_t *x, int8_t *y, int32_t in_rows, int32_t out_rows,
                                           int32_t pad_top, int32_t in_columns, int32_t out_columns, int32_t depth,
                                           int32_t kernel_rows, int32_t kernel_columns, int32_t stride_rows,
                                           int32_t stride_columns, int32_t pad_left, int32_t low, int32_t high)
{
    for (int32_t row = 0; row < out_rows; row++) {
        const int32_t top = row * stride_rows - pad_top;
        const int32_t first_row = edgert_max(top, 0), last_row = edgert_min(top + kernel_rows, in_rows);
        for (int32_t column = 0; column < out_columns; column++) {
            const int32_t left = column * stride_columns - pad_left;
            const int32_t first = edgert_max(left, 0), last = edgert_min(left + kernel_columns, in_columns);
            const int32_t taken = (last_row - first_row) * (last - first);
            for (int32_t k = 0; k < depth; k++) {
                int32_t sum = 0;
                for (int32_t r = first_row; r < last_row; r++) {
                    for (int32_t c = first; c < last; c++) {
                        sum += x[(r * in_columns + c) * depth + k];
                    }
                }
                const int32_t mean = (sum > 0 ? sum + taken / 2 : sum - taken / 2) / taken;
                *y++ = (int8_t)edgert_clamp(mean, low, high);
            }
        }
    }
}

#endif
