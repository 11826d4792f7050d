/* Instructions of the Arm DSP extension (Cortex-M4, M7, M33 and later), each with a portable form of equal result.
 *
 * A pair is a word of two int16: the bottom half holds the first, as two neighbours in memory on a little-endian core.
 * Sums wrap around at 32 bits, as the instructions do.
 */
#ifndef EDGERT_DSP_H
#define EDGERT_DSP_H

#include "edgert_kernel.h"

#if defined(__GNUC__) && defined(__ARM_FEATURE_DSP) && __ARM_FEATURE_DSP
#define EDGERT_HAS_DSP 1
#else
#define EDGERT_HAS_DSP 0
#endif

EDGERT_KERNEL int32_t edgert_bottom(int32_t pair) { return (int16_t)((uint32_t)pair & 0xFFFFu); }
EDGERT_KERNEL int32_t edgert_top(int32_t pair) { return (int16_t)((uint32_t)pair >> 16); }
EDGERT_KERNEL int32_t edgert_wrapping_add(int32_t a, int32_t b) { return (int32_t)((uint32_t)a + (uint32_t)b); }

/* The words that lie at `source`, which need not be aligned: one load each. */
EDGERT_KERNEL int32_t edgert_load_word(const void *source)
{
    int32_t word;
    EDGERT_COPY(&word, source, sizeof word);
    return word;
}

EDGERT_KERNEL void edgert_store_word(void *target, int32_t word) { EDGERT_COPY(target, &word, sizeof word); }

/* (bottom of a, bottom of b) and (top of a, top of b), as (bottom, top). PKHBT and PKHTB. */
EDGERT_KERNEL int32_t edgert_pack_bottoms(int32_t a, int32_t b)
{
#if EDGERT_HAS_DSP
    int32_t pair;
    __asm__("pkhbt %0, %1, %2, lsl #16" : "=r"(pair) : "r"(a), "r"(b));
    return pair;
#else
    return (int32_t)(((uint32_t)a & 0xFFFFu) | (uint32_t)b << 16);
#endif
}

EDGERT_KERNEL int32_t edgert_pack_tops(int32_t a, int32_t b)
{
#if EDGERT_HAS_DSP
    int32_t pair;
    __asm__("pkhtb %0, %1, %2, asr #16" : "=r"(pair) : "r"(b), "r"(a));
    return pair;
#else
    return (int32_t)((uint32_t)a >> 16 | ((uint32_t)b & 0xFFFF0000u));
#endif
}

/* Bytes 0 and 2, or bytes 1 and 3, of a word as a pair of int16. SXTB16. */
EDGERT_KERNEL int32_t edgert_even_bytes(int32_t word)
{
#if EDGERT_HAS_DSP
    int32_t pair;
    __asm__("sxtb16 %0, %1" : "=r"(pair) : "r"(word));
    return pair;
#else
    return edgert_pack_bottoms((int8_t)((uint32_t)word & 0xFFu), (int8_t)((uint32_t)word >> 16 & 0xFFu));
#endif
}

EDGERT_KERNEL int32_t edgert_odd_bytes(int32_t word)
{
#if EDGERT_HAS_DSP
    int32_t pair;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(pair) : "r"(word));
    return pair;
#else
    return edgert_even_bytes((int32_t)((uint32_t)word >> 8));
#endif
}

/* Both halves added on their own. SADD16. */
EDGERT_KERNEL int32_t edgert_add_pairs(int32_t a, int32_t b)
{
#if EDGERT_HAS_DSP
    int32_t pair;
    __asm__("sadd16 %0, %1, %2" : "=r"(pair) : "r"(a), "r"(b));
    return pair;
#else
    const uint32_t bottom = (uint32_t)a + (uint32_t)b, top = ((uint32_t)a >> 16) + ((uint32_t)b >> 16);
    return edgert_pack_bottoms((int32_t)bottom, (int32_t)top);
#endif
}

