/* The Fourier transform of a window of sound, and triangles over its bins, in whole numbers (docs/numerics.md).
 *
 * `half` is half the number of points: that many complex values, real part first, lie in z, int32[2 * half]. Products
 * are below 2^30 and every stage halves, so that no magnitude grows and 32 bits suffice without any scaling by data.
 * `turns` holds (cos, -sin) of 2 pi k / (2 * half) in 1/32768 for k below half; that of k = 0 is never read.
 */
#ifndef EDGERT_FRONTEND_SPECTRUM_H
#define EDGERT_FRONTEND_SPECTRUM_H

#include "edgert_frontend.h"

/* The windowed samples, even ones as real and odd ones as imaginary parts, in bit-reversed order; then zeros. */
EDGERT_KERNEL void edgert_load_window(const int16_t *audio, const int16_t *weights, int32_t *z, int32_t samples,
                                      int32_t half)
{
    int32_t place = 0;
    for (int32_t i = 0; i < half; i++) {
        z[2 * place] = 2 * i < samples ? audio[2 * i] * weights[2 * i] : 0;
        z[2 * place + 1] = 2 * i + 1 < samples ? audio[2 * i + 1] * weights[2 * i + 1] : 0;
        int32_t bit = half >> 1;
        while (place & bit) {
            place ^= bit;
            bit >>= 1;
        }
        place |= bit;
    }
}

/* a = (a + b * turn) / 2 and b = (a - b * turn) / 2, where real and imaginary are those of b * turn / 2. */
EDGERT_KERNEL void edgert_butterfly(int32_t *a, int32_t *b, int32_t real, int32_t imaginary)
{
    const int32_t a_real = a[0] >> 1;
    const int32_t a_imaginary = a[1] >> 1;
    a[0] = a_real + real;
    a[1] = a_imaginary + imaginary;
    b[0] = a_real - real;
    b[1] = a_imaginary - imaginary;
}

/* Radix 2, decimation in time: the transform of z divided by `half`. */
EDGERT_KERNEL void edgert_transform(int32_t *z, const int16_t *turns, int32_t half)
{
    for (int32_t size = 1; size < half; size *= 2) {
        for (int32_t k = 0; k < half; k += 2 * size) {
            int32_t *const a = z + 2 * k;
            int32_t *const b = a + 2 * size;
            edgert_butterfly(a, b, b[0] >> 1, b[1] >> 1);
        }
        for (int32_t j = 1; j < size; j++) {
            const int32_t cosine = turns[2 * j * (half / size)];
            const int32_t sine = turns[2 * j * (half / size) + 1];
            for (int32_t k = j; k < half; k += 2 * size) {
                int32_t *const a = z + 2 * k;
                int32_t *const b = a + 2 * size;
                const int32_t real = edgert_times16(b[0], cosine) - edgert_times16(b[1], sine);
                const int32_t imaginary = edgert_times16(b[0], sine) + edgert_times16(b[1], cosine);
                edgert_butterfly(a, b, real, imaginary);
            }
        }
    }
}

/* Bins 1 to half - 1 of the real transform, divided by 2 * half, in place; bin 0 is left as it is. */
EDGERT_KERNEL void edgert_split(int32_t *z, const int16_t *turns, int32_t half)
{
    for (int32_t k = 1; k <= half / 2; k++) {
        int32_t *const low = z + 2 * k;
        int32_t *const high = z + 2 * (half - k);
        const int32_t even_real = ((low[0] >> 1) + (high[0] >> 1)) >> 1;
        const int32_t even_imaginary = ((low[1] >> 1) - (high[1] >> 1)) >> 1;
        const int32_t odd_real = (low[1] >> 1) + (high[1] >> 1);
        const int32_t odd_imaginary = (high[0] >> 1) - (low[0] >> 1);
        const int32_t cosine = turns[2 * k];
        const int32_t sine = turns[2 * k + 1];
        const int32_t real = edgert_times16(odd_real, cosine) - edgert_times16(odd_imaginary, sine);
        const int32_t imaginary = edgert_times16(odd_real, sine) + edgert_times16(odd_imaginary, cosine);
        low[0] = even_real + real;
        low[1] = even_imaginary + imaginary;
        high[0] = even_real - real;
        high[1] = imaginary - even_imaginary;
    }
}

EDGERT_KERNEL void edgert_spectrum(const int16_t *audio, const int16_t *weights, const int16_t *turns, int32_t *z,
                                   int32_t samples, int32_t half)
{
    edgert_load_window(audio, weights, z, samples, half);
    edgert_transform(z, turns, half);
    edgert_split(z, turns, half);
}

/* The weighted sums of the magnitudes of bins: `channels` triangles. Stretch i is bins first[i] to first[i + 1] - 1,
 * where triangle i rises and triangle i - 1 falls. */
EDGERT_KERNEL void edgert_triangles(const int32_t *z, const uint16_t *first, const int16_t *rise, uint64_t *sums,
                                    int32_t channels)
{
    for (int32_t i = 0; i <= channels; i++) {
        uint64_t total = 0;
        uint64_t risen = 0;
        for (int32_t k = first[i]; k < first[i + 1]; k++) {
            const int32_t *const bin = z + 2 * k;
            const int64_t energy = edgert_long_product(bin[0], bin[0]) + edgert_long_product(bin[1], bin[1]);
            const uint32_t magnitude = edgert_root64((uint64_t)energy);
            total += magnitude;
            risen += (uint64_t)magnitude * (uint32_t)rise[k - first[0]];
        }
        if (i < channels) {
            sums[i] = risen;
        }
        if (i > 0) {
            sums[i - 1] += (total << 15) - risen;
        }
    }
}

#endif
