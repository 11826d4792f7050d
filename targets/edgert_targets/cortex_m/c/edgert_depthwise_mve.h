/* Depthwise 2-D convolution (one output per input channel) for Helium: lanes are channels, 8 at once.
 *
 * Channels are taken in blocks of 16. The input rows that a row of outputs needs lie, padded, in a ring of rows in
 * `scratch`, so that the inner loop knows no borders and outputs may overwrite the input.
 *
 * Weights: [channels / 8][kernel row][kernel column][8], filled with zeros. `channels`: a table of edgert_mve.h, whose
 * blocks hold, in turn, the even and the odd channels of every 8. `together` products in a row, 1 to all, are summed in
 * 16 bits: no channel can leave them (the layer's generator checks that).
 */
#ifndef EDGERT_DEPTHWISE_MVE_H
#define EDGERT_DEPTHWISE_MVE_H

#include "edgert_mve.h"

typedef struct {
    int32_t rows, columns, depth;        /* of the input; depth also of the output */
    int32_t pad_left, width;             /* padded columns in the ring */
    int32_t kernel_rows, kernel_columns; /* the window */
    int32_t dilation_rows, dilation_columns, stride_columns, together;
    int32_t is_whole, x_zero, y_zero, low, high;
} edgert_mve_depthwise_t;

/* Copies 16 channels of one row, or what counts outside the input, into the ring. */
EDGERT_KERNEL void edgert_mve_fill(const int8_t *x, int8_t *ring, int32_t row, mve_pred16_t taken,
                                   edgert_mve_depthwise_t d)
{
    const int32_t is_inside = row >= 0 && row < d.rows;
    const int8x16_t outside = vdupq_n_s8((int8_t)d.x_zero);
    const int32_t first = is_inside ? d.pad_left : d.width, last = is_inside ? d.pad_left + d.columns : d.width;
    int32_t column = 0;
    for (; column < first; column++, ring += 16) {
        vstrbq_s8(ring, outside);
    }
    x += row * d.columns * d.depth;
    for (; column < edgert_min(last, d.width); column++, ring += 16, x += d.depth) {
        vstrbq_s8(ring, vldrbq_z_s8(x, taken));
    }
    for (; column < d.width; column++, ring += 16) {
        vstrbq_s8(ring, outside);
    }
}

/* One row of outputs of 8 channels; `row` is the first window row's place in the ring of `slots` rows. */
EDGERT_KERNEL void edgert_mve_depthwise_row(const int8_t *ring, int32_t row, int32_t slots, int8_t *y, int32_t count,
                                            const int8_t *weights, const int32_t *table, mve_pred16_t taken,
                                            edgert_mve_depthwise_t d)
{
    const int32_t taps = d.kernel_rows * d.kernel_columns;
    for (int32_t column = 0; column < count; column++, ring += d.stride_columns * 16, y += d.depth) {
        int32x4_t even = vldrwq_s32(table), odd = vldrwq_s32(table + EDGERT_MVE_BLOCK);
        int16x8_t part = vdupq_n_s16(0);
        int32_t slot = row;
        EDGERT_MVE_POINTER(weights);
        EDGERT_MVE_POINTER(table);
        EDGERT_UNROLL(5)
        for (int32_t i = 0; i < d.kernel_rows; i++) {
            const int8_t *from = ring + slot * d.width * 16;
            EDGERT_MVE_POINTER(from);
            EDGERT_UNROLL(5)
            for (int32_t j = 0; j < d.kernel_columns; j++) {
                const int32_t tap = i * d.kernel_columns + j;
                const int16x8_t w = vldrbq_s16(weights + tap * 8);
                const int16x8_t product = vmulq_s16(vldrbq_s16(from + j * d.dilation_columns * 16), w);
                part = tap % d.together == 0 ? product : vaddq_s16(part, product);
                EDGERT_MVE_VECTOR(part);
                if ((tap + 1) % d.together == 0 || tap + 1 == taps) {
                    even = vaddq_s32(even, vmovlbq_s16(part));
                    odd = vaddq_s32(odd, vmovltq_s16(part));
                    EDGERT_MVE_VECTOR(even);
                    EDGERT_MVE_VECTOR(odd);
                }
            }
            slot += d.dilation_rows;
            slot -= slot >= slots ? slots : 0;
        }
        even = edgert_mve_scale(even, edgert_mve_scales(table), d.low < d.y_zero);
        odd = edgert_mve_scale(odd, edgert_mve_scales(table + EDGERT_MVE_BLOCK), d.low < d.y_zero);
        int16x8_t value = vqmovntq_s32(vqmovnbq_s32(part, even), odd);
        value = vqaddq_n_s16(value, (int16_t)d.y_zero);
        if (d.low == -128 && d.high == 127) {
            value = vreinterpretq_s16_s8(vqmovnbq_s16(vreinterpretq_s8_s16(value), value));
        } else {
            value = vmaxq_s16(vminq_s16(value, vdupq_n_s16((int16_t)d.high)), vdupq_n_s16((int16_t)d.low));
        }
        if (d.is_whole) {
            vstrbq_s16(y, value);
        } else {
            vstrbq_p_s16(y, value, taken);
        }
    }
}

/* `scratch`: 16 bytes for every column of the padded row, times (kernel_rows - 1) * dilation_rows + 1. */
EDGERT_KERNEL void edgert_depthwise_mve(const int8_t *x, int8_t *y, int8_t *scratch, const int8_t *weights,
                                        const int32_t *channels, int32_t in_rows, int32_t out_rows, int32_t pad_top,
                                        int32_t in_columns, int32_t out_columns, int32_t depth, int32_t stride_rows,
                                        int32_t stride_columns, int32_t pad_left, int32_t kernel_rows,
                                        int32_t kernel_columns, int32_t dilation_rows, int32_t dilation_columns,
                                        int32_t together, int32_t is_whole, int32_t x_zero, int32_t y_zero,
                                        int32_t low, int32_t high)
{
    const int32_t width = (out_columns - 1) * stride_columns + (kernel_columns - 1) * dilation_columns + 1;
    const int32_t slots = (kernel_rows - 1) * dilation_rows + 1, taps = kernel_rows * kernel_columns;
    const edgert_mve_depthwise_t d = {in_rows,     in_columns,     depth,         pad_left,         width,
                                      kernel_rows, kernel_columns, dilation_rows, dilation_columns, stride_columns,
                                      together,    is_whole,       x_zero,        y_zero,           low,
                                      high};
    for (int32_t first = 0; first < depth; first += 16) {
        const int32_t taken = depth - first;
        int32_t filled = -pad_top, into = 0; /* the next row to fill, and where: always slot (row + pad_top) % slots */
        int32_t start = 0;
        for (int32_t row = 0; row < out_rows; row++) {
            const int32_t top = row * stride_rows - pad_top;
            for (; filled < top + slots; filled++) {
                edgert_mve_fill(x + first, scratch + into * width * 16, filled, vctp8q((uint32_t)taken), d);
                into = into + 1 == slots ? 0 : into + 1;
            }
            int8_t *to = y + row * out_columns * depth + first;
            for (int32_t half = 0; half < edgert_min(taken, 16); half += 8) {
                const int32_t block = (first + half) / 8;
                edgert_mve_depthwise_row(scratch + half, start, slots, to + half, out_columns,
                                         weights + block * taps * 8, channels + block * 2 * EDGERT_MVE_BLOCK,
                                         vctp16q((uint32_t)(taken - half)), d);
            }
            start = (start + stride_rows) % slots;
        }
    }
}

#endif
