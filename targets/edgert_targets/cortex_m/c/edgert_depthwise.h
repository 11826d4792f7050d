/* Depthwise convolution of any window, stride, dilation and channel multiplier, in portable C: one channel at a time is
 * copied to a plane of int8 with its padding, so that sums need no test of borders.
 *
 * Because a channel's elements are copied before its outputs are written, an output of no more rows and columns than
 * the input may take the input's memory: element i of a channel is written where element i was read.
 */
#ifndef EDGERT_DEPTHWISE_H
#define EDGERT_DEPTHWISE_H

#include "edgert_dot.h"
#include "edgert_plane.h"

/* `count` neighbouring outputs, 1 to 4, whose windows start `stride` elements apart. */
EDGERT_KERNEL void edgert_depthwise_block(const int8_t *x, int8_t *y, const int8_t *weights,
                                          const edgert_channel_t *channel, edgert_axis_t rows, edgert_axis_t columns,
                                          int32_t pitch, int32_t count, int32_t y_zero, int32_t low, int32_t high,
                                          int32_t is_fast)
{
    int32_t sums[4] = {channel->bias, channel->bias, channel->bias, channel->bias};
    for (int32_t i = 0; i < rows.kernel; i++, x += rows.dilation * pitch) {
        for (int32_t j = 0; j < columns.kernel; j++) {
            const int32_t w = *weights++;
            EDGERT_UNROLL(4)
            for (int32_t k = 0; k < count; k++) {
                sums[k] += w * x[j * columns.dilation + k * columns.stride];
            }
        }
    }
    EDGERT_UNROLL(4)
    for (int32_t k = 0; k < count; k++) {
        y[k * columns.y_step] = edgert_output(sums[k], channel, y_zero, low, high, is_fast);
    }
}

/* Elements between the starts of two rows of the plane. */
EDGERT_KERNEL int32_t edgert_depthwise_row_pitch(edgert_axis_t columns)
{
    return (columns.out - 1) * columns.stride + (columns.kernel - 1) * columns.dilation + 1;
}

/* `strip` output rows are made of one plane; it holds what they read. `is_whole`: these are all rows, at once. */
EDGERT_KERNEL void edgert_depthwise(const int8_t *x, int8_t *y, void *scratch, const int8_t *weights,
                                    const edgert_channel_t *channels, int32_t in_rows, int32_t out_rows,
                                    int32_t pad_top, int32_t in_columns, int32_t out_columns, int32_t in_channels,
                                    int32_t multiplier, int32_t kernel_rows, int32_t kernel_columns,
                                    int32_t stride_rows, int32_t stride_columns, int32_t dilation_rows,
                                    int32_t dilation_columns, int32_t pad_left, int32_t strip, int32_t is_whole,
                                    int32_t x_zero, int32_t y_zero, int32_t low, int32_t high, int32_t is_fast)
{
    const int32_t out_channels = in_channels * multiplier;
    const edgert_axis_t rows = {in_rows,       out_rows,    pad_top,
                                kernel_rows,   stride_rows, dilation_rows,
                                in_columns * in_channels, out_columns * out_channels};
    const edgert_axis_t columns = {in_columns,     out_columns,    pad_left,
                                   kernel_columns, stride_columns, dilation_columns,
                                   in_channels,    out_channels};
    const int32_t pitch = edgert_depthwise_row_pitch(columns);
    const int32_t reach = (kernel_rows - 1) * dilation_rows + 1;
    int8_t *plane = scratch;
    memset(plane, x_zero, (size_t)(((strip - 1) * stride_rows + reach) * pitch));
    for (int32_t k = 0; k < in_channels; k++, x++) {
        for (int32_t first = 0; first < out_rows && (first == 0 || !is_whole); first += strip) {
            const int32_t made = is_whole ? out_rows : edgert_min(strip, out_rows - first);
            const int32_t old = first > 0 ? edgert_max(reach - stride_rows, 0) : 0;
            if (old > 0) {
                memmove(plane, plane + strip * stride_rows * pitch, (size_t)(old * pitch));
            }
            edgert_plane_load(plane + old * pitch, x, first * stride_rows - pad_top + old,
                              (made - 1) * stride_rows + reach - old, rows, columns, pitch, x_zero,
                              is_whole || strip >= out_rows, 0);
            for (int32_t o = k * multiplier; o < (k + 1) * multiplier; o++) {
                const int8_t *w = weights + o * kernel_rows * kernel_columns;
                for (int32_t i = 0; i < made; i++) {
                    const int8_t *source = plane + i * stride_rows * pitch;
                    int8_t *target = y + (first + i) * rows.y_step + o;
                    int32_t left = out_columns;
                    for (; left >= 4; left -= 4, source += 4 * stride_columns, target += 4 * out_channels) {
                        edgert_depthwise_block(source, target, w, channels + o, rows, columns, pitch, 4, y_zero, low,
                                               high, is_fast);
                    }
                    for (; left > 0; left--, source += stride_columns, target += out_channels) {
                        edgert_depthwise_block(source, target, w, channels + o, rows, columns, pitch, 1, y_zero, low,
                                               high, is_fast);
                    }
                }
            }
        }
    }
}

#endif