/* sum + bottom * bottom + top * top. SMLAD. */
EDGERT_KERNEL int32_t edgert_smlad(int32_t a, int32_t b, int32_t sum)
{
#if EDGERT_HAS_DSP
    int32_t result;
    __asm__("smlad %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(sum));
    return result;
#else
    const int32_t low = edgert_bottom(a) * edgert_bottom(b), high = edgert_top(a) * edgert_top(b);
    return edgert_wrapping_add(edgert_wrapping_add(sum, low), high);
#endif
}

/* sum + one half of a * one half of b. SMLABB, SMLABT, SMLATB and SMLATT: B is the bottom, T the top. */
#if EDGERT_HAS_DSP
#define EDGERT_SMLAXY(name, instruction, half_a, half_b)                                                               \
    EDGERT_KERNEL int32_t name(int32_t a, int32_t b, int32_t sum)                                                      \
    {                                                                                                                  \
        int32_t result;                                                                                                \
        __asm__(instruction " %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(sum));                              \
        return result;                                                                                                 \
    }
#else
#define EDGERT_SMLAXY(name, instruction, half_a, half_b)                                                               \
    EDGERT_KERNEL int32_t name(int32_t a, int32_t b, int32_t sum)                                                      \
    {                                                                                                                  \
        return edgert_wrapping_add(sum, half_a(a) * half_b(b));                                                        \
    }
#endif
EDGERT_SMLAXY(edgert_smlabb, "smlabb", edgert_bottom, edgert_bottom)
EDGERT_SMLAXY(edgert_smlabt, "smlabt", edgert_bottom, edgert_top)
EDGERT_SMLAXY(edgert_smlatb, "smlatb", edgert_top, edgert_bottom)
EDGERT_SMLAXY(edgert_smlatt, "smlatt", edgert_top, edgert_top)

/* The high word of a * b, rounded half up, plus c, from products of 32 bits alone: with a = a1 * 2^16 + a0 and b alike,
 * the middle of the product is a1 * b0 + a0 * b1 and what a0 * b0 carries. No step leaves 32 bits. */
EDGERT_KERNEL int32_t edgert_smmlar_by_halves(int32_t a, int32_t b, int32_t c)
{
    const int32_t a0 = a & 0xFFFF, a1 = a >> 16, b0 = b & 0xFFFF, b1 = b >> 16;
    const int32_t first = a1 * b0 + (int32_t)((uint32_t)a0 * (uint32_t)b0 >> 16);
    const int32_t middle = a0 * b1 + (first & 0xFFFF);
    const int32_t high = a1 * b1 + (first >> 16) + (((middle >> 15) + 1) >> 1);
    return edgert_wrapping_add(high, c);
}

/* The high word of a * b, rounded half up, plus c. SMMLAR (SMMULR where c is 0). */
#if defined(__thumb__) && !defined(__thumb2__)
static EDGERT_SHARED int32_t edgert_smmlar(int32_t a, int32_t b, int32_t c) /* Cortex-M0 has no wider product */
{
    return edgert_smmlar_by_halves(a, b, c);
}
#else
EDGERT_KERNEL int32_t edgert_smmlar(int32_t a, int32_t b, int32_t c)
{
#if EDGERT_HAS_DSP
    int32_t result;
    __asm__("smmlar %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(c));
    return result;
#else
    const uint64_t addend = (uint64_t)(uint32_t)c << 32 | 0x80000000u; /* one SMLAL on Cortex-M3 */
    return (int32_t)(((uint64_t)((int64_t)a * b) + addend) >> 32);
#endif
}
#endif

EDGERT_KERNEL int32_t edgert_smmulr(int32_t a, int32_t b)
{
#if EDGERT_HAS_DSP
    int32_t result;
    __asm__("smmulr %0, %1, %2" : "=r"(result) : "r"(a), "r"(b));
    return result;
#else
    return edgert_smmlar(a, b, 0);
#endif
}

/* The nearest int8. SSAT, which every core from Cortex-M3 on has. */
EDGERT_KERNEL int32_t edgert_saturate_int8(int32_t value)
{
#if EDGERT_HAS_DSP
    int32_t result;
    __asm__("ssat %0, #8, %1" : "=r"(result) : "r"(value) : "cc");
    return result;
#else
    return edgert_clamp(value, -128, 127);
#endif
}

#endif
