/* Fully connected layer of one row with the DSP extension: the input is widened in registers, so nothing else needs
 * memory. Weights lie as edgert_dot_dsp.h says. `scale_step` is 0 where one multiplier serves all outputs, else 1.
 */
#ifndef EDGERT_FULLY_CONNECTED_DSP_H
#define EDGERT_FULLY_CONNECTED_DSP_H

#include "edgert_dot_dsp.h"

/* Adds the products of four terms with their weights of the channels a to d; returns where the next weights are. In
 * assembly because compilers load single words and count twice. */
#if EDGERT_HAS_DSP
#define EDGERT_TERMS(x)                                                                                                \
    "ldrd %[p], %[q], [%[w]], #8\n\t"                                                                                  \
    "smlad %[ab], %[" x "], %[p], %[ab]\n\t"                                                                           \
    "smlad %[cd], %[" x "], %[q], %[cd]\n\t"                                                                           \
    "sxtb16 %[p], %[p]\n\t"                                                                                            \
    "sxtb16 %[q], %[q]\n\t"                                                                                            \
    "smlad %[a], %[" x "], %[p], %[a]\n\t"                                                                             \
    "smlad %[c], %[" x "], %[q], %[c]\n\t"

EDGERT_KERNEL const int32_t *edgert_add_terms(int32_t word, const int32_t *weights, int32_t *a, int32_t *ab, int32_t *c,
                                              int32_t *cd)
{
    int32_t even, p, q;
    __asm__ volatile("sxtb16 %[even], %[word]\n\t"
                     "sxtb16 %[word], %[word], ror #8\n\t" EDGERT_TERMS("even") EDGERT_TERMS("word")
                     : [even] "=&r"(even), [p] "=&r"(p), [q] "=&r"(q), [word] "+&r"(word), [w] "+&r"(weights),
                       [a] "+&r"(*a), [ab] "+&r"(*ab), [c] "+&r"(*c), [cd] "+&r"(*cd)
                     :
                     : "memory");
    return weights;
}
#else
EDGERT_KERNEL const int32_t *edgert_add_terms(int32_t word, const int32_t *weights, int32_t *a, int32_t *ab, int32_t *c,
                                              int32_t *cd)
{
    for (int32_t i = 0; i < 2; i++, weights += 2) {
        const int32_t x = i == 0 ? edgert_even_bytes(word) : edgert_odd_bytes(word);
        *ab = edgert_smlad(x, weights[0], *ab);
        *a = edgert_smlad(x, edgert_even_bytes(weights[0]), *a);
        *cd = edgert_smlad(x, weights[1], *cd);
        *c = edgert_smlad(x, edgert_even_bytes(weights[1]), *c);
    }
    return weights;
}
#endif

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
        const int8_t *source = x;
        if (depth & 4) {
            weights = edgert_add_terms(edgert_load_word(source), weights, &a, &ab, &c, &cd);
            source += 4;
        }
        for (; source != end; source += 8) {
            weights = edgert_add_terms(edgert_load_word(source), weights, &a, &ab, &c, &cd);
            weights = edgert_add_terms(edgert_load_word(source + 4), weights, &a, &ab, &c, &cd);
        }
        if (rest) {
            int32_t word = 0;
            memcpy(&word, end, (size_t)rest);
            weights = edgert_add_terms(word, weights, &a, &ab, &c, &cd);
        }
        const int32_t sums[4] = {a, (int32_t)((uint32_t)ab - (uint32_t)a), c, (int32_t)((uint32_t)cd - (uint32_t)c)};
        for (int32_t i = 0; i < 4 && i < left; i++, scales += scale_step) {
            *y++ = (int8_t)edgert_output_of(sums[i], i & 1, *scales, y_zero, low, high, is_fast);
        }
    }
}

#endif
