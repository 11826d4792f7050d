/* Runs one model behind a serial line. Nothing is allocated; inputs are decoded straight into the model's arena and
 * outputs sent from it. facts.h, written by the build, says what the model and the board are.
 *
 * A request is a frame: command, sequence number, 16-bit argument, body. The reply repeats the sequence number.
 */
#include <stdint.h>
#include <string.h>

#include "facts.h"
#include "registers.h"

#include "layer.h"
#include "model.h"

#include EDGERT_UART
#include "clock.h"
#ifdef EDGERT_BOOT
#include EDGERT_BOOT
#endif

enum { DESCRIBE = 1, RUN = 2, PROFILE = 3, MEMORY = 4, READ = 5, RESET = 6, FORGET = 7, REPEAT = 8 };
enum { REPLY = 0x80, LAYER = 0x90, ALIVE = 0x91, FAULT = 0xFE, REFUSAL = 0xFF };
enum { DAMAGED = 1, UNKNOWN_COMMAND = 2, WRONG_SIZE = 3, OUT_OF_RANGE = 4 };
#define WHOLE_RUN 0xFFFF
#define PAINT 0xA5A5A5A5u

struct incoming;
static void frame_route(struct incoming *frame);
#include "frame.h"

extern uint32_t edgert_stack_low[], edgert_stack_top[], edgert_data_load[];
extern uint32_t edgert_code_start[], edgert_code_end[], edgert_weights_end[];
extern uint32_t edgert_data_start[], edgert_data_end[], edgert_bss_start[], edgert_bss_end[];

static unsigned char arena[EDGERT_ARENA_BYTES] __attribute__((section(".arena"), aligned(16)));
static const struct piece inputs[] = EDGERT_INPUTS;
static const struct piece outputs[] = EDGERT_OUTPUTS;
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static unsigned char reply_header[HEADER_BYTES]; /* of the reply to the request that is being served */
static uint32_t stop_layer;
static uint32_t is_reporting;
static uint32_t since; /* when the run, or the layer that is measured, began */
static uint32_t heard; /* when the other side last heard from a run */
static uint32_t words[2]; /* body of a READ request: offset in the arena, count */

static const struct piece words_body[] = {{(unsigned char *)words, sizeof words}};

static void frame_route(struct incoming *frame)
{
    int const runs = frame->header[0] == RUN || frame->header[0] == PROFILE || frame->header[0] == REPEAT;
    frame->body = runs ? inputs : words_body;
    frame->pieces = runs ? COUNT(inputs) : COUNT(words_body);
}

static uint32_t total_bytes(const struct piece *pieces, uint32_t count)
{
    uint32_t total = 0;
    while (count--) {
        total += pieces[count].count;
    }
    return total;
}

/* Sends a frame of the reply: its kind, an argument, the first `bytes` bytes of `body` and then `count` pieces. */
static void reply(uint32_t kind, uint32_t argument, const void *body, uint32_t bytes, const struct piece *more,
                  uint32_t count)
{
    struct piece pieces[2 + COUNT(outputs)] = {{reply_header, HEADER_BYTES}, {(unsigned char *)(uintptr_t)body, bytes}};
    reply_header[0] = (unsigned char)kind;
    reply_header[2] = (unsigned char)argument;
    reply_header[3] = (unsigned char)(argument >> 8);
    for (uint32_t i = 0; i < count; i++) {
        pieces[2 + i] = more[i];
    }
    frame_send(pieces, 2 + count);
}

static void refuse(uint32_t reason) { reply(REFUSAL, reason, 0, 0, 0, 0); }

int edgert_layer(int index)
{
    feed_watchdog();
    if (is_reporting) {
        uint32_t const ticks = clock_now() - since;
        reply(LAYER, (uint32_t)index, &ticks, sizeof ticks, 0, 0);
        since = clock_now();
    } else if (clock_now() - heard >= EDGERT_TICKS_HZ) {
        heard += EDGERT_TICKS_HZ;
        reply(ALIVE, (uint32_t)index, 0, 0, 0, 0);
    }
    return (uint32_t)index == stop_layer;
}

