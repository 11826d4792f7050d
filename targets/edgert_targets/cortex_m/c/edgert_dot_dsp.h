/* Sums of four output channels at two positions, with the DSP extension, and what becomes of them.
 *
 * Weights lie as one stream of words. Every four channels a, b, c, d start with the words
 *     bias_a, bias_a + 256 * bias_b, bias_c, bias_c + 256 * bias_d
 * and go on with two words for every pair of terms, which hold int16 pairs of 256 * w_b + w_a and of 256 * w_d + w_c.
 * Two weights so take two bytes, and one SXTB16 gives w_a alone. The sum of x * (256 * w_b + w_a) less that of
 * x * w_a is 256 * the sum of x * w_b, exactly modulo 2^32; the generator checks that sums of b and d fit 24 bits.
 */
#ifndef EDGERT_DOT_DSP_H
#define EDGERT_DOT_DSP_H

#include "edgert_requantize.h"

/* How sums of a channel become output integers, without the bias, which lies among the weights. `is_fast` below: as
 * edgert_scale_fast needs it. */
#if defined(EDGERT_REQUANTIZE_Q31)
typedef struct {
    int32_t multiplier;
    int32_t shift; /* as in edgert_multiply_q31, or, where the layer is fast, the right shift less 1 */
} edgert_multiplier_t;

/* value / 2 to the nearest int8. One SSAT. */
EDGERT_KERNEL int32_t edgert_saturate_half(int32_t value)
{
#if EDGERT_HAS_DSP
    int32_t result;
    __asm__("ssat %0, #8, %1, asr #1" : "=r"(result) : "r"(value) : "cc");
    return result;
#else
    return edgert_clamp(value >> 1, -128, 127);
#endif
}

/* Fast: v is the high multiply, less 1 below zero; the output is floor((v + half + y_zero * 2^right) / 2^right) with
 * half = 2^(right - 1), which is floor((floor(v / half) + 2 * y_zero + 1) / 2), as y_zero * 2^right + half is a
 * multiple of half. */
EDGERT_KERNEL int32_t edgert_output_of(int32_t sum, int32_t is_times_256, edgert_multiplier_t scale, int32_t y_zero,
                                       int32_t low, int32_t high, int32_t is_fast)
{
    if (!is_fast) {
        const int32_t scaled = edgert_multiply_q31(is_times_256 ? sum >> 8 : sum, scale.multiplier, scale.shift);
        return edgert_limit(scaled + y_zero, low, high);
    }
    const int32_t twice = is_times_256 ? sum >> 7 : sum * 2;
    const int32_t halves = (edgert_smmlar(twice, scale.multiplier, twice >> 31) >> scale.shift) + (2 * y_zero + 1);
    return low <= -128 && high >= 127 ? edgert_saturate_half(halves) : edgert_clamp(halves >> 1, low, high);
}
#else
typedef struct {
    float multiplier;
} edgert_multiplier_t;

EDGERT_KERNEL int32_t edgert_output_of(int32_t sum, int32_t is_times_256, edgert_multiplier_t scale, int32_t y_zero,
                                       int32_t low, int32_t high, int32_t is_fast)
{
    (void)is_fast;
    const int32_t scaled = edgert_multiply_fp32(is_times_256 ? sum >> 8 : sum, scale.multiplier);
    return edgert_limit(scaled + y_zero, low, high);
}
#endif

/* x holds words of two terms, by turns of the first and of the second position, up to `end`. What is written: the sums
 * of a at both positions, 256 times those of b, those of c, 256 times those of d. The number of word pairs is even. */
#if EDGERT_HAS_DSP
/* Written out because a compiler keeps one of the fourteen values on the stack. 51 instructions are 64 products. */
#define EDGERT_DOT_STEP                                                                                                \
    "ldrd r2, r3, [r0], #8\n"   /* terms of both positions */                                                          \
    "ldrd r12, lr, [r1], #8\n"  /* weights of b and a, of d and c */                                                   \
    "smlad r6, r2, r12, r6\n"                                                                                          \
    "smlad r7, r3, r12, r7\n"                                                                                          \
    "sxtb16 r12, r12\n"                                                                                                \
    "smlad r10, r2, lr, r10\n"                                                                                         \
    "smlad r11, r3, lr, r11\n"                                                                                         \
    "sxtb16 lr, lr\n"                                                                                                  \
    "smlad r4, r2, r12, r4\n"                                                                                          \
    "smlad r5, r3, r12, r5\n"                                                                                          \
    "smlad r8, r2, lr, r8\n"                                                                                           \
    "smlad r9, r3, lr, r9\n"

static __attribute__((naked, noinline, unused)) void
edgert_dot_2x4(const int32_t *x __attribute__((unused)), const int32_t *weights __attribute__((unused)),
               int32_t *sums __attribute__((unused)), const int32_t *end __attribute__((unused)))
{
    __asm__ volatile("push {r2-r11, lr}\n"
                     "ldmia r1!, {r4, r6, r8, r10}\n"
                     "sub r2, r3, r0\n"
                     "mov r5, r4\n"
                     "mov r7, r6\n"
                     "mov r9, r8\n"
                     "mov r11, r10\n"
                     "lsls r2, r2, #27\n" /* a number of word pairs that four does not divide: two of them first */
                     "bmi 2f\n"
                     "1:\n" EDGERT_DOT_STEP EDGERT_DOT_STEP
                     "2:\n" EDGERT_DOT_STEP EDGERT_DOT_STEP
                     "ldr r2, [sp, #4]\n"
                     "cmp r0, r2\n"
                     "bne 1b\n"
                     "pop {r2, r3}\n"
                     "subs r6, r6, r4\n"
                     "subs r7, r7, r5\n"
                     "sub r10, r10, r8\n"
                     "sub r11, r11, r9\n"
                     "stmia r2, {r4-r11}\n"
                     "pop {r4-r11, pc}\n");
}
#else
EDGERT_KERNEL void edgert_dot_2x4(const int32_t *x, const int32_t *weights, int32_t *sums, const int32_t *end)
{
    for (int32_t i = 0; i < 8; i++) {
        sums[i] = weights[i / 2];
    }
    for (weights += 4; x != end; x += 2, weights += 2) {
        for (int32_t i = 0; i < 8; i++) {
            const int32_t w = weights[i / 4];
            sums[i] = edgert_smlad(x[i % 2], i / 2 % 2 ? w : edgert_even_bytes(w), sums[i]);
        }
    }
    for (int32_t i = 0; i < 8; i++) {
        sums[i] = i / 2 % 2 ? edgert_wrapping_add(sums[i], (int32_t)(0u - (uint32_t)sums[i - 2])) : sums[i];
    }
}
#endif

