/* Layers on floats, for what a model leaves out of its integers. Sums run in the order of memory. */
#ifndef EDGERT_FLOAT_LAYERS_H
#define EDGERT_FLOAT_LAYERS_H

#include "edgert_float_functions.h"

/* weights [outputs][kernel rows][kernel columns][channels / groups]; what lies outside the input is 0. */
EDGERT_KERNEL void edgert_conv_float(const float *x, float *y, const float *weights, const float *bias, int32_t in_rows,
                                     int32_t out_rows, int32_t pad_top, int32_t in_columns, int32_t in_channels,
                                     int32_t out_columns, int32_t out_channels, int32_t kernel_rows,
                                     int32_t kernel_columns, int32_t stride_rows, int32_t stride_columns,
                                     int32_t dilation_rows, int32_t dilation_columns, int32_t pad_left, int32_t groups,
                                     float low, float high)
{
    const int32_t depth = in_channels / groups, group_outputs = out_channels / groups;
    for (int32_t row = 0; row < out_rows; row++) {
        for (int32_t column = 0; column < out_columns; column++) {
            for (int32_t o = 0; o < out_channels; o++) {
                const float *w = weights + (size_t)o * kernel_rows * kernel_columns * depth;
                const int32_t first = o / group_outputs * depth;
                float sum = bias[o];
                for (int32_t i = 0; i < kernel_rows; i++) {
                    const int32_t r = row * stride_rows - pad_top + i * dilation_rows;
                    for (int32_t j = 0; j < kernel_columns; j++, w += depth) {
                        const int32_t c = column * stride_columns - pad_left + j * dilation_columns;
                        if (r < 0 || r >= in_rows || c < 0 || c >= in_columns) {
                            continue;
                        }
                        const float *source = x + ((r * in_columns + c) * in_channels + first);
                        for (int32_t k = 0; k < depth; k++) {
                            sum += source[k] * w[k];
                        }
                    }
                }
                *y++ = edgert_between(sum, low, high);
            }
        }
    }
}

/* weights [outputs][depth] */
EDGERT_KERNEL void edgert_fully_connected_float(const float *x, float *y, const float *weights, const float *bias,
                                                int32_t batch, int32_t outputs, int32_t depth, float low, float high)
{
    for (int32_t n = 0; n < batch; n++, x += depth) {
        const float *w = weights;
        for (int32_t o = 0; o < outputs; o++, w += depth) {
            float sum = bias[o];
            for (int32_t k = 0; k < depth; k++) {
                sum += x[k] * w[k];
            }
            *y++ = edgert_between(sum, low, high);
        }
    }
}

/* The mean (`is_mean`) or the largest of what a window covers. */
EDGERT_KERNEL void edgert_pool_float(const float *x, float *y, int32_t in_rows, int32_t out_rows, int32_t pad_top,
                                     int32_t in_columns, int32_t out_columns, int32_t depth, int32_t kernel_rows,
                                     int32_t kernel_columns, int32_t stride_rows, int32_t stride_columns,
                                     int32_t pad_left, int32_t is_mean, float low, float high)
{
    for (int32_t row = 0; row < out_rows; row++) {
        const int32_t top = row * stride_rows - pad_top;
        const int32_t first_row = edgert_max(top, 0), last_row = edgert_min(top + kernel_rows, in_rows);
        for (int32_t column = 0; column < out_columns; column++) {
            const int32_t left = column * stride_columns - pad_left;
            const int32_t first = edgert_max(left, 0), last = edgert_min(left + kernel_columns, in_columns);
            for (int32_t k = 0; k < depth; k++) {
                float found = is_mean ? 0.0f : x[(first_row * in_columns + first) * depth + k];
                for (int32_t r = first_row; r < last_row; r++) {
                    for (int32_t c = first; c < last; c++) {
                        const float v = x[(r * in_columns + c) * depth + k];
                        found = is_mean ? found + v : v > found ? v : found;
                    }
                }
                const float value = is_mean ? found / (float)((last_row - first_row) * (last - first)) : found;
                *y++ = edgert_between(value, low, high);
            }
        }
    }
}

EDGERT_KERNEL void edgert_softmax_float(const float *x, float *y, int32_t batch, int32_t depth, float beta)
{
    for (int32_t n = 0; n < batch; n++, x += depth, y += depth) {
        float largest = x[0], total = 0.0f;
        for (int32_t k = 1; k < depth; k++) {
            largest = x[k] > largest ? x[k] : largest;
        }
        for (int32_t k = 0; k < depth; k++) {
            y[k] = edgert_exp((x[k] - largest) * beta);
            total += y[k];
        }
        for (int32_t k = 0; k < depth; k++) {
            y[k] = y[k] / total;
        }
    }
}

#endif
