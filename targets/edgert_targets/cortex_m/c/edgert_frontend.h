/* Whole-number arithmetic of the audio front ends (docs/numerics.md), the same bits as edgert.runtime.audio. */
#ifndef EDGERT_FRONTEND_H
#define EDGERT_FRONTEND_H

#include "edgert_dsp.h"

/* value * weight / 2^16, rounded down; weight is an int16. SMULWB, or two products of 32 bits where a core has no
 * long multiplication (ARMv6-M): neither overflows, and the low half is rounded down once. */
EDGERT_KERNEL int32_t edgert_times16(int32_t value, int32_t weight)
{
#if EDGERT_HAS_DSP
    int32_t product;
    __asm__("smulwb %0, %1, %2" : "=r"(product) : "r"(value), "r"(weight));
    return product;
#elif defined(__ARM_ARCH_ISA_THUMB) && __ARM_ARCH_ISA_THUMB == 1
    return (value >> 16) * weight + (((int32_t)((uint32_t)value & 0xFFFFu) * weight) >> 16);
#else
    return (int32_t)(((int64_t)value * weight) >> 16);
#endif
}

/* a * b in 64 bits. */
EDGERT_KERNEL int64_t edgert_long_product(int32_t a, int32_t b) { return (int64_t)a * b; }

/* The number of bits that value needs; 0 needs none. */
EDGERT_KERNEL int32_t edgert_bits32(uint32_t value) { return value ? 32 - __builtin_clz(value) : 0; }
EDGERT_KERNEL int32_t edgert_bits64(uint64_t value)
{
    const uint32_t high = (uint32_t)(value >> 32);
    return high ? 32 + edgert_bits32(high) : edgert_bits32((uint32_t)value);
}

/* The square root, rounded down, one bit of it per round. */
EDGERT_KERNEL uint32_t edgert_root32(uint32_t value)
{
    uint32_t root = 0;
    EDGERT_UNROLL(16)
    for (int32_t shift = 30; shift >= 0; shift -= 2) {
        const uint32_t tried = root + ((uint32_t)1 << shift);
        root >>= 1;
        if (value >= tried) {
            value -= tried;
            root += (uint32_t)1 << shift;
        }
    }
    return root;
}

/* The square root of the leading 31 or 32 bits: an even number of low bits is dropped first. */
EDGERT_KERNEL uint32_t edgert_root64(uint64_t value)
{
    if (!(value >> 32)) {
        return edgert_root32((uint32_t)value);
    }
    const int32_t drop = (edgert_bits64(value) - 31) & ~1;
    return edgert_root32((uint32_t)(value >> drop)) << (drop >> 1);
}

/* The square root, rounded down, of values below 2^62. */
EDGERT_KERNEL uint32_t edgert_exact_root(uint64_t value)
{
    if (!(value >> 32)) {
        return edgert_root32((uint32_t)value);
    }
    uint64_t root = 0;
    for (uint64_t bit = (uint64_t)1 << ((edgert_bits64(value) - 1) & ~1); bit; bit >>= 2) {
        const uint64_t tried = root + bit;
        root >>= 1;
        if (value >= tried) {
            value -= tried;
            root += bit;
        }
    }
    return (uint32_t)root;
}

/* The square root rounded to nearest, of values below 2^62; 65535 where it lies between that and 65536. */
EDGERT_KERNEL uint32_t edgert_nearest_root(uint64_t value)
{
    const uint32_t root = edgert_exact_root(value);
    return root + (value - (uint64_t)root * root > root && root != 0xFFFF);
}

/* log2 of value, 1 or above, in 1/65536: in each of 128 stretches of an octave a straight line that rises by
 * corrections[i + 1] - corrections[i] where rise_bits is 9, where
 * corrections[i] = 65536 (log2(1 + i / 128) - i / 128). */
EDGERT_KERNEL int32_t edgert_log2(uint64_t value, const uint16_t *corrections, int32_t rise_bits)
{
    const int32_t exponent = edgert_bits64(value) - 1;
    const int32_t fraction =
        (int32_t)((exponent > 16 ? value >> (exponent - 16) : value << (16 - exponent)) & 0xFFFFu);
    const uint16_t *const ends = corrections + (fraction >> 9);
    return exponent * 65536 + fraction + ends[0] + (((ends[1] - ends[0]) * (fraction & 511)) >> rise_bits);
}

/* The int8 of a feature: -128 and as many more as there are thresholds (255, ascending) that it reaches. */
EDGERT_KERNEL int8_t edgert_feature(int32_t value, const int32_t *thresholds)
{
    int32_t reached = 0;
    for (int32_t step = 128; step; step >>= 1) {
        reached += value >= thresholds[reached + step - 1] ? step : 0;
    }
    return (int8_t)(reached - 128);
}

#endif
