/* Sums of four output channels at one position in portable C: every input is read once for four products. */
#ifndef EDGERT_DOT_H
#define EDGERT_DOT_H

#include "edgert_requantize.h"

/* `is_fast`: as edgert_scale_fast needs it. */
EDGERT_KERNEL int8_t edgert_output(int32_t sum, const edgert_channel_t *channel, int32_t y_zero, int32_t low,
                                   int32_t high, int32_t is_fast)
{
    return is_fast ? edgert_requantize_fast(sum * EDGERT_SUM_STEP, edgert_scaling(channel, y_zero), low, high)
                   : edgert_requantize(sum, channel, y_zero, low, high);
}

/* All outputs of one position, which sums over `depth` inputs; weights lie as [outputs][depth]. */
EDGERT_KERNEL void edgert_outputs_1x4(const int8_t *x, int32_t depth, const int8_t *weights,
                                      const edgert_channel_t *channels, int8_t *y, int32_t outputs, int32_t y_zero,
                                      int32_t low, int32_t high, int32_t is_fast)
{
    const int8_t *const end = x + depth;
    int32_t left = outputs;
    for (; left >= 4; left -= 4, channels += 4, y += 4) {
        const int8_t *w0 = weights, *w1 = w0 + depth, *w2 = w1 + depth, *w3 = w2 + depth;
        int32_t a = channels[0].bias, b = channels[1].bias, c = channels[2].bias, d = channels[3].bias;
        for (const int8_t *source = x; source != end;) {
            const int32_t value = *source++;
            a += value * *w0++;
            b += value * *w1++;
            c += value * *w2++;
            d += value * *w3++;
        }
        weights = w3;
        y[0] = edgert_output(a, &channels[0], y_zero, low, high, is_fast);
        y[1] = edgert_output(b, &channels[1], y_zero, low, high, is_fast);
        y[2] = edgert_output(c, &channels[2], y_zero, low, high, is_fast);
        y[3] = edgert_output(d, &channels[3], y_zero, low, high, is_fast);
    }
    for (; left > 0; left--, channels++) {
        int32_t sum = channels->bias;
        for (const int8_t *source = x; source != end;) {
            sum += *source++ * *weights++;
        }
        *y++ = edgert_output(sum, channels, y_zero, low, high, is_fast);
    }
}

#endif
