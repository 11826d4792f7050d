/* 1x1 convolution with stride 1 in portable C: a product of every position with the weights. */
#ifndef EDGERT_CONV_1X1_H
#define EDGERT_CONV_1X1_H

#include "edgert_dot.h"

EDGERT_KERNEL void edgert_conv_1x1(const int8_t *x, int8_t *y, const int8_t *weights, const edgert_channel_t *channels,
                                   int32_t in_rows, int32_t out_rows, int32_t pad_top, int32_t columns,
                                   int32_t in_channels, int32_t out_channels, int32_t y_zero, int32_t low,
                                   int32_t high, int32_t is_fast)
{
    (void)in_rows;
    (void)pad_top;
    for (int32_t left = out_rows * columns; left > 0; left--, x += in_channels, y += out_channels) {
        edgert_outputs_1x4(x, in_channels, weights, channels, y, out_channels, y_zero, low, high, is_fast);
    }
}

#endif
