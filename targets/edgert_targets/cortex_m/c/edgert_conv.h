/* 2-D convolution of any size, stride, dilation, padding and groups, in portable C.
 *
 * y[r][c][o] = requantize(bias[o] + sum over taps and channels of x * w[o][kernel row][kernel column][channel]).
 * Outside the input x counts as its zero point, as the folded bias expects.
 */
#ifndef EDGERT_CONV_H
#define EDGERT_CONV_H

#include "edgert_requantize.h"

EDGERT_KERNEL void edgert_conv(const int8_t *x, int8_t *y, const int8_t *weights, const edgert_channel_t *channels,
                               int32_t in_rows, int32_t out_rows, int32_t pad_top, int32_t in_columns,
                               int32_t in_channels, int32_t out_columns, int32_t out_channels, int32_t kernel_rows,
                               int32_t kernel_columns, int32_t stride_rows, int32_t stride_columns,
                               int32_t dilation_rows, int32_t dilation_columns, int32_t pad_left, int32_t groups,
                               int32_t x_zero, int32_t y_zero, int32_t low, int32_t high)
{
    const int32_t depth = in_channels / groups;
    const int32_t group_outputs = out_channels / groups;
    for (int32_t row = 0; row < out_rows; row++) {
        for (int32_t column = 0; column < out_columns; column++) {
            for (int32_t o = 0; o < out_channels; o++) {
                const int8_t *w = weights + (size_t)o * kernel_rows * kernel_columns * depth;
                const int32_t first = o / group_outputs * depth;
                int32_t sum = channels[o].bias;
                for (int32_t i = 0; i < kernel_rows; i++) {
                    const int32_t r = row * stride_rows - pad_top + i * dilation_rows;
                    for (int32_t j = 0; j < kernel_columns; j++, w += depth) {
                        const int32_t c = column * stride_columns - pad_left + j * dilation_columns;
                        const int is_inside = r >= 0 && r < in_rows && c >= 0 && c < in_columns;
                        const int8_t *source = is_inside ? x + ((r * in_columns + c) * in_channels + first) : 0;
                        for (int32_t k = 0; k < depth; k++) {
                            sum += (is_inside ? source[k] : x_zero) * w[k];
                        }
                    }
                }
                *y++ = edgert_requantize(sum, &channels[o], y_zero, low, high);
            }
        }
    }
}

#endif
