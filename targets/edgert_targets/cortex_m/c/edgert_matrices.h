/* Four loops over matrices, the outermost first; a_0 to a_3 and b_0 to b_3 are how many matrices their steps are. */
#ifndef EDGERT_MATRICES_H
#define EDGERT_MATRICES_H

#include "edgert_kernel.h"

#define EDGERT_MATRIX_LOOPS                                                                                            \
    int32_t count_0, int32_t a_0, int32_t b_0, int32_t count_1, int32_t a_1, int32_t b_1, int32_t count_2,             \
        int32_t a_2, int32_t b_2, int32_t count_3, int32_t a_3, int32_t b_3

/* `product` of matrices `left` of a and `right` of b, then y moves on by one matrix of rows x columns. */
#define EDGERT_FOR_MATRICES(product)                                                                                   \
    for (int32_t i = 0; i < count_0; i++) {                                                                            \
        for (int32_t j = 0; j < count_1; j++) {                                                                        \
            for (int32_t k = 0; k < count_2; k++) {                                                                    \
                for (int32_t l = 0; l < count_3; l++, y += rows * columns) {                                           \
                    const int32_t left = i * a_0 + j * a_1 + k * a_2 + l * a_3;                                        \
                    const int32_t right = i * b_0 + j * b_1 + k * b_2 + l * b_3;                                       \
                    product;                                                                                           \
                }                                                                                                      \
            }                                                                                                          \
        }                                                                                                              \
    }

#endif
