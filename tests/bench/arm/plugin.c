/* QEMU plugin: instructions that an AArch64 program executes between marks, by kind.
 *
 * For the user-mode emulator, plugin interface version 1. A mark is getpriority(PRIO_PROCESS, MARK + number): a system
 * call without effect that any language has. At each mark, and at the end, a line goes to the file `out=`:
 *   mark NUMBER instructions=N fmla=N mlal=N dot=N mmla=N sve=N      counts since the mark before
 *   exit 0 instructions=N ...                                        counts of the whole run
 * Counts of a block are added where it is entered, without a lock: meant for one thread. Declares of the interface what
 * it uses, because Debian has no header of it. Encodings: Arm Architecture Reference Manual (DDI 0487), section C4.1.
 */
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define EXPORTED __attribute__((visibility("default")))
#define MARK 0x45440000u
#define GETPRIORITY 141

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum { ADD_U64 = 0 };

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, int, void *, uint64_t);
void qemu_plugin_register_vcpu_syscall_cb(plugin_id, void (*)(plugin_id, unsigned, int64_t, uint64_t, uint64_t,
                                                              uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                                                              uint64_t));
void qemu_plugin_register_atexit_cb(plugin_id, void (*)(plugin_id, void *), void *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);

EXPORTED int qemu_plugin_version = 1;

enum kind { ALL, FMLA, MLAL, DOT, MMLA, SVE, KINDS };
static const char *const names[KINDS] = {"instructions", "fmla", "mlal", "dot", "mmla", "sve"};

/* bits of an encoding that tell a kind; the first that fits counts */
static const struct {
    uint32_t mask, value;
    enum kind kind;
} encodings[] = {
    {0xBFA0FC00, 0x0E20CC00, FMLA}, /* FMLA, vectors */
    {0xBF80F400, 0x0F801000, FMLA}, /* FMLA, by element */
    {0x9F20FC00, 0x0E208000, MLAL}, /* SMLAL(2), UMLAL(2), vectors */
    {0x9F00F400, 0x0F002000, MLAL}, /* the same by element */
    {0x9F20FC00, 0x0E20C000, MLAL}, /* SMULL(2), UMULL(2), vectors: the first product of a sum */
    {0x9F00F400, 0x0F00A000, MLAL}, /* the same by element */
    {0x9FE0FC00, 0x0E809400, DOT},  /* SDOT, UDOT, vectors */
    {0x9FC0F400, 0x0F80E000, DOT},  /* the same by element */
    {0xDFE0FC00, 0x4E80A400, MMLA}, /* SMMLA, UMMLA */
    {0xFFE0FC00, 0x4E80AC00, MMLA}, /* USMMLA */
    {0x1E000000, 0x04000000, SVE},
};

static uint64_t counts[KINDS], at_mark[KINDS];
static char out_path[4096];

static enum kind kind_of(uint32_t word)
{
    for (size_t i = 0; i < sizeof encodings / sizeof encodings[0]; i++) {
        if ((word & encodings[i].mask) == encodings[i].value) {
            return encodings[i].kind;
        }
    }
    return ALL;
}

static void on_translation(plugin_id id, struct qemu_plugin_tb *tb)
{
    const size_t count = qemu_plugin_tb_n_insns(tb);
    uint64_t of_block[KINDS] = {count};
    (void)id;
    for (size_t i = 0; i < count; i++) {
        uint32_t word;
        memcpy(&word, qemu_plugin_insn_data(qemu_plugin_tb_get_insn(tb, i)), sizeof word);
        const enum kind kind = kind_of(word);
        of_block[kind] += kind != ALL;
    }
    for (int kind = 0; kind < KINDS; kind++) {
        if (of_block[kind]) {
            qemu_plugin_register_vcpu_tb_exec_inline(tb, ADD_U64, &counts[kind], of_block[kind]);
        }
    }
}

static void write_line(const char *what, unsigned number, const uint64_t *since)
{
    FILE *out = fopen(out_path, "a");
    if (!out) {
        return;
    }
    fprintf(out, "%s %u", what, number);
    for (int kind = 0; kind < KINDS; kind++) {
        fprintf(out, " %s=%" PRIu64, names[kind], counts[kind] - since[kind]);
    }
    fputc('\n', out);
    fclose(out);
}

static void on_call(plugin_id id, unsigned cpu, int64_t call, uint64_t which, uint64_t who, uint64_t a3, uint64_t a4,
                    uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8)
{
    (void)id, (void)cpu, (void)which, (void)a3, (void)a4, (void)a5, (void)a6, (void)a7, (void)a8;
    if (call == GETPRIORITY && (who & 0xFFFF0000u) == MARK) {
        write_line("mark", (unsigned)(who & 0xFFFFu), at_mark);
        memcpy(at_mark, counts, sizeof counts);
    }
}

static void on_exit_of_program(plugin_id id, void *data)
{
    static const uint64_t start[KINDS];
    (void)id, (void)data;
    write_line("exit", 0, start);
}

EXPORTED int qemu_plugin_install(plugin_id id, const void *machine, int count, char **arguments)
{
    (void)machine;
    for (int i = 0; i < count; i++) {
        if (strncmp(arguments[i], "out=", 4)) {
            return 1;
        }
        snprintf(out_path, sizeof out_path, "%s", arguments[i] + 4);
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    qemu_plugin_register_vcpu_syscall_cb(id, on_call);
    qemu_plugin_register_atexit_cb(id, on_exit_of_program, NULL);
    return count != 1;
}
