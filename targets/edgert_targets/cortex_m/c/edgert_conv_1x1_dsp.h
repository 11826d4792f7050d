/* 1x1 convolution with stride 1, and fully connected layers of more than one row, with the DSP extension.
 *
 * Two positions at a time are widened to int16 in `scratch`, then every four output channels are summed at both.
 * scratch: 4 bytes for each of `terms`, which are `in_channels` up to a multiple of four.
 */
#ifndef EDGERT_CONV_1X1_DSP_H
#define EDGERT_CONV_1X1_DSP_H

#include "edgert_dot_dsp.h"

/* As edgert_widen, of two positions at once. */
EDGERT_KERNEL void edgert_widen_two(const int8_t *x0, const int8_t *x1, int32_t count, int32_t *target)
{
    for (; count >= 4; count -= 4, x0 += 4, x1 += 4, target += 4) {
        const int32_t word0 = edgert_load_word(x0), word1 = edgert_load_word(x1);
        target[0] = edgert_even_bytes(word0);
        target[1] = edgert_even_bytes(word1);
        target[2] = edgert_odd_bytes(word0);
        target[3] = edgert_odd_bytes(word1);
    }
    if (count > 0) {
        edgert_widen(x0, count, target);
        edgert_widen(x1, count, target + 1);
    }
}

EDGERT_KERNEL void edgert_conv_1x1_dsp(const int8_t *x, int8_t *y, int32_t *scratch, const int32_t *weights,
                                       const edgert_multiplier_t *scales, int32_t in_rows, int32_t out_rows,
                                       int32_t pad_top, int32_t columns, int32_t in_channels, int32_t out_channels,
                                       int32_t words, int32_t y_zero, int32_t low, int32_t high, int32_t is_fast)
{
    (void)in_rows;
    (void)pad_top;
    for (int32_t left = out_rows * columns; left > 0; left -= 2) {
        const int32_t second = left > 1 ? 1 : 0; /* the last of an odd number is computed twice */
        int8_t *const y1 = y + second * out_channels;
        edgert_widen_two(x, x + second * in_channels, in_channels, scratch);
        edgert_outputs_2x4(scratch, words, weights, scales, y, y1, out_channels, y_zero, low, high, is_fast);
        x += 2 * in_channels;
        y += 2 * out_channels;
    }
}

#endif
