// SPDX-License-Identifier: Apache-2.0

package linker

import (
	"strings"
	"testing"
)

const parsed = `
PHDRS { text PT_LOAD FLAGS(5); note PT_NOTE FLAGS ( 0 ); data PT_LOAD; }
ENTRY(phys_startup_64)
jiffies = jiffies_64;
SECTIONS
{
 . = (0xffffffff80000000 + 0x1000000);
 .text : AT(ADDR(.text) - 0xffffffff80000000) { _stext = .; *(.text.hot .text.hot.*) *(EXCLUDE_FILE (*crtend.o *x(y).o) .text) *libgcc.a:(.gcc) } :text =0xcccccccc
 /* .comment : { *(.commented) } */
 .ro (READONLY) : { x = ABSOLUTE(. * (8)); KEEP(*(SORT(.ro.*))) KEEP(*head.o(.top)) . = ALIGN(8); BYTE(0) ASSERT(. > 0, "no *(.quoted)") }
 .two 0x1000 : ALIGN(16) SUBALIGN(4) { *(SORT_BY_INIT_PRIORITY(.two.*) .twice) *(.text) } > ram AT> rom
 .last : { *(.ro.first) *("odd name") }
 /DISCARD/ : { *(.discard) *(.discard.*) }
}
`

func TestScript(t *testing.T) {
	s := parseScript(parsed)
	for _, tt := range []struct{ file, section, want string }{
		{"vmlinux.o", ".text", ".text"}, // the first that matches
		{"vmlinux.o", ".text.hot.x", ".text"},
		{"libgcc.a:", ".gcc", ".text"},
		{"vmlinux.o", ".gcc", ""},
		{"vmlinux.o", ".commented", ""},
		{"vmlinux.o", ".quoted", ""},
		{"vmlinux.o", ".ro.first", ".ro"},
		{"vmlinux.o", ".ro.a/b", ".ro"}, // a slash is a character like others
		{"vmlinux.o", ".ro", ""},
		{"vmlinux.o", ".top", ""},
		{"arch/x86/head.o", ".top", ".ro"},
		{"vmlinux.o", ".two.1", ".two"},
		{"vmlinux.o", ".twice", ".two"},
		{"vmlinux.o", "odd name", ".last"},
		{"vmlinux.o", ".discard.x", "/DISCARD/"},
		{"vmlinux.o", "8", ""},
	} {
		if got, _ := s.output(tt.file, tt.section); got != tt.want {
			t.Errorf("output(%s, %s) = %q, want %q", tt.file, tt.section, got, tt.want)
		}
	}
	if o := s.find(".ro"); o == nil || !strings.Contains(o.typ, "READONLY") {
		t.Errorf("type of .ro is %+v, want READONLY", o)
	}
	if got, want := s.forced(), "note FLAGS(0), text FLAGS(5)"; got != want {
		t.Errorf("forced() = %q, want %q: those of data are left to the linker", got, want)
	}
	if deep := parseScript("SECTIONS { .a : { " + strings.Repeat("KEEP(", 100) + "*(.b)" + strings.Repeat(")", 100) + " *(.c) } }"); deep.outputs[0].patterns[0].section != ".c" {
		t.Errorf("patterns %+v, want only what is not nested without end", deep.outputs)
	}
}

func TestNearest(t *testing.T) {
	names := []string{".rodata", ".data", ".task_watchers", ".pci_fixup", "__modver"}
	for name, want := range map[string]string{".rodaat": ".rodata", "task_watchers": ".task_watchers", "modver": "__modver", ".xyzzy_zork": ""} {
		got := ""
		if near := nearest(name, names); len(near) > 0 {
			got = near[0]
		}
		if got != want {
			t.Errorf("nearest(%s) = %q, want %q", name, got, want)
		}
	}
}
