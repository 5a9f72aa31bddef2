// SPDX-License-Identifier: GPL-2.0-only
/*
 * A plugin for QEMU that counts the instructions a guest executes, by the piece of memory that they are in: a function of its
 * kernel, or everything else.
 *
 *	-plugin file=plugin.so,pieces=FILE,out=FILE
 *
 * pieces has the first address of each piece, a hexadecimal number a line, ascending; what lies below the first one is piece 0.
 * The guest says when to count, with an instruction that does nothing: a mark. At each mark but the first one the plugin
 * writes what was executed since the one before, the older mark included and the newer one not:
 *
 *	mark 2 4711		number of the mark, from 1, and of instructions in all pieces
 *	0 4000			piece, and instructions; pieces without any are left out
 *	17 711
 *
 * and when QEMU ends, "end" and the number of marks. The counts are exact: one is added for each instruction that is started,
 * also where the rest of its block is not, because of a fault or of a timer.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Version 1 of the interface, as far as it is used here. Debian has no package with its header. */
struct qemu_plugin_tb;
struct qemu_plugin_insn;

int qemu_plugin_version = 1;

int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv);
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, void (*cb)(uint64_t id, struct qemu_plugin_tb *tb));
void qemu_plugin_register_atexit_cb(uint64_t id, void (*cb)(uint64_t id, void *data), void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t i);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn, void (*cb)(unsigned int cpu, void *data), int regs, void *data);
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *insn, int op, void *ptr, uint64_t imm);

enum { NO_REGS = 0, ADD_U64 = 0 };

struct piece {
	uint64_t start;
	uint64_t count;		/* ever */
	uint64_t written;	/* of that */
};

static struct piece *pieces;
static size_t n_pieces;
static uint64_t marks;
static FILE *out;

/* The marks of the architectures; vmtest/guesttests/internal/mark has them in assembly. */
static const uint8_t mark_x86[] = { 0x0f, 0x1f, 0x80, 0xe5, 0x71, 0x5e, 0x0b };	/* nopl 0xb5e71e5(%rax) */
static const uint8_t mark_ppc_be[] = { 0x08, 0x00, 0x5e, 0x71 };		/* tdi 0,r0,0x5e71: traps never */
static const uint8_t mark_ppc_le[] = { 0x71, 0x5e, 0x00, 0x08 };
static const uint8_t *mark;
static size_t mark_size;

static struct piece *find(uint64_t addr)
{
	size_t lo = 0, hi = n_pieces;	/* the last one that does not start behind addr */

	while (hi - lo > 1) {
		size_t mid = lo + (hi - lo) / 2;

		if (pieces[mid].start <= addr)
			lo = mid;
		else
			hi = mid;
	}
	return &pieces[lo];
}

static void at_mark(unsigned int cpu, void *data)
{
	uint64_t sum = 0;

	(void)cpu;
	(void)data;
	marks++;
	for (size_t i = 0; i < n_pieces; i++)
		sum += pieces[i].count - pieces[i].written;
	if (marks > 1)
		fprintf(out, "mark %" PRIu64 " %" PRIu64 "\n", marks, sum);
	for (size_t i = 0; i < n_pieces; i++) {
		uint64_t n = pieces[i].count - pieces[i].written;

		if (n && marks > 1)
			fprintf(out, "%zu %" PRIu64 "\n", i, n);
		pieces[i].written = pieces[i].count;
	}
}

static void translated(uint64_t id, struct qemu_plugin_tb *tb)
{
	size_t n = qemu_plugin_tb_n_insns(tb);

	(void)id;
	for (size_t i = 0; i < n; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		struct piece *p = find(qemu_plugin_insn_vaddr(insn));

		if (qemu_plugin_insn_size(insn) == mark_size && !memcmp(qemu_plugin_insn_data(insn), mark, mark_size))
			qemu_plugin_register_vcpu_insn_exec_cb(insn, at_mark, NO_REGS, NULL);
		qemu_plugin_register_vcpu_insn_exec_inline(insn, ADD_U64, &p->count, 1);
	}
}

static void at_exit(uint64_t id, void *data)
{
	(void)id;
	(void)data;
	fprintf(out, "end %" PRIu64 "\n", marks);
	if (ferror(out) | fclose(out))
		fprintf(stderr, "count plugin: the counts cannot be written\n");
}

static int complain(const char *what, const char *of)
{
	fprintf(stderr, "count plugin: %s%s%s\n", what, of ? ": " : "", of ? of : "");
	return -1;
}

static int read_pieces(const char *path)
{
	FILE *f = fopen(path, "r");
	size_t room = 1 << 12;
	uint64_t addr;

	if (!f)
		return complain(path, strerror(errno));
	pieces = calloc(room, sizeof(*pieces));
	n_pieces = 1;
	while (pieces && fscanf(f, "%" SCNx64, &addr) == 1) {
		if (addr <= pieces[n_pieces - 1].start)
			return complain(path, "the addresses do not ascend");
		if (n_pieces == room) {
			room *= 2;
			pieces = reallocarray(pieces, room, sizeof(*pieces));
			if (!pieces)
				break;
		}
		pieces[n_pieces++] = (struct piece){ .start = addr };
	}
	if (!pieces)
		return complain(path, "no memory");
	if (!feof(f) || n_pieces == 1)
		return complain(path, "no list of addresses");
	fclose(f);
	return 0;
}

static void choose_mark(const char *target)
{
	if (!strcmp(target, "ppc64le")) {
		mark = mark_ppc_le;
		mark_size = sizeof(mark_ppc_le);
	} else if (!strcmp(target, "ppc64")) {
		mark = mark_ppc_be;
		mark_size = sizeof(mark_ppc_be);
	} else if (!strcmp(target, "amd64")) {
		mark = mark_x86;
		mark_size = sizeof(mark_x86);
	}
}

int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv)
{
	const char *path = NULL;

	(void)info;
	for (int i = 0; i < argc; i++) {
		if (!strncmp(argv[i], "pieces=", 7)) {
			if (read_pieces(argv[i] + 7))
				return -1;
		} else if (!strncmp(argv[i], "out=", 4)) {
			path = argv[i] + 4;
		} else if (!strncmp(argv[i], "arch=", 5)) {
			choose_mark(argv[i] + 5);
		} else {
			return complain("unknown argument", argv[i]);
		}
	}
	if (!pieces || !path || !mark)
		return complain("pieces=, out= and arch= are wanted", NULL);
	out = fopen(path, "w");
	if (!out)
		return complain(path, strerror(errno));
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	qemu_plugin_register_atexit_cb(id, at_exit, NULL);
	return 0;
}
