/* The Fourier transform of the micro_frontend in 16 bits (docs/numerics.md), rounded as in Kiss FFT's 16-bit mode.
 *
 * `half` is half the number of points: that many complex values, real part first, lie in z, int16[2 * half]. Every
 * stage divides by its radix first; sums that would pass 16 bits are cut, as the reference cuts them.
 * `turns` holds (cos, -sin) of 2 pi k / (2 * half) in 1/32767 for k below half.
 */
#ifndef EDGERT_FRONTEND_SHORT_H
#define EDGERT_FRONTEND_SHORT_H

#include "edgert_frontend.h"

/* Where value i goes: its digits of two bits in reverse; of an odd number of bits the top one alone. */
EDGERT_KERNEL int32_t edgert_short_place(int32_t i, int32_t half)
{
    int32_t place = 0;
    while (half > 1) {
        const int32_t bits = half > 2 ? 2 : 1;
        half >>= bits;
        place += (i & ((1 << bits) - 1)) * half;
        i >>= bits;
    }
    return place;
}

/* The windowed sample, in 16 bits. */
EDGERT_KERNEL int16_t edgert_short_sample(const int16_t *audio, const int16_t *weights, int32_t i)
{
    return (int16_t)((audio[i] * weights[i]) >> 12);
}

/* Zeros before the leading one of the largest magnitude; that of -32768 is -32768, as in the reference. */
EDGERT_KERNEL int32_t edgert_short_room(const int16_t *audio, const int16_t *weights, int32_t samples)
{
    int32_t largest = 0;
    for (int32_t i = 0; i < samples; i++) {
        const int16_t value = edgert_short_sample(audio, weights, i);
        largest = edgert_max(largest, (int16_t)(value < 0 ? -value : value));
    }
    return 15 - edgert_bits32((uint32_t)largest);
}

/* The windowed samples times 2^room, even ones as real and odd ones as imaginary parts; then zeros. */
EDGERT_KERNEL void edgert_short_load(const int16_t *audio, const int16_t *weights, int16_t *z, int32_t samples,
                                     int32_t half, int32_t room)
{
    for (int32_t i = 0; i < half; i++) {
        int16_t *const to = z + 2 * edgert_short_place(i, half);
        for (int32_t part = 0; part < 2; part++) {
            const int32_t at = 2 * i + part;
            const uint32_t value = at < samples ? (uint32_t)edgert_short_sample(audio, weights, at) << room : 0;
            to[part] = (int16_t)value;
        }
    }
}

/* (cos, -sin) at k below 2 * half; a half turn on, both change their signs. */
typedef struct {
    int32_t cosine;
    int32_t sine;
} edgert_turn;

EDGERT_KERNEL edgert_turn edgert_short_turn(const int16_t *turns, int32_t k, int32_t half)
{
    const int16_t *const pair = turns + 2 * (k & (half - 1));
    const edgert_turn turn = {k < half ? pair[0] : -pair[0], k < half ? pair[1] : -pair[1]};
    return turn;
}

EDGERT_KERNEL int32_t edgert_short_divide(int32_t value, int32_t reciprocal)
{
    return (value * reciprocal + (1 << 14)) >> 15;
}

EDGERT_KERNEL int32_t edgert_short_real(int32_t real, int32_t imaginary, edgert_turn turn)
{
    return (real * turn.cosine - imaginary * turn.sine + (1 << 14)) >> 15;
}

EDGERT_KERNEL int32_t edgert_short_imaginary(int32_t real, int32_t imaginary, edgert_turn turn)
{
    return (real * turn.sine + imaginary * turn.cosine + (1 << 14)) >> 15;
}

/* The first stage of radix 2, whose turn of 32767 changes nothing below 2^14. */
EDGERT_KERNEL void edgert_short_pairs(int16_t *z, int32_t half)
{
    for (int32_t k = 0; k < half; k += 2) {
        int16_t *const a = z + 2 * k;
        for (int32_t part = 0; part < 2; part++) {
            const int32_t even = edgert_short_divide(a[part], 16383);
            const int32_t odd = edgert_short_divide(a[2 + part], 16383);
            a[part] = (int16_t)(even + odd);
            a[2 + part] = (int16_t)(even - odd);
        }
    }
}

