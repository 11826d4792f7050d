/* Pooling over windows that may reach outside the input: what lies outside is left out. */
#ifndef EDGERT_POOL_H
#define EDGERT_POOL_H

#include "edgert_requantize.h"

/* The part of a window that lies inside the input. */
typedef struct {
    int32_t first_row, last_row, first_column, last_column; /* the last ones are excluded */
} edgert_window_t;

EDGERT_KERNEL edgert_window_t edgert_clip_window(int32_t top, int32_t left, int32_t rows, int32_t columns,
                                                 int32_t in_rows, int32_t in_columns)
{
    const edgert_window_t window = {edgert_max(top, 0), edgert_min(top + rows, in_rows), edgert_max(left, 0),
                                    edgert_min(left + columns, in_columns)};
    return window;
}

EDGERT_KERNEL int32_t edgert_window_size(edgert_window_t w)
{
    return (w.last_row - w.first_row) * (w.last_column - w.first_column);
}

/* Sums of `count` (1 or 4) neighbouring channels over a window. Four are added by pairs of 16 bits: windows of up to
 * 255 elements cannot overflow them. */
EDGERT_KERNEL void edgert_window_sums(const int8_t *x, edgert_window_t w, int32_t in_columns, int32_t depth,
                                      int32_t count, int32_t *sums)
{
    int32_t even = 0, odd = 0, sum = 0;
    for (int32_t r = w.first_row; r < w.last_row; r++) {
        const int8_t *source = x + (r * in_columns + w.first_column) * depth;
        for (int32_t c = w.first_column; c < w.last_column; c++, source += depth) {
            if (count == 4) {
                const int32_t word = edgert_load_word(source);
                even = edgert_add_pairs(even, edgert_even_bytes(word));
                odd = edgert_add_pairs(odd, edgert_odd_bytes(word));
            } else {
                sum += *source;
            }
        }
    }
    if (count == 4) {
        sums[0] = edgert_bottom(even), sums[1] = edgert_bottom(odd);
        sums[2] = edgert_top(even), sums[3] = edgert_top(odd);
    } else {
        sums[0] = sum;
    }
}

EDGERT_KERNEL int32_t edgert_mean_of_window(int32_t sum, int32_t taken, float multiplier, int32_t x_zero,
                                            int32_t y_zero, int32_t is_float)
{
    if (is_float) {
        return edgert_multiply_fp32(sum - taken * x_zero, multiplier) + y_zero;
    }
    return (sum > 0 ? sum + taken / 2 : sum - taken / 2) / taken;
}

EDGERT_KERNEL void edgert_average_windows(const int8_t *x, int8_t *y, const float *multipliers, int32_t in_rows,
                                          int32_t out_rows, int32_t pad_top, int32_t in_columns, int32_t out_columns,
                                          int32_t depth, int32_t kernel_rows, int32_t kernel_columns,
                                          int32_t stride_rows, int32_t stride_columns, int32_t pad_left, int32_t step,
                                          int32_t is_float, int32_t x_zero, int32_t y_zero, int32_t low, int32_t high)
{
    for (int32_t row = 0; row < out_rows; row++) {
        for (int32_t column = 0; column < out_columns; column++) {
            const edgert_window_t window =
                edgert_clip_window(row * stride_rows - pad_top, column * stride_columns - pad_left, kernel_rows,
                                   kernel_columns, in_rows, in_columns);
            const int32_t taken = edgert_window_size(window);
            const float multiplier = is_float ? multipliers[kernel_rows * kernel_columns - taken] : 0.0f;
            for (int32_t k = 0; k < depth; k += step) {
                int32_t sums[4];
                edgert_window_sums(x + k, window, in_columns, depth, step, sums);
                EDGERT_UNROLL(4)
                for (int32_t i = 0; i < step; i++) {
                    const int32_t mean =
                        edgert_mean_of_window(sums[i], taken, multiplier, x_zero, y_zero, is_float);
                    *y++ = (int8_t)edgert_limit(mean, low, high);
                }
            }
        }
    }
}

