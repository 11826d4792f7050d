/* 2-D convolution with one group, for Helium: 16 products per instruction, 4 outputs of 2 positions at once.
 *
 * Weights: [outputs / 4][terms / 16][4][16], filled up with zeros; terms are [kernel row][kernel column][channel].
 * `channels`: a table of edgert_mve.h. Sums start at the bias, which has the input's zero point folded in.
 */
#ifndef EDGERT_CONV_MVE_H
#define EDGERT_CONV_MVE_H

#include "edgert_mve.h"

typedef struct {
    int32x4_t first, second; /* 4 outputs at the first and at the second position */
} edgert_mve_sums_t;

/* Returns bias + sum(x * w) over `chunks` times 16 terms for 4 outputs. Accumulators of VMLADAVA are even registers:
 * 8 of them leave GCC 12 none to move with, so the loop is written out. Every register is named: a compiler that may
 * choose finds none that are free at some levels of optimization. r7 is left for frames. */
EDGERT_KERNEL edgert_mve_sums_t edgert_mve_sums(const int8_t *x0, const int8_t *x1, const int8_t **w,
                                                const int32_t *bias, int32_t chunks)
{
    edgert_mve_sums_t sums;
#if defined(__ARM_FEATURE_MVE) && defined(__GNUC__)
    int8x16_t left, right, shared;
    register const int32_t *sum __asm__("r0") = bias;
    register const int8_t *first_terms __asm__("r1") = x0;
    register const int8_t *second_terms __asm__("r3") = x1;
    register const int8_t *weights __asm__("r5") = *w;
    register int32_t count __asm__("r11") = chunks;
    __asm__ volatile("ldrd r4, r6, [r0, #8]\n\t"
                     "ldrd r0, r2, [r0]\n\t"
                     "mov r8, r0\n\t"
                     "mov r10, r2\n\t"
                     "mov r12, r4\n\t"
                     "mov lr, r6\n"
                     "1:\n\t"
                     "vldrb.8 %q[left], [r1], #16\n\t"
                     "vldrb.8 %q[shared], [r5], #16\n\t"
                     "vmladava.s8 r0, %q[left], %q[shared]\n\t"
                     "vldrb.8 %q[right], [r3], #16\n\t"
                     "vmladava.s8 r8, %q[right], %q[shared]\n\t"
                     "vldrb.8 %q[shared], [r5], #16\n\t"
                     "vmladava.s8 r2, %q[left], %q[shared]\n\t"
                     "vmladava.s8 r10, %q[right], %q[shared]\n\t"
                     "vldrb.8 %q[shared], [r5], #16\n\t"
                     "vmladava.s8 r4, %q[left], %q[shared]\n\t"
                     "vmladava.s8 r12, %q[right], %q[shared]\n\t"
                     "vldrb.8 %q[shared], [r5], #16\n\t"
                     "subs r11, #1\n\t"
                     "vmladava.s8 r6, %q[left], %q[shared]\n\t"
                     "vmladava.s8 lr, %q[right], %q[shared]\n\t"
                     "bne 1b\n\t"
                     "vmov %q[first][2], %q[first][0], r0, r4\n\t"
                     "vmov %q[first][3], %q[first][1], r2, r6\n\t"
                     "vmov %q[second][2], %q[second][0], r8, r12\n\t"
                     "vmov %q[second][3], %q[second][1], r10, lr"
                     : [first] "=&w"(sums.first), [second] "=&w"(sums.second), [left] "=&w"(left), [right] "=&w"(right),
                       [shared] "=&w"(shared), "+r"(sum), "+r"(first_terms), "+r"(second_terms), "+r"(weights),
                       "+r"(count)
                     :
                     : "r2", "r4", "r6", "r8", "r10", "r12", "lr", "cc", "memory");
    *w = weights;
#else
    const int8_t *weights = *w;
    int32_t first[4], second[4];
    for (int32_t o = 0; o < 4; o++) {
        first[o] = second[o] = bias[o];
    }
    for (; chunks > 0; chunks--, x0 += 16, x1 += 16) {
        for (int32_t o = 0; o < 4; o++, weights += 16) {
            first[o] = vmladavaq_s8(first[o], vldrbq_s8(x0), vldrbq_s8(weights));
            second[o] = vmladavaq_s8(second[o], vldrbq_s8(x1), vldrbq_s8(weights));
        }
    }
    sums.first = vldrwq_s32(first);
    sums.second = vldrwq_s32(second);
    *w = weights;
#endif
    return sums;
}

