/* Fully connected, one sample, for Helium: y[o] = requantize(bias[o] + sum of x[k] * w[o][k]), 4 outputs at once.
 *
 * Weights and `channels` are packed as in edgert_conv_mve.h; `depth` need not be a multiple of 16.
 */
#ifndef EDGERT_FULLY_CONNECTED_MVE_H
#define EDGERT_FULLY_CONNECTED_MVE_H

#include "edgert_mve.h"

EDGERT_KERNEL void edgert_fully_connected_mve(const int8_t *x, int8_t *y, const int8_t *weights,
                                              const int32_t *channels, int32_t depth, int32_t outputs,
                                              int32_t is_whole, int32_t has_rest, int32_t y_zero, int32_t low,
                                              int32_t high)
{
    const mve_pred16_t last = vctp8q((uint32_t)depth % 16u);
    for (int32_t rest = outputs; rest > 0; rest -= 4, y += 4, channels += EDGERT_MVE_BLOCK) {
        const int8_t *from = x;
        int32_t a = channels[0], b = channels[1], c = channels[2], d = channels[3];
        for (int32_t chunks = depth / 16; chunks > 0; chunks--, from += 16, weights += 64) {
            const int8x16_t terms = vldrbq_s8(from);
            a = vmladavaq_s8(a, terms, vldrbq_s8(weights));
            b = vmladavaq_s8(b, terms, vldrbq_s8(weights + 16));
            c = vmladavaq_s8(c, terms, vldrbq_s8(weights + 32));
            d = vmladavaq_s8(d, terms, vldrbq_s8(weights + 48));
        }
        if (has_rest) { /* weights beyond the last term are 0 */
            const int8x16_t terms = vldrbq_z_s8(from, last);
            a = vmladavaq_s8(a, terms, vldrbq_s8(weights));
            b = vmladavaq_s8(b, terms, vldrbq_s8(weights + 16));
            c = vmladavaq_s8(c, terms, vldrbq_s8(weights + 32));
            d = vmladavaq_s8(d, terms, vldrbq_s8(weights + 48));
            weights += 64;
        }
        const int32x4_t sums = edgert_mve_lanes(a, b, c, d);
        const int32x4_t scaled = edgert_mve_scale(sums, edgert_mve_scales(channels), low < y_zero);
        edgert_mve_store(y, scaled, vctp32q((uint32_t)rest), is_whole, y_zero, low, high);
    }
}

#endif
