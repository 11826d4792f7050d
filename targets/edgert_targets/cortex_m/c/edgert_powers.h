/* Powers of two tensors of floats, spread over each other. */
#ifndef EDGERT_POWERS_H
#define EDGERT_POWERS_H

#include "edgert_float_math.h"
#include "edgert_pairs.h"

EDGERT_PAIRS(power_float, float, (), edgert_power(p, q))
EDGERT_PAIRS(power_of_float, float, (), edgert_power(q, p))

#endif
