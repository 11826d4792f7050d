/* Linear resize of rows and columns: four neighbours, weighted. */
#ifndef EDGERT_RESIZE_H
#define EDGERT_RESIZE_H

#include "edgert_float.h"

/* Of one output row or column: the input ones beside it; weights in 2^-10. */
typedef struct {
    int16_t before, after, early, late;
} edgert_tap_t;

typedef struct {
    int16_t before, after;
    float early, late;
} edgert_tap_float_t;

/* q31: weights in 2^-10, the sum of 2^20 rounded half away from zero by a division that cuts. */
EDGERT_KERNEL void edgert_resize_q31(const int8_t *x, int8_t *y, const edgert_tap_t *rows, const edgert_tap_t *columns,
                                     int32_t out_rows, int32_t out_columns, int32_t in_columns, int32_t depth)
{
    for (int32_t r = 0; r < out_rows; r++) {
        const int8_t *above = x + rows[r].before * in_columns * depth, *below = x + rows[r].after * in_columns * depth;
        for (int32_t c = 0; c < out_columns; c++) {
            const int32_t left = columns[c].before * depth, right = columns[c].after * depth;
            for (int32_t k = 0; k < depth; k++) {
                const int32_t sum = above[left + k] * rows[r].early * columns[c].early +
                                    below[left + k] * rows[r].late * columns[c].early +
                                    above[right + k] * rows[r].early * columns[c].late +
                                    below[right + k] * rows[r].late * columns[c].late;
                *y++ = (int8_t)edgert_clamp((sum > 0 ? sum + (1 << 19) : sum - (1 << 19)) / (1 << 20), -128, 127);
            }
        }
    }
}

/* The four products in turn, each rounded once. */
EDGERT_KERNEL float edgert_blend(float top_left, float top_right, float bottom_left, float bottom_right,
                                 const edgert_tap_float_t *row, const edgert_tap_float_t *column)
{
    float sum = edgert_alone(edgert_alone(column->early * row->early) * top_left);
    sum = edgert_alone(sum + edgert_alone(edgert_alone(column->late * row->early) * top_right));
    sum = edgert_alone(sum + edgert_alone(edgert_alone(column->early * row->late) * bottom_left));
    return sum + edgert_alone(edgert_alone(column->late * row->late) * bottom_right);
}

EDGERT_KERNEL void edgert_resize_float(const float *x, float *y, const edgert_tap_float_t *rows,
                                       const edgert_tap_float_t *columns, int32_t out_rows, int32_t out_columns,
                                       int32_t in_columns, int32_t depth)
{
    for (int32_t r = 0; r < out_rows; r++) {
        const float *above = x + rows[r].before * in_columns * depth, *below = x + rows[r].after * in_columns * depth;
        for (int32_t c = 0; c < out_columns; c++) {
            const int32_t left = columns[c].before * depth, right = columns[c].after * depth;
            for (int32_t k = 0; k < depth; k++) {
                *y++ = edgert_blend(above[left + k], above[right + k], below[left + k], below[right + k], &rows[r],
                                    &columns[c]);
            }
        }
    }
}

/* fp32: the same on what the integers stand for. */
EDGERT_KERNEL void edgert_resize_fp32(const int8_t *x, int8_t *y, const edgert_tap_float_t *rows,
                                      const edgert_tap_float_t *columns, int32_t out_rows, int32_t out_columns,
                                      int32_t in_columns, int32_t depth, int32_t zero, float scale)
{
    for (int32_t r = 0; r < out_rows; r++) {
        const int8_t *above = x + rows[r].before * in_columns * depth, *below = x + rows[r].after * in_columns * depth;
        for (int32_t c = 0; c < out_columns; c++) {
            const int32_t left = columns[c].before * depth, right = columns[c].after * depth;
            for (int32_t k = 0; k < depth; k++) {
                const float value = edgert_blend(edgert_alone((float)(above[left + k] - zero) * scale),
                                                 edgert_alone((float)(above[right + k] - zero) * scale),
                                                 edgert_alone((float)(below[left + k] - zero) * scale),
                                                 edgert_alone((float)(below[right + k] - zero) * scale), &rows[r],
                                                 &columns[c]);
                *y++ = (int8_t)(zero + edgert_round(value / scale, -128 - zero, 127 - zero));
            }
        }
    }
}

#endif
