/* 2-D convolution of any size, stride, dilation and padding, one group, with the DSP extension.
 *
 * The windows of two positions at a time are gathered into `scratch` as int16, then every four output channels are
 * summed at both. What lies outside the input is its zero point, as the folded bias expects.
 */
#ifndef EDGERT_CONV_DSP_H
#define EDGERT_CONV_DSP_H

#include "edgert_dot_dsp.h"

EDGERT_KERNEL int32_t *edgert_fill_zero(int32_t count, int32_t pair, int32_t *target)
{
    for (; count > 0; count -= 4, target += 4) {
        target[0] = pair;
        target[2] = pair;
    }
    return target;
}

/* A kernel row whose channels are a multiple of four; `x` is the input's row, or 0 where that lies outside. */
EDGERT_KERNEL int32_t *edgert_gather_taps(const int8_t *x, int32_t *target, int32_t column, int32_t in_columns,
                                          int32_t in_channels, int32_t kernel_columns, int32_t dilation_columns,
                                          int32_t x_zero)
{
    const int32_t zeros = edgert_pack_bottoms(x_zero, x_zero);
    if (x && dilation_columns == 1 && column >= 0 && column + kernel_columns <= in_columns) {
        return edgert_widen(x + column * in_channels, kernel_columns * in_channels, target);
    }
    for (int32_t j = 0; j < kernel_columns; j++, column += dilation_columns) {
        const int32_t is_inside = x && column >= 0 && column < in_columns;
        target = is_inside ? edgert_widen(x + column * in_channels, in_channels, target)
                           : edgert_fill_zero(in_channels, zeros, target);
    }
    return target;
}

/* A kernel row of any number of channels, by way of `bytes` where it is not one stretch of the input. */
EDGERT_KERNEL int32_t *edgert_gather_bytes(const int8_t *x, int32_t *target, int8_t *bytes, int32_t column,
                                           int32_t in_columns, int32_t in_channels, int32_t kernel_columns,
                                           int32_t dilation_columns, int32_t x_zero)
{
    const int32_t count = kernel_columns * in_channels;
    if (x && dilation_columns == 1 && column >= 0 && column + kernel_columns <= in_columns) {
        return edgert_widen(x + column * in_channels, count, target);
    }
    int8_t *next = bytes;
    for (int32_t j = 0; j < kernel_columns; j++, column += dilation_columns) {
        const int32_t is_inside = x && column >= 0 && column < in_columns;
        for (int32_t k = 0; k < in_channels; k++) {
            *next++ = is_inside ? x[column * in_channels + k] : (int8_t)x_zero;
        }
    }
    return edgert_widen(bytes, count, target);
}

/* scratch: 8 bytes for each of `words`, then kernel_columns * in_channels bytes where in_channels is no multiple of
 * four (then `is_by_bytes`). */
EDGERT_KERNEL void edgert_conv_dsp(const int8_t *x, int8_t *y, int32_t *scratch, const int32_t *weights,
                                   const edgert_multiplier_t *scales, int32_t in_rows, int32_t out_rows,
                                   int32_t pad_top, int32_t in_columns, int32_t in_channels, int32_t out_columns,
                                   int32_t out_channels, int32_t kernel_rows, int32_t kernel_columns,
                                   int32_t stride_rows, int32_t stride_columns, int32_t dilation_rows,
                                   int32_t dilation_columns, int32_t pad_left, int32_t words, int32_t x_zero,
                                   int32_t y_zero, int32_t low, int32_t high, int32_t is_fast, int32_t is_by_bytes)
{
    int8_t *const bytes = (int8_t *)(scratch + 2 * words);
    int32_t row = -pad_top, column = -pad_left;
    const int32_t last = out_columns * stride_columns - pad_left;
    for (int32_t left = out_rows * out_columns; left > 0; left -= 2) {
        const int32_t second = left > 1 ? 1 : 0; /* the last of an odd number is computed twice */
        for (int32_t position = 0; position < 2; position++) {
            int32_t *target = scratch + position;
            for (int32_t i = 0, r = row; i < kernel_rows; i++, r += dilation_rows) {
                const int8_t *source = r >= 0 && r < in_rows ? x + r * in_columns * in_channels : 0;
                target = is_by_bytes ? edgert_gather_bytes(source, target, bytes, column, in_columns, in_channels,
                                                           kernel_columns, dilation_columns, x_zero)
                                     : edgert_gather_taps(source, target, column, in_columns, in_channels,
                                                          kernel_columns, dilation_columns, x_zero);
            }
            column += second * stride_columns;
            if (column == last) {
                column = -pad_left;
                row += stride_rows;
            }
        }
        int8_t *const y1 = y + second * out_channels;
        edgert_outputs_2x4(scratch, words, weights, scales, y, y1, out_channels, y_zero, low, high, is_fast);
        y += 2 * out_channels;
    }
}

#endif
