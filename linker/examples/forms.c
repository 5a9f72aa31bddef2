// SPDX-License-Identifier: GPL-2.0-only
/*
 * One entry of a table of functions, in every form that has been tried. The
 * question is which flags the compiler gives the section .table.
 *
 *	gcc -O2 -fno-pie -DFORM=1 -c forms.c && readelf -SW forms.o | grep ' \.table '
 */
typedef int (*watcher_t)(unsigned long val, void *task);

int elsewhere(unsigned long val, void *task);
extern const char first[], last[];

static int here(unsigned long val, void *task)
{
	return val != 0 && task;
}

/* what __ADDRESSABLE() does: the assembly's use of a name is not seen */
static watcher_t keep __attribute__((used, section(".discard"))) = here;

#define TABLE __attribute__((used, section(".table")))

#if FORM == 1			/* non-const pointer */
static watcher_t entry TABLE = here;
#elif FORM == 2			/* const T *table[]: the pointee is const, the array is not */
static const char *entry[] TABLE = { first, last };
#elif FORM == 3			/* const, function in the same file */
static const watcher_t entry TABLE = here;
#elif FORM == 4			/* const, extern function */
static const watcher_t entry TABLE = elsewhere;
#elif FORM == 5			/* const array of linker symbols */
static const char *const entry[] TABLE = { first, last };
#elif FORM == 6			/* assembly "a", relative: PREL32 */
asm(".pushsection .table, \"a\"\n\t.balign 4\n\t.long here - .\n\t.popsection");
#elif FORM == 7			/* assembly "a", absolute, function in the same file */
asm(".pushsection .table, \"a\"\n\t.balign 8\n\t.quad here\n\t.popsection");
#elif FORM == 8			/* assembly "a", absolute, extern function */
asm(".pushsection .table, \"a\"\n\t.balign 8\n\t.quad elsewhere\n\t.popsection");
#elif FORM == 9			/* assembly without flags */
asm(".pushsection .table\n\t.balign 8\n\t.quad here\n\t.popsection");
#elif FORM == 10		/* code in the section of the table */
__attribute__((used, section(".table"))) static int code(void) { return 1; }
#else
#error FORM is 1 to 10
#endif
