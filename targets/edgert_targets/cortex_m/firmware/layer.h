/* Read before model.c: after every layer the firmware feeds the watchdog, reports, and may end the run. */
#ifndef EDGERT_LAYER_H
#define EDGERT_LAYER_H

int edgert_layer(int index); /* not 0: the run shall end here */

#define EDGERT_LAYER(index)      \
    if (edgert_layer(index)) {   \
        return;                  \
    }
#define EDGERT_WEIGHTS __attribute__((section(".weights")))

#endif
