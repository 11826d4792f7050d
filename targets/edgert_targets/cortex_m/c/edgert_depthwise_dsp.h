/* Depthwise convolution by pairs (DSP extension): one channel at a time is copied to a plane of int16, then words of
 * two neighbours give sums of several outputs at once.
 *
 * Because a channel's elements are copied before its outputs are written, an output of no more lines and columns than
 * the input may take the input's memory: element i of a channel is written where element i was read.
 */
#ifndef EDGERT_DEPTHWISE_DSP_H
#define EDGERT_DEPTHWISE_DSP_H

#include "edgert_plane.h"

/* Words of packed weights per kernel line.
 *
 * Three taps: (w0, w1), (w1, w2); the halves of one word serve even and odd outputs. Else, for an output whose window
 * starts at the bottom half of a word, (w0, w1), (w2, w3), ...; at stride 1 each is followed by its partner for windows
 * that start at the top half: (0, w0), (w1, w2), ... Taps beyond the last are 0. */
EDGERT_KERNEL int32_t edgert_depthwise_words(int32_t kernel, int32_t stride)
{
    return kernel == 3 ? 2 : stride == 1 ? kernel / 2 * 2 + 2 : (kernel + 1) / 2;
}

/* Taps `tap` and the next one as a pair. */
EDGERT_KERNEL int32_t edgert_depthwise_taps(const int8_t *w, int32_t tap, int32_t kernel)
{
    const int32_t first = tap < 0 || tap >= kernel ? 0 : w[tap];
    const int32_t second = tap + 1 >= kernel ? 0 : w[tap + 1];
    return edgert_pack_bottoms(EDGERT_SUM_STEP * first, EDGERT_SUM_STEP * second);
}

/* Both words of three taps, from a word that starts with them. */
EDGERT_KERNEL void edgert_depthwise_pack_three(int32_t *words, int32_t even, int32_t odd)
{
    even = EDGERT_SUM_STEP == 2 ? edgert_add_pairs(even, even) : even; /* w0, w2 */
    odd = EDGERT_SUM_STEP == 2 ? edgert_add_pairs(odd, odd) : odd;     /* w1 */
    words[0] = edgert_pack_bottoms(even, odd);
    words[1] = edgert_pack_bottoms(odd, (int32_t)((uint32_t)even >> 16));
}

/* Nine taps; one copy in flash for layers of all sizes. */
static EDGERT_SHARED void edgert_depthwise_pack_3x3(int32_t *words, const int8_t *w)
{
    const int32_t first = edgert_load_word(w), second = edgert_load_word(w + 3), last = edgert_load_word(w + 5);
    edgert_depthwise_pack_three(words, edgert_even_bytes(first), edgert_odd_bytes(first));
    edgert_depthwise_pack_three(words + 2, edgert_even_bytes(second), edgert_odd_bytes(second));
    const int32_t middle = edgert_even_bytes((int32_t)((uint32_t)last >> 16)); /* byte 2 of w5 to w8 */
    edgert_depthwise_pack_three(words + 4, edgert_odd_bytes(last), middle);
}

EDGERT_KERNEL void edgert_depthwise_pack(int32_t *words, const int8_t *w, int32_t lines, int32_t kernel, int32_t stride)
{
    const int32_t count = edgert_depthwise_words(kernel, stride);
    if (lines == 3 && kernel == 3) {
        edgert_depthwise_pack_3x3(words, w);
        return;
    }
    for (int32_t i = 0; i < lines; i++, w += kernel, words += count) {
        EDGERT_UNROLL(16)
        for (int32_t j = 0; j < count; j++) {
            words[j] = edgert_depthwise_taps(w, kernel == 3 ? j : stride == 1 ? j / 2 * 2 - j % 2 : 2 * j, kernel);
        }
    }
}