/* All outputs of two positions, whose terms lie from x0 and x1 on, to y0 and y1. */
EDGERT_KERNEL void edgert_mve_two_positions(const int8_t *x0, const int8_t *x1, int8_t *y0, int8_t *y1,
                                            const int8_t *w, const int32_t *table, int32_t chunks, int32_t outputs,
                                            int32_t is_whole, int32_t y_zero, int32_t low, int32_t high)
{
    for (int32_t o = 0; o < outputs; o += 4, table += EDGERT_MVE_BLOCK) {
        const edgert_mve_sums_t sums = edgert_mve_sums(x0, x1, &w, table, chunks);
        const edgert_mve_scales_t scales = edgert_mve_scales(table);
        const int32x4_t first = edgert_mve_scale(sums.first, scales, low < y_zero);
        const int32x4_t second = edgert_mve_scale(sums.second, scales, low < y_zero);
        const mve_pred16_t taken = vctp32q((uint32_t)(outputs - o));
        edgert_mve_store(y0 + o, first, taken, is_whole, y_zero, low, high);
        edgert_mve_store(y1 + o, second, taken, is_whole, y_zero, low, high);
    }
}

/* 1x1 with stride 1: every position's channels, `chunks` times 16, are the terms as they lie. `is_whole`: the outputs
 * are a multiple of 4. An odd last position is computed as both of a pair. */
EDGERT_KERNEL void edgert_conv_1x1_mve(const int8_t *x, int8_t *y, const int8_t *weights, const int32_t *channels,
                                       int32_t in_rows, int32_t out_rows, int32_t pad_top, int32_t columns,
                                       int32_t chunks, int32_t outputs, int32_t is_whole, int32_t y_zero, int32_t low,
                                       int32_t high)
{
    const int32_t depth = chunks * 16;
    (void)in_rows;
    (void)pad_top;
    for (int32_t rest = out_rows * columns; rest > 0; rest -= 2, x += depth * 2, y += outputs * 2) {
        const int32_t second = rest > 1;
        edgert_mve_two_positions(x, x + (second ? depth : 0), y, y + (second ? outputs : 0), weights, channels, chunks,
                                 outputs, is_whole, y_zero, low, high);
    }
}

/* The same for any depth: what is read behind a position's channels meets weights of 0. The last positions, behind
 * which the input ends, are read from copies in `scratch`, 2 * 16 * ceil(depth / 16) bytes. */
EDGERT_KERNEL void edgert_conv_1x1_rest_mve(const int8_t *x, int8_t *y, int8_t *scratch, const int8_t *weights,
                                            const int32_t *channels, int32_t in_rows, int32_t out_rows,
                                            int32_t pad_top, int32_t columns, int32_t depth, int32_t outputs,
                                            int32_t is_whole, int32_t y_zero, int32_t low, int32_t high)
{
    const int32_t chunks = (depth + 15) / 16, count = out_rows * columns;
    (void)in_rows;
    (void)pad_top;
    for (int32_t n = 0; n < count; n += 2, x += depth * 2, y += outputs * 2) {
        const int32_t second = n + 1 < count;
        const int8_t *terms[2] = {x, x + (second ? depth : 0)};
        if ((count - n - 1 - second) * depth < chunks * 16 - depth) {
            for (int32_t i = 0; i <= second; i++) {
                edgert_mve_copy(x + i * depth, scratch + i * chunks * 16, depth);
                terms[i] = scratch + i * chunks * 16;
            }
            terms[1] = second ? terms[1] : terms[0];
        }
        edgert_mve_two_positions(terms[0], terms[1], y, y + (second ? outputs : 0), weights, channels, chunks, outputs,
                                 is_whole, y_zero, low, high);
    }
}

