/* One channel of an activation as a plane of its own, with its padding around it.
 *
 * A plane holds lines of `pitch` elements: int8, or int16 where a kernel multiplies pairs. Lines run along rows or
 * along columns of the activation, whichever leaves fewer outputs over at their ends.
 */
#ifndef EDGERT_PLANE_H
#define EDGERT_PLANE_H

#include "edgert_requantize.h"

/* One axis of a depthwise convolution: lengths, the window, and how many bytes neighbours lie apart. */
typedef struct {
    int32_t in;
    int32_t out;
    int32_t pad; /* before the first element */
    int32_t kernel;
    int32_t stride;
    int32_t dilation;
    int32_t x_step;
    int32_t y_step;
} edgert_axis_t;

EDGERT_KERNEL void edgert_plane_fill(void *plane, int32_t count, int32_t value, int32_t is_wide)
{
    for (int32_t i = 0; i < count; i++) {
        if (is_wide) {
            ((int16_t *)plane)[i] = (int16_t)value;
        } else {
            ((int8_t *)plane)[i] = (int8_t)value;
        }
    }
}

/* Copies `count` elements that lie `step` bytes apart. */
EDGERT_KERNEL void edgert_plane_gather(void *plane, const int8_t *x, int32_t count, int32_t step, int32_t is_wide)
{
    int16_t *wide = plane;
    int8_t *narrow = plane;
    int32_t left = count;
    if (is_wide) {
        for (; left >= 6; left -= 6, x += 6 * step, wide += 6) {
            edgert_store_word(wide, edgert_pack_bottoms(x[0], x[step]));
            edgert_store_word(wide + 2, edgert_pack_bottoms(x[2 * step], x[3 * step]));
            edgert_store_word(wide + 4, edgert_pack_bottoms(x[4 * step], x[5 * step]));
        }
        for (; left >= 2; left -= 2, x += 2 * step, wide += 2) {
            edgert_store_word(wide, edgert_pack_bottoms(x[0], x[step]));
        }
        if (left > 0) {
            *wide = (int16_t)*x;
        }
        return;
    }
    for (; left >= 4; left -= 4, x += 4 * step, narrow += 4) {
        narrow[0] = x[0], narrow[1] = x[step], narrow[2] = x[2 * step], narrow[3] = x[3 * step];
    }
    for (; left > 0; left--, x += step) {
        *narrow++ = *x;
    }
}

/* Brings input lines first .. first + count - 1 of a channel to line 0 on. Those outside the input become `zero`, but
 * where the plane `is_whole` they already are. What lies left and right of a line's elements stays as it is. */
EDGERT_KERNEL void edgert_plane_load(void *plane, const int8_t *x, int32_t first, int32_t count, edgert_axis_t lines,
                                     edgert_axis_t line, int32_t pitch, int32_t zero, int32_t is_whole,
                                     int32_t is_wide)
{
    const int32_t taken = edgert_min(line.in, pitch - line.pad), bytes = 1 + is_wide;
    const int32_t begin = edgert_max(first, 0), end = edgert_min(first + count, lines.in);
    int8_t *target = (int8_t *)plane + line.pad * bytes;
    for (int32_t i = first; i < first + count && !is_whole; i++) {
        if (i < begin || i >= end) {
            edgert_plane_fill(target + (i - first) * pitch * bytes, taken, zero, is_wide);
        }
    }
    target += (begin - first) * pitch * bytes;
    for (int32_t i = begin; i < end; i++, target += pitch * bytes) {
        edgert_plane_gather(target, x + i * lines.x_step, taken, line.x_step, is_wide);
    }
}

#endif