/* Adds one kernel line to the sums of `count` (2 or 4) neighbouring outputs; x is that of the first one's window. */
EDGERT_KERNEL void edgert_depthwise_line(const int16_t *x, const int32_t *words, int32_t kernel, int32_t stride,
                                         int32_t count, int32_t *sums)
{
    const int32_t step = 2 / stride; /* outputs per word */
    if (kernel == 3) {
        const int32_t first = words[0], last = words[1];
        int32_t word = edgert_load_word(x);
        EDGERT_UNROLL(4)
        for (int32_t k = 0; k < count; k += step) {
            x += 2;
            const int32_t next = edgert_load_word(x);
            sums[k] = edgert_smlabt(next, last, edgert_smlad(word, first, sums[k]));
            if (stride == 1) {
                sums[k + 1] = edgert_smlad(next, last, edgert_smlatb(word, first, sums[k + 1]));
            }
            word = next;
        }
        return;
    }
    EDGERT_UNROLL(16)
    for (int32_t j = 0; j < edgert_depthwise_words(kernel, stride); j += step, x += 2) {
        EDGERT_UNROLL(4)
        for (int32_t k = 0; k < count; k += step) {
            const int32_t word = edgert_load_word(x + k / step * 2);
            sums[k] = edgert_smlad(word, words[j], sums[k]);
            if (stride == 1) {
                sums[k + 1] = edgert_smlad(word, words[j + 1], sums[k + 1]);
            }
        }
    }
}

/* The sums of four neighbouring outputs of a 3x3 window. In assembly: compilers load everything first and then run out
 * of registers. It takes twelve, which every compiler option leaves. `words` are three lines of packed weights, p and q
 * one of them; a and b are words of the plane. */
#if EDGERT_HAS_DSP
#define EDGERT_3X3_LOAD(to, offset) "ldr %[" to "], [%[x], #" offset "]\n\t"
#define EDGERT_3X3_EVEN(sum, a, b, from)                                                                               \
    "smlad %[" sum "], %[" a "], %[p], %[" from "]\n\tsmlabt %[" sum "], %[" b "], %[q], %[" sum "]\n\t"
#define EDGERT_3X3_ODD(sum, a, b, from)                                                                                \
    "smlatb %[" sum "], %[" a "], %[p], %[" from "]\n\tsmlad %[" sum "], %[" b "], %[q], %[" sum "]\n\t"
#define EDGERT_3X3_STRIDE_1(words, from0, from1, from2, from3)                                                         \
    "ldrd %[p], %[q], [%[w], #" words "]\n\t" EDGERT_3X3_LOAD("a", "0") EDGERT_3X3_LOAD("b", "4")                      \
    EDGERT_3X3_EVEN("s0", "a", "b", from0) EDGERT_3X3_ODD("s1", "a", "b", from1) EDGERT_3X3_LOAD("a", "8")             \
    EDGERT_3X3_EVEN("s2", "b", "a", from2) EDGERT_3X3_ODD("s3", "b", "a", from3)
#define EDGERT_3X3_STRIDE_2(words, from0, from1, from2, from3)                                                         \
    "ldrd %[p], %[q], [%[w], #" words "]\n\t" EDGERT_3X3_LOAD("a", "0") EDGERT_3X3_LOAD("b", "4")                      \
    EDGERT_3X3_EVEN("s0", "a", "b", from0) EDGERT_3X3_LOAD("a", "8") EDGERT_3X3_EVEN("s1", "b", "a", from1)            \
    EDGERT_3X3_LOAD("b", "12") EDGERT_3X3_EVEN("s2", "a", "b", from2) EDGERT_3X3_LOAD("a", "16")                       \
    EDGERT_3X3_EVEN("s3", "b", "a", from3)
#define EDGERT_3X3_LINES(line)                                                                                         \
    line("0", "from", "from", "from", "from") "add %[x], %[x], %[pitch]\n\t"                                          \
        line("8", "s0", "s1", "s2", "s3") "add %[x], %[x], %[pitch]\n\t" line("16", "s0", "s1", "s2", "s3")
#define EDGERT_3X3_OUTPUTS                                                                                             \
    [s0] "=&r"(sums[0]), [s1] "=&r"(sums[1]), [s2] "=&r"(sums[2]), [s3] "=&r"(sums[3]), [a] "=&r"(a), [b] "=&r"(b),    \
        [p] "=&r"(p), [q] "=&r"(q), [x] "+&r"(x)
#define EDGERT_3X3_INPUTS [w] "r"(words), [from] "r"(bias), [pitch] "rI"(2 * pitch)

EDGERT_KERNEL void edgert_depthwise_3x3(const int16_t *x, const int32_t *words, int32_t stride, int32_t pitch,
                                        int32_t bias, int32_t *sums)
{
    int32_t a, b, p, q;
    if (stride == 1) {
        __asm__ volatile(EDGERT_3X3_LINES(EDGERT_3X3_STRIDE_1) : EDGERT_3X3_OUTPUTS : EDGERT_3X3_INPUTS : "memory");
    } else {
        __asm__ volatile(EDGERT_3X3_LINES(EDGERT_3X3_STRIDE_2) : EDGERT_3X3_OUTPUTS : EDGERT_3X3_INPUTS : "memory");
    }
}
#else
EDGERT_KERNEL void edgert_depthwise_3x3(const int16_t *x, const int32_t *words, int32_t stride, int32_t pitch,
                                        int32_t bias, int32_t *sums)
{
    sums[0] = bias, sums[1] = bias, sums[2] = bias, sums[3] = bias;
    for (int32_t i = 0; i < 3; i++) {
        edgert_depthwise_line(x + i * pitch, words + 2 * i, 3, stride, 4, sums);
    }
}
#endif