static void describe(void)
{
    static const uint32_t numbers[] = {
        EDGERT_TICKS, EDGERT_TICKS_HZ, 0, 0, EDGERT_ARENA_BYTES, EDGERT_LAYERS,
    };
    static const unsigned char text[] = EDGERT_HASH EDGERT_BOARD;
    uint32_t sent[COUNT(numbers)];
    memcpy(sent, numbers, sizeof sent);
    sent[2] = total_bytes(inputs, COUNT(inputs));
    sent[3] = total_bytes(outputs, COUNT(outputs));
    struct piece const name = {(unsigned char *)(uintptr_t)text, sizeof text - 1};
    reply(REPLY | DESCRIBE, EDGERT_PROTOCOL, sent, sizeof sent, &name, 1);
}

static void run(uint32_t command, uint32_t argument)
{
    is_reporting = command == PROFILE;
    stop_layer = argument;
    reply(ALIVE, argument, 0, 0, 0, 0); /* the request has come in whole */
    since = heard = clock_now();
    EDGERT_RUN(arena);
    uint32_t const ticks = clock_now() - since;
    reply(REPLY | command, argument, &ticks, sizeof ticks, outputs, argument == WHOLE_RUN ? COUNT(outputs) : 0);
}

/* Runs `times` times on what is in the arena, a pin high for as long: what a power meter integrates over. */
static void repeat(uint32_t times)
{
    is_reporting = 0;
    stop_layer = WHOLE_RUN;
    reply(ALIVE, times, 0, 0, 0, 0);
    since = heard = clock_now();
    EDGERT_MARK_HIGH
    for (uint32_t i = 0; i < times; i++) {
        EDGERT_RUN(arena);
    }
    EDGERT_MARK_LOW
    uint32_t const ticks = clock_now() - since;
    reply(REPLY | REPEAT, times, &ticks, sizeof ticks, 0, 0);
}

/* Peak stack: bytes from the lowest word that no longer holds the paint. */
static void memory(void)
{
    const uint32_t *lowest = edgert_stack_low;
    while (lowest < edgert_stack_top && *lowest == PAINT) {
        lowest++;
    }
    uint32_t sent[5];
    sent[0] = (uint32_t)((edgert_data_end - edgert_data_start) + (edgert_bss_end - edgert_bss_start)) * 4;
    sent[1] = (uint32_t)(edgert_stack_top - lowest) * 4;
    sent[2] = (uint32_t)(edgert_stack_top - edgert_stack_low) * 4;
    sent[3] = (uint32_t)(edgert_code_end - edgert_code_start) * 4;
    sent[4] = (uint32_t)(edgert_weights_end - edgert_code_end) * 4;
    reply(REPLY | MEMORY, 0, sent, sizeof sent, 0, 0);
}

static void read_arena(void)
{
    if (words[0] > sizeof arena || words[1] > sizeof arena - words[0]) {
        refuse(OUT_OF_RANGE);
        return;
    }
    struct piece const stretch = {arena + words[0], words[1]};
    reply(REPLY | READ, 0, 0, 0, &stretch, 1);
}

static void reset_board(void)
{
    AIRCR = 0x05FA0004;
    for (;;) {
    }
}

static void serve(const struct incoming *request)
{
    uint32_t const argument = (uint32_t)(request->header[2] | request->header[3] << 8);
    uint32_t const command = request->header[0];
    int const runs = command == RUN || command == PROFILE || command == REPEAT;
    if (request->count != (runs ? total_bytes(inputs, COUNT(inputs)) : command == READ ? sizeof words : 0)) {
        refuse(WRONG_SIZE);
    } else if (command == DESCRIBE) {
        describe();
    } else if (command == REPEAT) {
        repeat(argument);
    } else if (runs) {
        run(command, argument);
    } else if (command == MEMORY) {
        memory();
    } else if (command == READ) {
        read_arena();
    } else if (command == FORGET) {
        EDGERT_FORGET
        reply(REPLY | FORGET, 0, 0, 0, 0, 0);
    } else if (command == RESET) {
        reply(REPLY | RESET, 0, 0, 0, 0, 0);
        reset_board();
    } else {
        refuse(UNKNOWN_COMMAND);
    }
}

