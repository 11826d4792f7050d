/* Fully connected: y[n][o] = requantize(bias[o] + sum of x[n][k] * w[o][k]), in portable C. */
#ifndef EDGERT_FULLY_CONNECTED_H
#define EDGERT_FULLY_CONNECTED_H

#include "edgert_requantize.h"

EDGERT_KERNEL void edgert_fully_connected(const int8_t *x, int8_t *y, const int8_t *weights,
                                          const edgert_channel_t *channels, int32_t batch, int32_t outputs,
                                          int32_t depth, int32_t y_zero, int32_t low, int32_t high)
{
    for (int32_t n = 0; n < batch; n++, x += depth) {
        const int8_t *w = weights;
        for (int32_t o = 0; o < outputs; o++, w += depth) {
            int32_t sum = channels[o].bias;
            for (int32_t k = 0; k < depth; k++) {
                sum += x[k] * w[k];
            }
            *y++ = edgert_requantize(sum, &channels[o], y_zero, low, high);
        }
    }
}

#endif