/* The sums of `count` neighbouring outputs (2 or 4). */
EDGERT_KERNEL void edgert_depthwise_sums(const int16_t *x, const int32_t *words, edgert_axis_t lines,
                                         edgert_axis_t line, int32_t pitch, int32_t count, int32_t bias, int32_t *sums)
{
    if (count == 4 && lines.kernel == 3 && line.kernel == 3) {
        edgert_depthwise_3x3(x, words, line.stride, lines.dilation * pitch, bias, sums);
        return;
    }
    sums[0] = bias, sums[1] = bias, sums[2] = bias, sums[3] = bias;
    EDGERT_UNROLL(8)
    for (int32_t i = 0; i < lines.kernel; i++) {
        const int32_t *w = words + i * edgert_depthwise_words(line.kernel, line.stride);
        edgert_depthwise_line(x + i * lines.dilation * pitch, w, line.kernel, line.stride, count, sums);
    }
}

/* Makes `count` neighbouring outputs, 1 to 4. */
EDGERT_KERNEL void edgert_depthwise_outputs(const int16_t *x, int8_t *y, const int32_t *words, edgert_axis_t lines,
                                            edgert_axis_t line, int32_t pitch, int32_t count, int32_t bias,
                                            edgert_scaling_t scaling, int32_t low, int32_t high)
{
    int32_t sums[4];
    edgert_depthwise_sums(x, words, lines, line, pitch, (count + 1) / 2 * 2, bias, sums);
    EDGERT_UNROLL(4)
    for (int32_t k = 0; k < count; k++) {
        y[k * line.y_step] = edgert_requantize_fast(sums[k], scaling, low, high);
    }
}

/* One line of outputs of a channel. */
EDGERT_KERNEL void edgert_depthwise_output_line(const int16_t *x, int8_t *y, const int32_t *words, edgert_axis_t lines,
                                                edgert_axis_t line, int32_t pitch, int32_t bias,
                                                edgert_scaling_t scaling, int32_t low, int32_t high)
{
    for (int32_t left = line.out / 4; left > 0; left--, x += 4 * line.stride, y += 4 * line.y_step) {
        edgert_depthwise_outputs(x, y, words, lines, line, pitch, 4, bias, scaling, low, high);
    }
    if (line.out % 4 == 1) {
        edgert_depthwise_outputs(x, y, words, lines, line, pitch, 1, bias, scaling, low, high);
    } else if (line.out % 4 == 2) {
        edgert_depthwise_outputs(x, y, words, lines, line, pitch, 2, bias, scaling, low, high);
    } else if (line.out % 4 == 3) {
        edgert_depthwise_outputs(x, y, words, lines, line, pitch, 3, bias, scaling, low, high);
    }
}

/* Elements between the starts of two lines of the plane: what the last block of outputs reads, whole words. */
EDGERT_KERNEL int32_t edgert_depthwise_pitch(edgert_axis_t line)
{
    const int32_t blocks = line.out / 4 * 4 + (line.out % 4 == 3 ? 4 : line.out % 4 == 0 ? 0 : 2);
    const int32_t window = line.kernel / 2 * 2 + 2;
    return (blocks - 2) * line.stride + 2 * (line.stride == 2) + window;
}

