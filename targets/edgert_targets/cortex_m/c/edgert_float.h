/* Single-precision arithmetic in which every operation rounds once, whatever the compiler's options for fusing. */
#ifndef EDGERT_FLOAT_H
#define EDGERT_FLOAT_H

#include "edgert_kernel.h"

#define EDGERT_LARGEST 3.4028234664e38f /* where an activation has no limit */

/* The value, through its bits: what is multiplied here and added there stays two operations. */
EDGERT_KERNEL float edgert_alone(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
#if defined(__GNUC__)
    __asm__("" : "+r"(bits));
#endif
    memcpy(&value, &bits, sizeof value);
    return value;
}

EDGERT_KERNEL float edgert_between(float value, float low, float high)
{
    return value < low ? low : value > high ? high : value;
}

/* clamp(rint(value)), half to even; limits are within 2^22, a value that is no number gives the lower one. */
EDGERT_KERNEL int32_t edgert_round(float value, int32_t low, int32_t high)
{
    const float least = (float)low, most = (float)high;
    const float inside = value > least ? (value < most ? value : most) : least;
    const float shifted = edgert_alone(inside) + 12582912.0f; /* 1.5 * 2^23 leaves no bits behind the point */
    int32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    return bits - 0x4B400000;
}

#endif
