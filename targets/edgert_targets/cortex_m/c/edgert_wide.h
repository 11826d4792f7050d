/* Layers with int16 activations and int8 weights: sums of 64 bits, brought to int16 in the mode of the model.
 *
 * Activations have the zero point 0, so what lies outside the input adds nothing.
 */
#ifndef EDGERT_WIDE_H
#define EDGERT_WIDE_H

#include "edgert_float.h"
#include "edgert_requantize.h"

#if defined(EDGERT_REQUANTIZE_Q31)
typedef struct {
    int64_t bias;
    int32_t multiplier; /* 15 bits: what TensorFlow Lite keeps of the 31 where sums have 64 */
    int32_t shift;      /* to the right, 1 to 62 */
} edgert_wide_t;

/* Rounded half up. */
EDGERT_KERNEL int16_t edgert_wide_output(int64_t sum, const edgert_wide_t *channel, int32_t low, int32_t high)
{
    const int64_t scaled = (sum * channel->multiplier + ((int64_t)1 << (channel->shift - 1))) >> channel->shift;
    return (int16_t)(scaled < low ? low : scaled > high ? high : scaled);
}

/* Over blocks [batch][length][depth]: the mean along `length`, the count in the multiplier, as for int8. */
EDGERT_KERNEL void edgert_mean_wide(const int16_t *x, int16_t *y, int32_t batch, int32_t length, int32_t depth,
                                    int32_t multiplier, int32_t shift)
{
    for (int32_t n = 0; n < batch; n++, x += length * depth) {
        for (int32_t k = 0; k < depth; k++) {
            int32_t sum = 0;
            for (int32_t i = 0; i < length; i++) {
                sum += x[i * depth + k];
            }
            *y++ = (int16_t)edgert_clamp(edgert_multiply_q31(sum, multiplier, shift), -32768, 32767);
        }
    }
}
#else
typedef struct {
    int64_t bias;
    float multiplier;
} edgert_wide_t;

/* Over blocks [batch][length][depth]: the mean along `length`. */
EDGERT_KERNEL void edgert_mean_wide(const int16_t *x, int16_t *y, int32_t batch, int32_t length, int32_t depth,
                                    float multiplier)
{
    for (int32_t n = 0; n < batch; n++, x += length * depth) {
        for (int32_t k = 0; k < depth; k++) {
            int32_t sum = 0;
            for (int32_t i = 0; i < length; i++) {
                sum += x[i * depth + k];
            }
            *y++ = (int16_t)edgert_round(edgert_alone((float)sum) * multiplier, -32768, 32767);
        }
    }
}

/* rint(f32(sum) * multiplier), half to even. */
EDGERT_KERNEL int16_t edgert_wide_output(int64_t sum, const edgert_wide_t *channel, int32_t low, int32_t high)
{
    return (int16_t)edgert_round(edgert_alone((float)sum) * channel->multiplier, low, high);
}
#endif

/* weights [outputs][kernel rows][kernel columns][channels / groups] */
EDGERT_KERNEL void edgert_conv_wide(const int16_t *x, int16_t *y, const int8_t *weights, const edgert_wide_t *channels,
                                    int32_t in_rows, int32_t out_rows, int32_t pad_top, int32_t in_columns,
                                    int32_t in_channels, int32_t out_columns, int32_t out_channels,
                                    int32_t kernel_rows, int32_t kernel_columns, int32_t stride_rows,
                                    int32_t stride_columns, int32_t dilation_rows, int32_t dilation_columns,
                                    int32_t pad_left, int32_t groups, int32_t low, int32_t high)
{
    const int32_t depth = in_channels / groups, group_outputs = out_channels / groups;
    for (int32_t row = 0; row < out_rows; row++) {
        for (int32_t column = 0; column < out_columns; column++) {
            const int8_t *w = weights;
            for (int32_t o = 0; o < out_channels; o++) {
                const int32_t first = o / group_outputs * depth;
                int64_t sum = channels[o].bias;
                for (int32_t i = 0; i < kernel_rows; i++) {
                    const int32_t r = row * stride_rows - pad_top + i * dilation_rows;
                    for (int32_t j = 0; j < kernel_columns; j++, w += depth) {
                        const int32_t c = column * stride_columns - pad_left + j * dilation_columns;
                        if (r < 0 || r >= in_rows || c < 0 || c >= in_columns) {
                            continue;
                        }
                        const int16_t *source = x + ((r * in_columns + c) * in_channels + first);
                        for (int32_t k = 0; k < depth; k++) {
                            sum += source[k] * w[k];
                        }
                    }
                }
                *y++ = edgert_wide_output(sum, &channels[o], low, high);
            }
        }
    }
}

/* weights [outputs][depth] */
EDGERT_KERNEL void edgert_fully_connected_wide(const int16_t *x, int16_t *y, const int8_t *weights,
                                               const edgert_wide_t *channels, int32_t batch, int32_t outputs,
                                               int32_t depth, int32_t low, int32_t high)
{
    for (int32_t n = 0; n < batch; n++, x += depth) {
        const int8_t *w = weights;
        for (int32_t o = 0; o < outputs; o++, w += depth) {
            int64_t sum = channels[o].bias;
            for (int32_t k = 0; k < depth; k++) {
                sum += x[k] * w[k];
            }
            *y++ = edgert_wide_output(sum, &channels[o], low, high);
        }
    }
}

#endif
