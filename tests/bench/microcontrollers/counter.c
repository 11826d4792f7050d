/* QEMU plugin: what one run of a model executes, by layer and address.
 *
 * Counts between the first instruction of the run function (start=) and any of its return addresses (stop=, several
 * times), and writes `out=` at every return:
 *   i LAYER ADDRESS EXECUTED TAKEN   an instruction; TAKEN: how often the next one was not the one behind it
 *   f LAYER BYTES                    data read from flash (below flash=)
 * A layer ends where the function at `layer=` is entered. Declares of the plugin interface (version 1) what it uses.
 */
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORTED __attribute__((visibility("default")))
#define LAYERS 256
#define CALLS 8

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef void (*translated)(plugin_id, struct qemu_plugin_tb *);
typedef void (*executed)(unsigned, void *);
typedef void (*accessed)(unsigned, uint32_t, uint64_t, void *);
enum { NO_REGISTERS = 0, READS_AND_WRITES = 3 }; /* QEMU 7.2 takes writes where reads alone are asked for */

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, translated);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, executed, int, void *);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *, accessed, int, int, void *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *);
unsigned qemu_plugin_mem_size_shift(uint32_t);
_Bool qemu_plugin_mem_is_store(uint32_t);

EXPORTED int qemu_plugin_version = 1;

struct block {
    struct block *next;
    size_t count;
    uint64_t first, behind; /* addresses of its first instruction and of what lies behind it */
    uint64_t executed[LAYERS], taken[LAYERS];
    uint64_t addresses[];
};

static struct block *blocks, *last;
static uint64_t start_address, stop_addresses[CALLS], layer_address, flash_end, flash_bytes[LAYERS];
static char out_path[4096];
static unsigned layer, is_running, calls;

static void write_counts(void)
{
    FILE *out = fopen(out_path, "w");
    if (!out) {
        return;
    }
    for (const struct block *block = blocks; block; block = block->next) {
        for (unsigned i = 0; i < LAYERS; i++) {
            for (size_t k = 0; block->executed[i] && k < block->count; k++) {
                const uint64_t taken = k + 1 == block->count ? block->taken[i] : 0;
                fprintf(out, "i %u %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", i, block->addresses[k], block->executed[i],
                        taken);
            }
        }
    }
    for (unsigned i = 0; i < LAYERS; i++) {
        if (flash_bytes[i]) {
            fprintf(out, "f %u %" PRIu64 "\n", i, flash_bytes[i]);
        }
    }
    fclose(out);
}

static void begin(void)
{
    for (struct block *block = blocks; block; block = block->next) {
        memset(block->executed, 0, sizeof block->executed);
        memset(block->taken, 0, sizeof block->taken);
    }
    memset(flash_bytes, 0, sizeof flash_bytes);
    is_running = 1;
    layer = 0;
    last = NULL;
}

static int is_return(uint64_t address)
{
    for (unsigned i = 0; i < calls; i++) {
        if (stop_addresses[i] == address) {
            return 1;
        }
    }
    return 0;
}

static void on_block(unsigned cpu, void *data)
{
    struct block *block = data;
    (void)cpu;
    if (block->first == start_address) {
        begin();
    }
    if (!is_running) {
        return;
    }
    if (last && block->first != last->behind) {
        last->taken[layer]++;
    }
    if (is_return(block->first)) {
        is_running = 0;
        write_counts();
        return;
    }
    if (block->first == layer_address && layer + 1 < LAYERS) {
        layer++;
    }
    block->executed[layer]++;
    last = block;
}

static void on_read(unsigned cpu, uint32_t info, uint64_t address, void *data)
{
    (void)cpu, (void)data;
    if (is_running && address < flash_end && !qemu_plugin_mem_is_store(info)) {
        flash_bytes[layer] += (uint64_t)1 << qemu_plugin_mem_size_shift(info);
    }
}

static void on_translation(plugin_id id, struct qemu_plugin_tb *tb)
{
    const size_t count = qemu_plugin_tb_n_insns(tb);
    struct block *block = calloc(1, sizeof *block + count * sizeof block->addresses[0]);
    (void)id;
    for (size_t i = 0; i < count; i++) {
        struct qemu_plugin_insn *instruction = qemu_plugin_tb_get_insn(tb, i);
        block->addresses[i] = qemu_plugin_insn_vaddr(instruction);
        block->behind = block->addresses[i] + qemu_plugin_insn_size(instruction);
        qemu_plugin_register_vcpu_mem_cb(instruction, on_read, NO_REGISTERS, READS_AND_WRITES, NULL);
    }
    block->count = count;
    block->first = block->addresses[0];
    block->next = blocks;
    blocks = block;
    qemu_plugin_register_vcpu_tb_exec_cb(tb, on_block, NO_REGISTERS, block);
}

EXPORTED int qemu_plugin_install(plugin_id id, const void *machine, int count, char **arguments)
{
    (void)machine;
    for (int i = 0; i < count; i++) {
        char *value = strchr(arguments[i], '=');
        if (!value) {
            return 1;
        }
        *value++ = 0;
        if (!strcmp(arguments[i], "out")) {
            snprintf(out_path, sizeof out_path, "%s", value);
        } else {
            uint64_t *known = !strcmp(arguments[i], "start")   ? &start_address
                              : !strcmp(arguments[i], "stop")  ? &stop_addresses[calls++ % CALLS]
                              : !strcmp(arguments[i], "layer") ? &layer_address
                              : !strcmp(arguments[i], "flash") ? &flash_end
                                                               : NULL;
            if (!known) {
                return 1;
            }
            *known = strtoull(value, NULL, 0);
        }
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    return 0;
}
