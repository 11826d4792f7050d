/* What every kernel is written in: C99, no libc beyond memcpy and memset, no allocation, nothing to initialise.
 *
 * A kernel is a function that is always inlined into a small function of the generated model.c which gives its shapes
 * as literals, so the compiler specialises it and flash holds one copy per distinct shape.
 *
 * Layouts: activations [rows][columns][channels], int8; a pointer to a strip is one to its first row.
 */
#ifndef EDGERT_KERNEL_H
#define EDGERT_KERNEL_H

#include <stdint.h>
#include <string.h>

#if defined(__GNUC__)
#define EDGERT_KERNEL static inline __attribute__((always_inline, unused))
#define EDGERT_SHARED __attribute__((noinline, unused)) /* a function that several layers call */
#define EDGERT_COPY __builtin_memcpy                    /* of few, known bytes: no call, under -ffreestanding too */
#else
#define EDGERT_KERNEL static inline
#define EDGERT_SHARED
#define EDGERT_COPY memcpy
#endif

#if defined(__GNUC__) && !defined(__clang__)
#define EDGERT_UNROLL(times) _Pragma(EDGERT_TEXT(GCC unroll times)) /* before a loop of few, known rounds */
#else
#define EDGERT_UNROLL(times)
#endif
#define EDGERT_TEXT(words) #words

EDGERT_KERNEL int32_t edgert_min(int32_t a, int32_t b) { return a < b ? a : b; }
EDGERT_KERNEL int32_t edgert_max(int32_t a, int32_t b) { return a > b ? a : b; }
EDGERT_KERNEL int32_t edgert_clamp(int32_t value, int32_t low, int32_t high)
{
    return edgert_max(low, edgert_min(value, high));
}

#endif
