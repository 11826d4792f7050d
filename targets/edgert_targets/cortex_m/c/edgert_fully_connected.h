/* Fully connected: y[n][o] = requantize(bias[o] + sum of x[n][k] * w[o][k]), in portable C. */
#ifndef EDGERT_FULLY_CONNECTED_H
#define EDGERT_FULLY_CONNECTED_H

#include "edgert_dot.h"

EDGERT_KERNEL void edgert_fully_connected(const int8_t *x, int8_t *y, const int8_t *weights,
                                          const edgert_channel_t *channels, int32_t batch, int32_t outputs,
                                          int32_t depth, int32_t y_zero, int32_t low, int32_t high, int32_t is_fast)
{
    for (int32_t n = 0; n < batch; n++, x += depth, y += outputs) {
        edgert_outputs_1x4(x, depth, weights, channels, y, outputs, y_zero, low, high, is_fast);
    }
}

#endif
