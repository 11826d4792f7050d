/* Copies of whole buffers. */
#ifndef EDGERT_MOVE_H
#define EDGERT_MOVE_H

#include "edgert_kernel.h"

EDGERT_KERNEL void edgert_copy(const void *x, void *y, int32_t bytes) { memmove(y, x, (size_t)bytes); }

#endif
