/* Transposed convolution on floats, output by output: a kernel element meets an input where the stride divides
 * their distance. Weights lie as [outputs][kernel rows][kernel columns][inputs]. */
#ifndef EDGERT_TRANSPOSE_CONV_FLOAT_H
#define EDGERT_TRANSPOSE_CONV_FLOAT_H

#include "edgert_float.h"

EDGERT_KERNEL void edgert_transpose_conv_float(const float *x, float *y, const float *weights, const float *bias,
                                               int32_t in_rows, int32_t in_columns, int32_t in_channels,
                                               int32_t out_rows, int32_t out_columns, int32_t out_channels,
                                               int32_t kernel_rows, int32_t kernel_columns, int32_t stride_rows,
                                               int32_t stride_columns, int32_t pad_top, int32_t pad_left, float low,
                                               float high)
{
    for (int32_t row = pad_top; row < out_rows + pad_top; row++) {
        for (int32_t column = pad_left; column < out_columns + pad_left; column++) {
            const float *w = weights;
            for (int32_t o = 0; o < out_channels; o++, w += kernel_rows * kernel_columns * in_channels) {
                float sum = bias[o];
                for (int32_t i = row % stride_rows; i < kernel_rows && i <= row; i += stride_rows) {
                    const int32_t r = (row - i) / stride_rows;
                    for (int32_t j = column % stride_columns; j < kernel_columns && j <= column; j += stride_columns) {
                        const int32_t c = (column - j) / stride_columns;
                        if (r >= in_rows || c >= in_columns) {
                            continue;
                        }
                        const float *source = x + (r * in_columns + c) * in_channels;
                        const float *taps = w + (i * kernel_columns + j) * in_channels;
                        for (int32_t k = 0; k < in_channels; k++) {
                            sum += source[k] * taps[k];
                        }
                    }
                }
                *y++ = edgert_between(sum, low, high);
            }
        }
    }
}

#endif