/* Sums of two channels at two positions to outputs. Nothing is stored before everything is loaded, so that the compiler
 * need not load twice. */
EDGERT_KERNEL void edgert_finish_two(const int32_t *sums, const edgert_multiplier_t *scales, int8_t *y0, int8_t *y1,
                                     int32_t y_zero, int32_t low, int32_t high, int32_t is_fast)
{
    const edgert_multiplier_t a = scales[0], b = scales[1];
    const int32_t a0 = edgert_output_of(sums[0], 0, a, y_zero, low, high, is_fast);
    const int32_t a1 = edgert_output_of(sums[1], 0, a, y_zero, low, high, is_fast);
    const int32_t b0 = edgert_output_of(sums[2], 1, b, y_zero, low, high, is_fast);
    const int32_t b1 = edgert_output_of(sums[3], 1, b, y_zero, low, high, is_fast);
    y0[0] = (int8_t)a0;
    y1[0] = (int8_t)a1;
    y0[1] = (int8_t)b0;
    y1[1] = (int8_t)b1;
}

/* Four outputs of two positions. */
EDGERT_KERNEL void edgert_finish_four(const int32_t *sums, const edgert_multiplier_t *scales, int8_t *y0, int8_t *y1,
                                      int32_t y_zero, int32_t low, int32_t high, int32_t is_fast)
{
    edgert_finish_two(sums, scales, y0, y1, y_zero, low, high, is_fast);
    edgert_finish_two(sums + 4, scales + 2, y0 + 2, y1 + 2, y_zero, low, high, is_fast);
}

EDGERT_KERNEL void edgert_make_2x4(const int32_t *x, int32_t words, const int32_t *weights,
                                   const edgert_multiplier_t *scales, int8_t *y0, int8_t *y1, int32_t outputs,
                                   int32_t y_zero, int32_t low, int32_t high, int32_t is_fast)
{
    int32_t sums[8];
    const int32_t *const end = x + 2 * words;
    for (int32_t left = outputs; left > 0; left -= 4, scales += 4, y0 += 4, y1 += 4) {
        int8_t spare[8]; /* takes the last four where there are fewer */
        const int32_t is_whole = left >= 4;
        edgert_dot_2x4(x, weights, sums, end);
        weights += 4 + 2 * words;
        edgert_finish_four(sums, scales, is_whole ? y0 : spare, is_whole ? y1 : spare + 4, y_zero, low, high, is_fast);
        for (int32_t i = 0; i < left && !is_whole; i++) {
            y0[i] = spare[i];
            y1[i] = spare[i + 4];
        }
    }
}

/* One copy in flash for all layers with the usual ends. */
static EDGERT_SHARED void edgert_make_fast_2x4(const int32_t *x, int32_t words, const int32_t *weights,
                                               const edgert_multiplier_t *scales, int8_t *y0, int8_t *y1,
                                               int32_t outputs, int32_t y_zero)
{
    edgert_make_2x4(x, words, weights, scales, y0, y1, outputs, y_zero, -128, 127, 1);
}

/* All outputs of two positions; x as edgert_dot_2x4 takes it, `words` for each. There are scales for a multiple of
 * four outputs. */
EDGERT_KERNEL void edgert_outputs_2x4(const int32_t *x, int32_t words, const int32_t *weights,
                                      const edgert_multiplier_t *scales, int8_t *y0, int8_t *y1, int32_t outputs,
                                      int32_t y_zero, int32_t low, int32_t high, int32_t is_fast)
{
    if (is_fast && low <= -128 && high >= 127) {
        edgert_make_fast_2x4(x, words, weights, scales, y0, y1, outputs, y_zero);
    } else {
        edgert_make_2x4(x, words, weights, scales, y0, y1, outputs, y_zero, low, high, is_fast);
    }
}

/* int8 to int16, for edgert_dot_2x4: bytes 0 and 2, then 1 and 3 of every four make a word; of the last one to three,
 * 0 (with anything, which meets a weight of 0), 0 and 1, or 0 and 2, 1 and 0. Every other word of `target` is written.
 * Returns where the next word goes. */
EDGERT_KERNEL int32_t *edgert_widen(const int8_t *x, int32_t count, int32_t *target)
{
    for (; count >= 4; count -= 4, x += 4, target += 4) {
        const int32_t word = edgert_load_word(x);
        target[0] = edgert_even_bytes(word);
        target[2] = edgert_odd_bytes(word);
    }
    if (count == 1) {
        target[0] = x[0];
        target += 2;
    } else if (count == 2) {
        target[0] = edgert_pack_bottoms(x[0], x[1]);
        target += 2;
    } else if (count == 3) {
        target[0] = edgert_pack_bottoms(x[0], x[2]);
        target[2] = x[1];
        target += 4;
    }
    return target;
}

#endif
