/* Fully connected layer of one row with the DSP extension: the input is widened in registers, so nothing else needs
 * memory. Weights lie as edgert_dot_dsp.h says. `scale_step` is 0 where one multiplier serves all outputs, else 1.
 */
#ifndef EDGERT_FULLY_CONNECTED_DSP_H
#define EDGERT_FULLY_CONNECTED_DSP_H

#include "edgert_dot_dsp.h"

/* Adds the products of four terms with their weights of the channels a to d. */
EDGERT_KERNEL void edgert_add_terms(int32_t word, const int32_t *weights, int32_t *a, int32_t *ab, int32_t *c,
                                    int32_t *cd)
{
    const int32_t even = edgert_even_bytes(word), odd = edgert_odd_bytes(word);
    const int32_t w0 = weights[0], w1 = weights[1], w2 = weights[2], w3 = weights[3];
    *ab = edgert_smlad(even, w0, *ab);
    *a = edgert_smlad(even, edgert_even_bytes(w0), *a);
    *cd = edgert_smlad(even, w1, *cd);
    *c = edgert_smlad(even, edgert_even_bytes(w1), *c);
    *ab = edgert_smlad(odd, w2, *ab);
    *a = edgert_smlad(odd, edgert_even_bytes(w2), *a);
    *cd = edgert_smlad(odd, w3, *cd);
    *c = edgert_smlad(odd, edgert_even_bytes(w3), *c);
}

EDGERT_KERNEL void edgert_fully_connected_dsp(const int8_t *x, int8_t *y, const int32_t *weights,
                                              const edgert_multiplier_t *scales, int32_t depth, int32_t outputs,
                                              int32_t y_zero, int32_t scale_step, int32_t low, int32_t high,
                                              int32_t is_fast)
{
    const int8_t *const end = x + (depth & ~3);
    const int32_t rest = depth & 3;
    for (int32_t left = outputs; left > 0; left -= 4) {
        int32_t a = weights[0], ab = weights[1], c = weights[2], cd = weights[3];
        weights += 4;
        for (const int8_t *source = x; source != end; source += 4, weights += 4) {
            edgert_add_terms(edgert_load_word(source), weights, &a, &ab, &c, &cd);
        }
        if (rest) {
            int32_t word = 0;
            memcpy(&word, end, (size_t)rest);
            edgert_add_terms(word, weights, &a, &ab, &c, &cd);
            weights += 4;
        }
        const int32_t sums[4] = {a, (int32_t)((uint32_t)ab - (uint32_t)a), c, (int32_t)((uint32_t)cd - (uint32_t)c)};
        for (int32_t i = 0; i < 4 && i < left; i++, scales += scale_step) {
            *y++ = (int8_t)edgert_output_of(sums[i], i & 1, *scales, y_zero, low, high, is_fast);
        }
    }
}

#endif
