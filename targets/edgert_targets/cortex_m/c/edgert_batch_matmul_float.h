/* Products of computed matrices of floats: [rows][terms] times [terms][columns], over up to four leading axes. */
#ifndef EDGERT_BATCH_MATMUL_FLOAT_H
#define EDGERT_BATCH_MATMUL_FLOAT_H

#include "edgert_matrices.h"

EDGERT_KERNEL void edgert_multiply_floats(const float *a, const float *b, float *y, int32_t rows, int32_t terms,
                                          int32_t columns)
{
    for (int32_t r = 0; r < rows; r++, a += terms) {
        for (int32_t c = 0; c < columns; c++) {
            float sum = 0.0f;
            for (int32_t k = 0; k < terms; k++) {
                sum += a[k] * b[k * columns + c];
            }
            *y++ = sum;
        }
    }
}

EDGERT_KERNEL void edgert_batch_matmul_float(const float *a, const float *b, float *y, EDGERT_MATRIX_LOOPS,
                                             int32_t rows, int32_t terms, int32_t columns)
{
    EDGERT_FOR_MATRICES(edgert_multiply_floats(a + left * rows * terms, b + right * terms * columns, y, rows, terms,
                                               columns))
}

#endif