/* q31: the mean of the integers, rounded half away from zero; the parameters stay. `step`: channels at once, 1 or 4. */
EDGERT_KERNEL void edgert_average_pool_q31(const int8_t *x, int8_t *y, int32_t in_rows, int32_t out_rows,
                                           int32_t pad_top, int32_t in_columns, int32_t out_columns, int32_t depth,
                                           int32_t kernel_rows, int32_t kernel_columns, int32_t stride_rows,
                                           int32_t stride_columns, int32_t pad_left, int32_t step, int32_t low,
                                           int32_t high)
{
    edgert_average_windows(x, y, 0, in_rows, out_rows, pad_top, in_columns, out_columns, depth, kernel_rows,
                           kernel_columns, stride_rows, stride_columns, pad_left, step, 0, 0, 0, low, high);
}

/* fp32: rint(f32(sum of x - x_zero) * multipliers[elements outside]) + y_zero. */
EDGERT_KERNEL void edgert_average_pool_fp32(const int8_t *x, int8_t *y, const float *multipliers, int32_t in_rows,
                                            int32_t out_rows, int32_t pad_top, int32_t in_columns,
                                            int32_t out_columns, int32_t depth, int32_t kernel_rows,
                                            int32_t kernel_columns, int32_t stride_rows, int32_t stride_columns,
                                            int32_t pad_left, int32_t step, int32_t x_zero, int32_t y_zero,
                                            int32_t low, int32_t high)
{
    edgert_average_windows(x, y, multipliers, in_rows, out_rows, pad_top, in_columns, out_columns, depth, kernel_rows,
                           kernel_columns, stride_rows, stride_columns, pad_left, step, 1, x_zero, y_zero, low,
                           high);
}

/* The largest integer of every window. */
EDGERT_KERNEL void edgert_max_pool(const int8_t *x, int8_t *y, int32_t in_rows, int32_t out_rows, int32_t pad_top,
                                   int32_t in_columns, int32_t out_columns, int32_t depth, int32_t kernel_rows,
                                   int32_t kernel_columns, int32_t stride_rows, int32_t stride_columns,
                                   int32_t pad_left, int32_t low, int32_t high)
{
    for (int32_t row = 0; row < out_rows; row++) {
        for (int32_t column = 0; column < out_columns; column++) {
            const edgert_window_t window =
                edgert_clip_window(row * stride_rows - pad_top, column * stride_columns - pad_left, kernel_rows,
                                   kernel_columns, in_rows, in_columns);
            for (int32_t k = 0; k < depth; k++) {
                int32_t largest = low;
                for (int32_t r = window.first_row; r < window.last_row; r++) {
                    const int8_t *source = x + (r * in_columns + window.first_column) * depth + k;
                    for (int32_t c = window.first_column; c < window.last_column; c++, source += depth) {
                        largest = edgert_max(largest, *source);
                    }
                }
                *y++ = (int8_t)edgert_min(largest, high);
            }
        }
    }
}

/* Sums of x - x_zero over the middle axis of [outer][count][inner], times a multiplier, plus y_zero. */
EDGERT_KERNEL void edgert_reduce_q31(const int8_t *x, int8_t *y, int32_t outer, int32_t count, int32_t inner,
                                     int32_t multiplier, int32_t shift, int32_t x_zero, int32_t y_zero, int32_t low,
                                     int32_t high)
{
    for (int32_t o = 0; o < outer; o++, x += count * inner) {
        for (int32_t i = 0; i < inner; i++) {
            int32_t sum = -count * x_zero;
            for (int32_t k = 0; k < count; k++) {
                sum += x[k * inner + i];
            }
            *y++ = (int8_t)edgert_clamp(edgert_multiply_q31(sum, multiplier, shift) + y_zero, low, high);
        }
    }
}

EDGERT_KERNEL void edgert_reduce_fp32(const int8_t *x, int8_t *y, int32_t outer, int32_t count, int32_t inner,
                                      float multiplier, int32_t x_zero, int32_t y_zero, int32_t low, int32_t high)
{
    for (int32_t o = 0; o < outer; o++, x += count * inner) {
        for (int32_t i = 0; i < inner; i++) {
            int32_t sum = -count * x_zero;
            for (int32_t k = 0; k < count; k++) {
                sum += x[k * inner + i];
            }
            *y++ = (int8_t)edgert_clamp(edgert_multiply_fp32(sum, multiplier) + y_zero, low, high);
        }
    }
}

#endif