/* `strip` output lines are made of one plane; it holds what they read. `is_whole`: these are all lines, at once. */
EDGERT_KERNEL void edgert_depthwise_planes(const int8_t *x, int8_t *y, int32_t *words, const int8_t *weights,
                                           const edgert_channel_t *channels, edgert_axis_t lines, edgert_axis_t line,
                                           int32_t channel_count, int32_t multiplier, int32_t strip,
                                           int32_t is_whole, int32_t x_zero, int32_t y_zero, int32_t low, int32_t high)
{
    const int32_t pitch = edgert_depthwise_pitch(line);
    const int32_t reach = (lines.kernel - 1) * lines.dilation + 1;
    const int32_t kept = edgert_max(reach - lines.stride, 0);
    int16_t *plane = (int16_t *)(words + lines.kernel * edgert_depthwise_words(line.kernel, line.stride));
    edgert_plane_fill(plane, ((strip - 1) * lines.stride + reach) * pitch, x_zero, 1);
    for (int32_t k = 0; k < channel_count; k++, x++) {
        for (int32_t first = 0; first < lines.out && (first == 0 || !is_whole); first += strip) {
            const int32_t made = is_whole ? lines.out : edgert_min(strip, lines.out - first);
            const int32_t old = first > 0 ? kept : 0;
            if (old > 0) {
                memmove(plane, plane + strip * lines.stride * pitch, (size_t)(old * pitch) * sizeof *plane);
            }
            edgert_plane_load(plane + old * pitch, x, first * lines.stride - lines.pad + old,
                              (made - 1) * lines.stride + reach - old, lines, line, pitch, x_zero,
                              is_whole || strip >= lines.out, 1);
            for (int32_t m = 0; m < multiplier; m++) {
                const int32_t o = k * multiplier + m;
                const edgert_scaling_t scaling = edgert_scaling(channels + o, y_zero);
                edgert_depthwise_pack(words, weights + o * lines.kernel * line.kernel, lines.kernel, line.kernel,
                                      line.stride);
                int8_t *target = y + first * lines.y_step + o;
                const int16_t *source = plane;
                for (int32_t i = 0; i < made; i++, target += lines.y_step, source += lines.stride * pitch) {
                    edgert_depthwise_output_line(source, target, words, lines, line, pitch,
                                                 EDGERT_SUM_STEP * channels[o].bias, scaling, low, high);
                }
            }
        }
    }
}

/* Lines of the plane are rows of the activation. */
EDGERT_KERNEL void edgert_depthwise_dsp(const int8_t *x, int8_t *y, void *scratch, const int8_t *weights,
                                        const edgert_channel_t *channels, int32_t in_rows, int32_t out_rows,
                                        int32_t pad_top, int32_t in_columns, int32_t out_columns, int32_t in_channels,
                                        int32_t multiplier, int32_t kernel_rows, int32_t kernel_columns,
                                        int32_t stride_rows, int32_t stride_columns, int32_t dilation_rows,
                                        int32_t dilation_columns, int32_t pad_left, int32_t strip,
                                        int32_t is_whole, int32_t x_zero, int32_t y_zero, int32_t low, int32_t high)
{
    const int32_t out_channels = in_channels * multiplier;
    const edgert_axis_t rows = {in_rows,     out_rows,      pad_top,
                                kernel_rows, stride_rows,   dilation_rows,
                                in_columns * in_channels, out_columns * out_channels};
    const edgert_axis_t columns = {in_columns,     out_columns,      pad_left,
                                   kernel_columns, stride_columns,   dilation_columns,
                                   in_channels,    out_channels};
    edgert_depthwise_planes(x, y, scratch, weights, channels, rows, columns, in_channels, multiplier, strip, is_whole,
                            x_zero, y_zero, low, high);
}

/* Lines of the plane are columns of the activation; `weights` lie as [output][column][row]. */
EDGERT_KERNEL void edgert_depthwise_dsp_columns(const int8_t *x, int8_t *y, void *scratch, const int8_t *weights,
                                                const edgert_channel_t *channels, int32_t in_rows, int32_t out_rows,
                                                int32_t pad_top, int32_t in_columns, int32_t out_columns,
                                                int32_t in_channels, int32_t multiplier, int32_t kernel_rows,
                                                int32_t kernel_columns, int32_t stride_rows, int32_t stride_columns,
                                                int32_t dilation_rows, int32_t dilation_columns, int32_t pad_left,
                                                int32_t strip, int32_t is_whole, int32_t x_zero,
                                                int32_t y_zero, int32_t low, int32_t high)
{
    const int32_t out_channels = in_channels * multiplier;
    const edgert_axis_t rows = {in_rows,     out_rows,      pad_top,
                                kernel_rows, stride_rows,   dilation_rows,
                                in_columns * in_channels, out_columns * out_channels};
    const edgert_axis_t columns = {in_columns,     out_columns,      pad_left,
                                   kernel_columns, stride_columns,   dilation_columns,
                                   in_channels,    out_channels};
    edgert_depthwise_planes(x, y, scratch, weights, channels, columns, rows, in_channels, multiplier, strip, is_whole,
                            x_zero, y_zero, low, high);
}

#endif
