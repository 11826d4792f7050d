/* 2-D convolution of any size, stride, dilation and padding, one group, in portable C.
 *
 * The window of one position at a time is gathered into `scratch` (kernel_rows * kernel_columns * in_channels bytes),
 * with the input's zero point where it reaches outside, as the folded bias expects; all channels are summed over it.
 */
#ifndef EDGERT_CONV_WINDOW_H
#define EDGERT_CONV_WINDOW_H

#include "edgert_dot.h"

/* One kernel row; `x` is the input's row, or 0 where that lies outside. */
EDGERT_KERNEL void edgert_gather_row(const int8_t *x, int8_t *target, int32_t column, int32_t in_columns,
                                     int32_t in_channels, int32_t kernel_columns, int32_t dilation_columns,
                                     int32_t x_zero)
{
    if (x && dilation_columns == 1 && column >= 0 && column + kernel_columns <= in_columns) {
        memcpy(target, x + column * in_channels, (size_t)(kernel_columns * in_channels));
        return;
    }
    for (int32_t j = 0; j < kernel_columns; j++, column += dilation_columns, target += in_channels) {
        if (x && column >= 0 && column < in_columns) {
            memcpy(target, x + column * in_channels, (size_t)in_channels);
        } else {
            memset(target, x_zero, (size_t)in_channels);
        }
    }
}

EDGERT_KERNEL void edgert_conv_window(const int8_t *x, int8_t *y, int8_t *scratch, const int8_t *weights,
                                      const edgert_channel_t *channels, int32_t in_rows, int32_t out_rows,
                                      int32_t pad_top, int32_t in_columns, int32_t in_channels, int32_t out_columns,
                                      int32_t out_channels, int32_t kernel_rows, int32_t kernel_columns,
                                      int32_t stride_rows, int32_t stride_columns, int32_t dilation_rows,
                                      int32_t dilation_columns, int32_t pad_left, int32_t x_zero, int32_t y_zero,
                                      int32_t low, int32_t high, int32_t is_fast)
{
    const int32_t row_bytes = kernel_columns * in_channels;
    for (int32_t row = 0; row < out_rows; row++) {
        for (int32_t column = 0; column < out_columns; column++, y += out_channels) {
            int32_t r = row * stride_rows - pad_top;
            for (int32_t i = 0; i < kernel_rows; i++, r += dilation_rows) {
                const int8_t *source = r >= 0 && r < in_rows ? x + r * in_columns * in_channels : 0;
                edgert_gather_row(source, scratch + i * row_bytes, column * stride_columns - pad_left, in_columns,
                                  in_channels, kernel_columns, dilation_columns, x_zero);
            }
            edgert_outputs_1x4(scratch, kernel_rows * row_bytes, weights, channels, y, out_channels, y_zero, low, high,
                               is_fast);
        }
    }
}

#endif
