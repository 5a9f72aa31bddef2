// SPDX-License-Identifier: Apache-2.0

package linker

import (
	"fmt"
	"strings"
	"text/template"
)

// The rows are filled with KEEP by BOUNDED_SECTION_BY of the kernel's vmlinux.lds.h. SORT makes the level, the last
// character of an input section's name, decide the order; within one level it is that of the link.
//
// A section of its own, and not a place in .rodata: an output section has the union of its inputs' flags, .rodata has
// writable ones (.data..ro_after_init), and so nothing could be told from its flags.

// VmlinuxScript returns the lines for include/asm-generic/vmlinux.lds.h, to stand in RO_DATA() behind .pci_fixup.
func (s *TableSpec) VmlinuxScript() string {
	var b strings.Builder
	line := func(text string) { b.WriteString(continued(text)) }
	line("\t/* " + s.Title + " */")
	line(fmt.Sprintf("\t%-17s : AT(ADDR(%s) - LOAD_OFFSET) {", s.Section(), s.Section()))
	line("\t\t. = ALIGN(8);")
	for _, e := range s.Events {
		line(fmt.Sprintf("\t\tBOUNDED_SECTION_BY(SORT(%s.*), _%s_%s)", s.RowSection(e), s.Name, e))
	}
	line("\t}")
	line("\t")
	return b.String()
}

// ModuleScript returns the lines for SECTIONS of scripts/module.lds.S: a section per event, as the module loader looks
// for sections by name.
func (s *TableSpec) ModuleScript() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\t/* %s */\n", s.Title)
	for _, e := range s.Events {
		name := "\t" + s.RowSection(e)
		fmt.Fprintf(&b, "%s0 : ALIGN(8) { KEEP(*(SORT(%s.*))) }\n", tabs(name, 32), s.RowSection(e))
	}
	return b.String()
}

// Header returns the C text that declares the tables and makes entries. What it relies on is in <linux/compiler.h>,
// <linux/build_bug.h>, <linux/stringify.h> and <linux/types.h>.
func (s *TableSpec) Header() (string, error) {
	t, err := template.New("header").Parse(header)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	err = t.Execute(&b, map[string]any{
		"Table": s.Name, "Entry": s.Entry.Name, "Result": s.Entry.Result, "Events": s.Events,
		"Params": strings.Join(s.Entry.Params, ", "), "Args": strings.Join(s.args(), ", "),
	})
	return alignContinuations(b.String()), err
}

// header is the template of Header. A backslash at the end of a line is moved to where kernel code has it.
//
// The entries are made in assembly so that nothing but this text decides the section's flags: of a C object the compiler
// says "aw" when it is not const, when it is const and the code is position independent, and on ppc64 when it points
// to a function of another file.
const header = `typedef {{.Result}} (*{{.Entry}}_t)({{.Params}});

/*
 * An entry is made in assembly, so that its section is "a" and never "aw": for
 * a C object the flags would depend on const, on -fPIE and on the architecture.
 */
#ifdef CONFIG_HAVE_ARCH_PREL32_RELOCATIONS
struct {{.Entry}}_entry {
	int offset;
};

#define __{{.Entry}}_word(sym)	".balign 4\n\t.long " sym " - .\n\t"

static inline {{.Entry}}_t
{{.Entry}}_from_entry(const struct {{.Entry}}_entry *entry)
{
	return offset_to_ptr(&entry->offset);
}
#else
struct {{.Entry}}_entry {
	{{.Entry}}_t fn;
};

#ifdef CONFIG_64BIT
#define __{{.Entry}}_word(sym)	".balign 8\n\t.quad " sym "\n\t"
#else
#define __{{.Entry}}_word(sym)	".balign 4\n\t.long " sym "\n\t"
#endif

static inline {{.Entry}}_t
{{.Entry}}_from_entry(const struct {{.Entry}}_entry *entry)
{
	return entry->fn;
}
#endif

{{range .Events -}}
extern const struct {{$.Entry}}_entry __start_{{$.Table}}_{{.}}[];
extern const struct {{$.Entry}}_entry __stop_{{$.Table}}_{{.}}[];
{{end}}
#define __{{.Entry}}_asm(sec, fn) \
	asm(".pushsection \"" sec "\", \"a\"\n\t" \
	    __{{.Entry}}_word(__stringify(fn)) \
	    ".popsection\n")

#ifdef CONFIG_LTO_CLANG
/* LTO may rename a static function: assembly can only name a global one. */
#define __{{.Entry}}(sec, fn) \
	___{{.Entry}}(sec, fn, __PASTE(__KBUILD_MODNAME, __PASTE(__, __COUNTER__)))
#define ___{{.Entry}}(sec, fn, id)	____{{.Entry}}(sec, fn, id)
#define ____{{.Entry}}(sec, fn, id) \
	{{.Result}} __{{.Entry}}_stub_##id({{.Params}}); \
	{{.Result}} __{{.Entry}}_stub_##id({{.Params}}) \
	{ \
		return fn({{.Args}}); \
	} \
	__ADDRESSABLE(__{{.Entry}}_stub_##id) \
	__{{.Entry}}_asm(sec, __{{.Entry}}_stub_##id)
#else
#define __{{.Entry}}(sec, fn)	__{{.Entry}}_asm(sec, fn)
#endif

/*
 * {{.Entry}}(event, fn) has fn called at an event; with a level, 0 to 9, it is
 * called behind those of lower levels. The level has to be one digit, as the
 * linker sorts by its text. What no table would take in does not compile.
 */
#define {{.Entry}}(event, fn)	{{.Entry}}_level(event, fn, 5)
#define {{.Entry}}_level(event, fn, level) \
	extern const struct {{.Entry}}_entry __start_{{.Table}}_##event[]; \
	static_assert(__same_type(__start_{{.Table}}_##event, __stop_{{.Table}}_##event)); \
	static_assert(sizeof(#level) == 2 && (level) >= 0 && (level) <= 9); \
	static_assert(__same_type({{.Entry}}_t, &fn)); \
	__ADDRESSABLE(fn) \
	__{{.Entry}}(".{{.Table}}." #event "." #level, fn)
`

// alignContinuations moves the backslash of every continued line to column 72, or one blank behind a longer line.
func alignContinuations(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if code, ok := strings.CutSuffix(line, " \\\n"); ok {
			line = continued(code)
		}
		b.WriteString(line)
	}
	return b.String()
}

func continued(code string) string {
	if width(code) >= 72 {
		return code + " \\\n"
	}
	return tabs(code, 72) + "\\\n"
}

// tabs fills a line with tabs up to a column that is a multiple of 8, one tab at least.
func tabs(line string, column int) string {
	line += "\t"
	for width(line) < column {
		line += "\t"
	}
	return line
}

// width is the column behind a line, with tabs of 8.
func width(line string) int {
	n := 0
	for _, r := range line {
		if n++; r == '\t' {
			n = (n + 7) &^ 7
		}
	}
	return n
}