typedef struct {
    int32_t rows, columns, depth;                   /* of the input */
    int32_t kernel_rows, kernel_columns;            /* the window */
    int32_t dilation_rows, dilation_columns, x_zero; /* what counts outside the input */
} edgert_mve_window_t;

/* Gathers the terms of the window whose first row and column are `top` and `left`; `to` has room for 16 more. */
EDGERT_KERNEL void edgert_mve_gather(const int8_t *x, int8_t *to, int32_t top, int32_t left, edgert_mve_window_t w)
{
    const int32_t reach_rows = (w.kernel_rows - 1) * w.dilation_rows + 1;
    const int32_t reach = (w.kernel_columns - 1) * w.dilation_columns + 1;
    const int32_t is_inside = top >= 0 && left >= 0 && top + reach_rows <= w.rows && left + reach <= w.columns;
    const int32_t taps = w.dilation_columns == 1 ? 1 : w.kernel_columns;
    const int32_t run = w.dilation_columns == 1 ? w.kernel_columns : 1; /* columns that lie side by side */
    if (is_inside) {
        const int8_t *from = x + (top * w.columns + left) * w.depth;
        for (int32_t i = 0; i < w.kernel_rows; i++, from += w.dilation_rows * w.columns * w.depth) {
            for (int32_t j = 0; j < taps; j++, to += run * w.depth) {
                edgert_mve_copy(from + j * w.dilation_columns * w.depth, to, run * w.depth);
            }
        }
        return;
    }
    EDGERT_UNROLL(4)
    for (int32_t k = 0; k < w.kernel_rows * w.kernel_columns * w.depth; k += 16) {
        vstrbq_s8(to + k, vdupq_n_s8((int8_t)w.x_zero));
    }
    for (int32_t i = 0; i < w.kernel_rows; i++) {
        const int32_t row = top + i * w.dilation_rows;
        const int32_t is_row = row >= 0 && row < w.rows;
        for (int32_t j = 0; j < taps; j++, to += run * w.depth) {
            const int32_t column = left + j * w.dilation_columns;
            const int32_t first = edgert_max(-column, 0), last = edgert_min(w.columns - column, run);
            if (is_row && first < last) {
                const int8_t *from = x + (row * w.columns + column + first) * w.depth;
                edgert_mve_copy_exactly(from, to + first * w.depth, (last - first) * w.depth);
            }
        }
    }
}

/* Any window: terms of two positions are gathered in `scratch`, 2 * 16 * ceil(terms / 16) + 16 bytes. */
EDGERT_KERNEL void edgert_conv_mve(const int8_t *x, int8_t *y, int8_t *scratch, const int8_t *weights,
                                   const int32_t *channels, int32_t in_rows, int32_t out_rows, int32_t pad_top,
                                   int32_t in_columns, int32_t in_channels, int32_t out_columns, int32_t outputs,
                                   int32_t kernel_rows, int32_t kernel_columns, int32_t stride_rows,
                                   int32_t stride_columns, int32_t dilation_rows, int32_t dilation_columns,
                                   int32_t pad_left, int32_t x_zero, int32_t y_zero, int32_t low, int32_t high)
{
    const edgert_mve_window_t window = {in_rows,     in_columns,    in_channels,      kernel_rows, kernel_columns,
                                        dilation_rows, dilation_columns, x_zero};
    const int32_t chunks = (kernel_rows * kernel_columns * in_channels + 15) / 16;
    int8_t *const terms[2] = {scratch, scratch + chunks * 16};
    int32_t row = 0, column = 0;
    for (int32_t rest = out_rows * out_columns; rest > 0; rest -= 2, y += outputs * 2) {
        const int32_t second = rest > 1;
        for (int32_t i = 0; i <= second; i++) {
            edgert_mve_gather(x, terms[i], row * stride_rows - pad_top, column * stride_columns - pad_left, window);
            if (++column == out_columns) {
                column = 0;
                row++;
            }
        }
        edgert_mve_two_positions(terms[0], terms[second], y, y + (second ? outputs : 0), weights, channels, chunks,
                                 outputs, outputs % 4 == 0, y_zero, low, high);
    }
}

#endif
