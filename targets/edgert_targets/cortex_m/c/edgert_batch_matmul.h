/* Products of computed matrices of int8: [rows][terms] times [terms][columns], over up to four leading axes. */
#ifndef EDGERT_BATCH_MATMUL_H
#define EDGERT_BATCH_MATMUL_H

#include "edgert_matrices.h"
#include "edgert_requantize.h"

#if defined(EDGERT_REQUANTIZE_Q31)
typedef int32_t edgert_factor_t;
#else
typedef float edgert_factor_t;
#endif

/* One scale for all sums; `shift` is 0 in mode fp32. */
EDGERT_KERNEL int32_t edgert_scale_sum(int32_t sum, edgert_factor_t multiplier, int32_t shift)
{
#if defined(EDGERT_REQUANTIZE_Q31)
    return edgert_multiply_q31(sum, multiplier, shift);
#else
    (void)shift;
    return edgert_multiply_fp32(sum, multiplier);
#endif
}

EDGERT_KERNEL void edgert_multiply_matrices(const int8_t *a, const int8_t *b, int8_t *y, int32_t rows, int32_t terms,
                                            int32_t columns, edgert_factor_t multiplier, int32_t shift, int32_t a_zero,
                                            int32_t b_zero, int32_t y_zero, int32_t low, int32_t high)
{
    for (int32_t r = 0; r < rows; r++, a += terms) {
        for (int32_t c = 0; c < columns; c++) {
            int32_t sum = 0;
            for (int32_t k = 0; k < terms; k++) {
                sum += (a[k] - a_zero) * (b[k * columns + c] - b_zero);
            }
            *y++ = (int8_t)edgert_limit(edgert_scale_sum(sum, multiplier, shift) + y_zero, low, high);
        }
    }
}

EDGERT_KERNEL void edgert_batch_matmul(const int8_t *a, const int8_t *b, int8_t *y, EDGERT_MATRIX_LOOPS, int32_t rows,
                                       int32_t terms, int32_t columns, edgert_factor_t multiplier, int32_t shift,
                                       int32_t a_zero, int32_t b_zero, int32_t y_zero, int32_t low, int32_t high)
{
    EDGERT_FOR_MATRICES(edgert_multiply_matrices(a + left * rows * terms, b + right * terms * columns, y, rows, terms,
                                                 columns, multiplier, shift, a_zero, b_zero, y_zero, low, high))
}

#endif
