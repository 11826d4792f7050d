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

EDGERT_KERNEL int32_t edgert_depthwise_tap(const int8_t *w, int32_t tap, int32_t kernel)
{
    return tap < 0 || tap >= kernel ? 0 : EDGERT_SUM_STEP * w[tap];
}

EDGERT_KERNEL void edgert_depthwise_pack(int32_t *words, const int8_t *w, int32_t lines, int32_t kernel, int32_t stride)
{
    const int32_t count = edgert_depthwise_words(kernel, stride);
    for (int32_t i = 0; i < lines; i++, w += kernel, words += count) {
        EDGERT_UNROLL(16)
        for (int32_t j = 0; j < count; j++) {
            const int32_t tap = kernel == 3 ? j : stride == 1 ? j / 2 * 2 - j % 2 : 2 * j;
            words[j] = edgert_pack_bottoms(edgert_depthwise_tap(w, tap, kernel), edgert_depthwise_tap(w, tap + 1, kernel));
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

/* The same for three taps and four outputs, whose sums so far are `from` (the bias) on the first line. In assembly:
 * compilers load everything first and then run out of registers. */
#if EDGERT_HAS_DSP
#define EDGERT_LINE_LOAD(x, source) "ldr %[" x "], %[" source "]\n\t"
#define EDGERT_LINE_EVEN(sum, a, b, from)                                                                              \
    "smlad %[" sum "], %[" a "], %[p], %[" from "]\n\tsmlabt %[" sum "], %[" b "], %[q], %[" sum "]\n\t"
#define EDGERT_LINE_ODD(sum, a, b, from)                                                                               \
    "smlatb %[" sum "], %[" a "], %[p], %[" from "]\n\tsmlad %[" sum "], %[" b "], %[q], %[" sum "]\n\t"
#define EDGERT_LINE_1(f0, f1, f2, f3)                                                                                  \
    "ldrd %[p], %[q], %[w]\n\t" EDGERT_LINE_LOAD("a", "x0") EDGERT_LINE_LOAD("b", "x1")                              \
    EDGERT_LINE_EVEN("s0", "a", "b", f0) EDGERT_LINE_ODD("s1", "a", "b", f1) EDGERT_LINE_LOAD("a", "x2")               \
    EDGERT_LINE_EVEN("s2", "b", "a", f2) EDGERT_LINE_ODD("s3", "b", "a", f3)
#define EDGERT_LINE_2(f0, f1, f2, f3)                                                                                  \
    "ldrd %[p], %[q], %[w]\n\t" EDGERT_LINE_LOAD("a", "x0") EDGERT_LINE_LOAD("b", "x1")                              \
    EDGERT_LINE_EVEN("s0", "a", "b", f0) EDGERT_LINE_LOAD("a", "x2") EDGERT_LINE_EVEN("s1", "b", "a", f1)              \
    EDGERT_LINE_LOAD("b", "x3") EDGERT_LINE_EVEN("s2", "a", "b", f2) EDGERT_LINE_LOAD("a", "x4")                       \
    EDGERT_LINE_EVEN("s3", "b", "a", f3)
#define EDGERT_LINE_WORD(x, index) "m"(((const edgert_word_t *)(const void *)(x))[index])
#define EDGERT_LINE_WEIGHTS(w) [w] "m"(*(const edgert_two_words_t *)(const void *)(w))
#define EDGERT_LINE_TEMPORARIES [a] "=&r"(a), [b] "=&r"(b), [p] "=&r"(p), [q] "=&r"(q)
typedef int32_t __attribute__((may_alias)) edgert_word_t;
typedef int64_t __attribute__((may_alias, aligned(4))) edgert_two_words_t;

EDGERT_KERNEL void edgert_depthwise_first_line(const int16_t *x, const int32_t *w, int32_t stride, int32_t from,
                                               int32_t *sums)
{
    int32_t a, b, p, q;
    if (stride == 1) {
        __asm__ volatile(EDGERT_LINE_1("from", "from", "from", "from")
                         : [s0] "=&r"(sums[0]), [s1] "=&r"(sums[1]), [s2] "=&r"(sums[2]), [s3] "=&r"(sums[3]),
                           EDGERT_LINE_TEMPORARIES
                         : EDGERT_LINE_WEIGHTS(w), [from] "r"(from), [x0] EDGERT_LINE_WORD(x, 0), [x1] EDGERT_LINE_WORD(x, 1),
                           [x2] EDGERT_LINE_WORD(x, 2)
                         : "memory");
    } else {
        __asm__ volatile(EDGERT_LINE_2("from", "from", "from", "from")
                         : [s0] "=&r"(sums[0]), [s1] "=&r"(sums[1]), [s2] "=&r"(sums[2]), [s3] "=&r"(sums[3]),
                           EDGERT_LINE_TEMPORARIES
                         : EDGERT_LINE_WEIGHTS(w), [from] "r"(from), [x0] EDGERT_LINE_WORD(x, 0), [x1] EDGERT_LINE_WORD(x, 1),
                           [x2] EDGERT_LINE_WORD(x, 2), [x3] EDGERT_LINE_WORD(x, 3), [x4] EDGERT_LINE_WORD(x, 4)
                         : "memory");
    }
}

EDGERT_KERNEL void edgert_depthwise_next_line(const int16_t *x, const int32_t *w, int32_t stride, int32_t *sums)
{
    int32_t a, b, p, q;
    if (stride == 1) {
        __asm__ volatile(EDGERT_LINE_1("s0", "s1", "s2", "s3")
                         : [s0] "+&r"(sums[0]), [s1] "+&r"(sums[1]), [s2] "+&r"(sums[2]), [s3] "+&r"(sums[3]),
                           EDGERT_LINE_TEMPORARIES
                         : EDGERT_LINE_WEIGHTS(w), [x0] EDGERT_LINE_WORD(x, 0), [x1] EDGERT_LINE_WORD(x, 1),
                           [x2] EDGERT_LINE_WORD(x, 2)
                         : "memory");
    } else {
        __asm__ volatile(EDGERT_LINE_2("s0", "s1", "s2", "s3")
                         : [s0] "+&r"(sums[0]), [s1] "+&r"(sums[1]), [s2] "+&r"(sums[2]), [s3] "+&r"(sums[3]),
                           EDGERT_LINE_TEMPORARIES
                         : EDGERT_LINE_WEIGHTS(w), [x0] EDGERT_LINE_WORD(x, 0), [x1] EDGERT_LINE_WORD(x, 1),
                           [x2] EDGERT_LINE_WORD(x, 2), [x3] EDGERT_LINE_WORD(x, 3), [x4] EDGERT_LINE_WORD(x, 4)
                         : "memory");
    }
}
#endif

/* The sums of `count` neighbouring outputs (2 or 4). */
EDGERT_KERNEL void edgert_depthwise_sums(const int16_t *x, const int32_t *words, edgert_axis_t lines,
                                         edgert_axis_t line, int32_t pitch, int32_t count, int32_t bias, int32_t *sums)
{
    const int32_t step = edgert_depthwise_words(line.kernel, line.stride);
    int32_t begin = 0;
#if EDGERT_HAS_DSP
    const int32_t is_assembly = count == 4 && line.kernel == 3;
    if (is_assembly) {
        edgert_depthwise_first_line(x, words, line.stride, bias, sums);
        EDGERT_UNROLL(8)
        for (int32_t i = 1; i < lines.kernel; i++) {
            edgert_depthwise_next_line(x + i * lines.dilation * pitch, words + i * step, line.stride, sums);
        }
        begin = lines.kernel;
    }
#else
    const int32_t is_assembly = 0;
#endif
    if (!is_assembly) {
        sums[0] = bias, sums[1] = bias, sums[2] = bias, sums[3] = bias;
    }
    EDGERT_UNROLL(8)
    for (int32_t i = begin; i < lines.kernel; i++) {
        edgert_depthwise_line(x + i * lines.dilation * pitch, words + i * step, line.kernel, line.stride, count, sums);
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

/* `strip` output lines are made of one plane; it holds what they read. */
EDGERT_KERNEL void edgert_depthwise_planes(const int8_t *x, int8_t *y, int32_t *words, const int8_t *weights,
                                           const edgert_channel_t *channels, edgert_axis_t lines, edgert_axis_t line,
                                           int32_t channel_count, int32_t multiplier, int32_t strip, int32_t x_zero,
                                           int32_t y_zero, int32_t low, int32_t high)
{
    const int32_t pitch = edgert_depthwise_pitch(line);
    const int32_t reach = (lines.kernel - 1) * lines.dilation + 1;
    const int32_t kept = edgert_max(reach - lines.stride, 0);
    int16_t *plane = (int16_t *)(words + lines.kernel * edgert_depthwise_words(line.kernel, line.stride));
    edgert_plane_fill(plane, ((strip - 1) * lines.stride + reach) * pitch, x_zero, 1);
    for (int32_t k = 0; k < channel_count; k++, x++) {
        for (int32_t first = 0; first < lines.out; first += strip) {
            const int32_t made = edgert_min(strip, lines.out - first);
            const int32_t old = first > 0 ? kept : 0;
            if (old > 0) {
                memmove(plane, plane + strip * lines.stride * pitch, (size_t)(old * pitch) * sizeof *plane);
            }
            edgert_plane_load(plane + old * pitch, x, first * lines.stride - lines.pad + old,
                              (made - 1) * lines.stride + reach - old, lines, line, pitch, x_zero,
                              strip >= lines.out, 1);
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
                                        int32_t dilation_columns, int32_t pad_left, int32_t strip, int32_t x_zero,
                                        int32_t y_zero, int32_t low, int32_t high)
{
    const int32_t out_channels = in_channels * multiplier;
    const edgert_axis_t rows = {in_rows,     out_rows,      pad_top,
                                kernel_rows, stride_rows,   dilation_rows,
                                in_columns * in_channels, out_columns * out_channels};
    const edgert_axis_t columns = {in_columns,     out_columns,      pad_left,
                                   kernel_columns, stride_columns,   dilation_columns,
                                   in_channels,    out_channels};
    edgert_depthwise_planes(x, y, scratch, weights, channels, rows, columns, in_channels, multiplier, strip, x_zero,
                            y_zero, low, high);
}

/* Lines of the plane are columns of the activation; `weights` lie as [output][column][row]. */
EDGERT_KERNEL void edgert_depthwise_dsp_columns(const int8_t *x, int8_t *y, void *scratch, const int8_t *weights,
                                                const edgert_channel_t *channels, int32_t in_rows, int32_t out_rows,
                                                int32_t pad_top, int32_t in_columns, int32_t out_columns,
                                                int32_t in_channels, int32_t multiplier, int32_t kernel_rows,
                                                int32_t kernel_columns, int32_t stride_rows, int32_t stride_columns,
                                                int32_t dilation_rows, int32_t dilation_columns, int32_t pad_left,
                                                int32_t strip, int32_t x_zero, int32_t y_zero, int32_t low,
                                                int32_t high)
{
    const int32_t out_channels = in_channels * multiplier;
    const edgert_axis_t rows = {in_rows,     out_rows,      pad_top,
                                kernel_rows, stride_rows,   dilation_rows,
                                in_columns * in_channels, out_columns * out_channels};
    const edgert_axis_t columns = {in_columns,     out_columns,      pad_left,
                                   kernel_columns, stride_columns,   dilation_columns,
                                   in_channels,    out_channels};
    edgert_depthwise_planes(x, y, scratch, weights, channels, columns, rows, in_channels, multiplier, strip, x_zero,
                            y_zero, low, high);
}

#endif