/* Four values `size` apart become their transform; the turns are those of the second, third and fourth. */
EDGERT_KERNEL void edgert_short_four(int16_t *a, int32_t size, edgert_turn one, edgert_turn two, edgert_turn three)
{
    int16_t *const b = a + 2 * size;
    int16_t *const c = b + 2 * size;
    int16_t *const d = c + 2 * size;
    const int32_t br = edgert_short_divide(b[0], 8191);
    const int32_t bi = edgert_short_divide(b[1], 8191);
    const int32_t cr = edgert_short_divide(c[0], 8191);
    const int32_t ci = edgert_short_divide(c[1], 8191);
    const int32_t dr = edgert_short_divide(d[0], 8191);
    const int32_t di = edgert_short_divide(d[1], 8191);
    const int32_t ar = edgert_short_divide(a[0], 8191);
    const int32_t ai = edgert_short_divide(a[1], 8191);
    const int32_t first_r = edgert_short_real(br, bi, one);
    const int32_t first_i = edgert_short_imaginary(br, bi, one);
    const int32_t second_r = edgert_short_real(cr, ci, two);
    const int32_t second_i = edgert_short_imaginary(cr, ci, two);
    const int32_t third_r = edgert_short_real(dr, di, three);
    const int32_t third_i = edgert_short_imaginary(dr, di, three);
    a[0] = (int16_t)(ar + second_r + first_r + third_r);
    a[1] = (int16_t)(ai + second_i + first_i + third_i);
    b[0] = (int16_t)(ar - second_r + first_i - third_i);
    b[1] = (int16_t)(ai - second_i - first_r + third_r);
    c[0] = (int16_t)(ar + second_r - first_r - third_r);
    c[1] = (int16_t)(ai + second_i - first_i - third_i);
    d[0] = (int16_t)(ar - second_r - first_i + third_i);
    d[1] = (int16_t)(ai - second_i + first_r - third_r);
}

/* Stages of radix 4, after one of radix 2 where half is no power of 4: the transform of z divided by `half`. */
EDGERT_KERNEL void edgert_short_transform(int16_t *z, const int16_t *turns, int32_t half)
{
    int32_t size = 1;
    if (!(edgert_bits32((uint32_t)half) & 1)) {
        edgert_short_pairs(z, half);
        size = 2;
    }
    for (; size < half; size *= 4) {
        const int32_t step = half / (2 * size);
        for (int32_t j = 0; j < size; j++) {
            const edgert_turn one = edgert_short_turn(turns, j * step, half);
            const edgert_turn two = edgert_short_turn(turns, 2 * j * step, half);
            const edgert_turn three = edgert_short_turn(turns, 3 * j * step, half);
            for (int32_t k = j; k < half; k += 4 * size) {
                edgert_short_four(z + 2 * k, size, one, two, three);
            }
        }
    }
}

/* Bins 1 to half - 1 of the real transform, divided by 2 * half, in place; bin 0 is left as it is. */
EDGERT_KERNEL void edgert_short_split(int16_t *z, const int16_t *turns, int32_t half)
{
    for (int32_t k = 1; k <= half / 2; k++) {
        int16_t *const low = z + 2 * k;
        int16_t *const high = z + 2 * (half - k);
        const int32_t near_r = edgert_short_divide(low[0], 16383);
        const int32_t near_i = edgert_short_divide(low[1], 16383);
        const int32_t far_r = edgert_short_divide(high[0], 16383);
        const int32_t far_i = edgert_short_divide((int16_t)-high[1], 16383);
        const int16_t even_r = (int16_t)(near_r + far_r);
        const int16_t even_i = (int16_t)(near_i + far_i);
        const int16_t odd_r = (int16_t)(near_r - far_r);
        const int16_t odd_i = (int16_t)(near_i - far_i);
        const edgert_turn turn = {turns[2 * k + 1], -turns[2 * k]};
        const int16_t real = (int16_t)edgert_short_real(odd_r, odd_i, turn);
        const int16_t imaginary = (int16_t)edgert_short_imaginary(odd_r, odd_i, turn);
        low[0] = (int16_t)((even_r + real) >> 1);
        low[1] = (int16_t)((even_i + imaginary) >> 1);
        high[0] = (int16_t)((even_r - real) >> 1);
        high[1] = (int16_t)((imaginary - even_i) >> 1);
    }
}

#endif