int main(void);
int main(void)
{
    static const struct {
        uint32_t address, clear, set;
    } setup[] = EDGERT_SETUP;
    for (uint32_t i = 0; setup[i].address; i++) { /* pins and clocks of the board, from its target.toml */
        if (setup[i].address & 1) { /* odd: waits until the bits `clear` read `set` */
            while ((REGISTER(setup[i].address - 1) & setup[i].clear) != setup[i].set) {
            }
        } else {
            REGISTER(setup[i].address) = (REGISTER(setup[i].address) & ~setup[i].clear) | setup[i].set;
        }
    }
    uart_start();
    clock_start();
    EDGERT_FORGET /* a model that keeps state begins with an empty one */
    for (;;) {
        struct incoming request;
        int const whole = frame_receive(&request);
        reply_header[1] = request.header[1];
        if (whole) {
            serve(&request);
        } else if (request.count) {
            refuse(DAMAGED);
        }
    }
}

/* `frame` is what the core pushed when it faulted: r0-r3, r12, lr, pc, xpsr; it may lie outside RAM. */
__attribute__((used, noreturn)) static void report_fault(const uint32_t *frame)
{
    int const readable = frame >= edgert_stack_low && frame + 8 <= edgert_stack_top;
    uint32_t sent[2];
    sent[0] = readable ? frame[6] : 0;
    sent[1] = __ARM_ARCH >= 7 ? CFSR : 0;
    uart_send(0); /* ends what was being sent */
    reply(FAULT, 0, sent, sizeof sent, 0, 0);
    reset_board();
    for (;;) {
    }
}

/* The stack may be what went wrong: the report begins a new one. */
__attribute__((naked)) static void on_fault(void)
{
    __asm volatile("mov r0, sp\n"
                   "ldr r1, =edgert_stack_top\n"
                   "mov sp, r1\n"
                   "bl report_fault\n"
                   ".ltorg");
}

__attribute__((used, noreturn)) static void start(void)
{
    uint32_t *here;
    __asm volatile("mov %0, sp" : "=r"(here));
#if __ARM_ARCH >= 8 && defined(__ARM_ARCH_ISA_THUMB) && __ARM_ARCH_ISA_THUMB == 2
    __asm volatile("msr msplim, %0" : : "r"(edgert_stack_low)); /* a stack that grows too long faults */
#endif
    for (uint32_t *word = edgert_stack_low; word < here - 8; word++) {
        *(volatile uint32_t *)word = PAINT;
    }
    VTOR = (uint32_t)edgert_code_start;
    for (uint32_t i = 0; i < NVIC_WORDS; i++) { /* a boot loader may have left interrupts on */
        NVIC_ICER(i) = ~0u;
    }
    __asm volatile("cpsie i");
#if __ARM_ARCH == 7
    if (MPU_TYPE) { /* no access to the 32 KB below the stack: also where a bus would let them pass */
        MPU_RBAR = ((uint32_t)edgert_stack_low - 0x8000) | 0x10;
        MPU_RASR = 1u << 28 | 14 << 1 | 1;
        MPU_CTRL = 5;
        __asm volatile("dsb\nisb");
    }
#endif
#if defined(__ARM_FP) || defined(__ARM_FEATURE_MVE)
    CPACR |= 0xFu << 20;
    __asm volatile("dsb\nisb");
#endif
#if defined(__ARM_FEATURE_MVE)
    CCR |= 1u << 19; /* low-overhead branches */
    __asm volatile("dsb\nisb");
#endif
    memcpy(edgert_data_start, edgert_data_load, (size_t)(edgert_data_end - edgert_data_start) * 4);
    memset(edgert_bss_start, 0, (size_t)(edgert_bss_end - edgert_bss_start) * 4);
    main();
    for (;;) {
    }
}

typedef void (*handler)(void);
static const handler vectors[16] __attribute__((section(".vectors"), used)) = {
    (handler)edgert_stack_top, start, on_fault, on_fault, on_fault, on_fault, on_fault, on_fault,
    [11] = on_fault, [12] = on_fault, [14] = on_fault,
#if EDGERT_TICKS != 1
    [15] = clock_interrupt,
#endif
};
