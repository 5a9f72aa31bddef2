// SPDX-License-Identifier: Apache-2.0

// Command gentable prints what a table spec stands for: the linker-script lines and the C text of a read-only table.
//
//	go run ./linker/gentable SPEC               all three parts
//	go run ./linker/gentable SPEC vmlinux       the lines for include/asm-generic/vmlinux.lds.h
//	go run ./linker/gentable SPEC module        the lines for scripts/module.lds.S
//	go run ./linker/gentable SPEC header        the C text
package main

import (
	"fmt"
	"io"
	"os"

	"github.com/seriesrig/series/linker"
)

func main() { os.Exit(realMain(os.Args[1:], os.Stdout, os.Stderr)) }

func realMain(args []string, stdout, stderr io.Writer) int {
	if len(args) < 1 || len(args) > 2 {
		fmt.Fprintln(stderr, "usage: gentable SPEC [vmlinux|module|header]")
		return 2
	}
	s, err := linker.ReadTableSpec(args[0])
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 2
	}
	header, err := s.Header()
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 3
	}
	parts := map[string]string{"vmlinux": s.VmlinuxScript(), "module": s.ModuleScript(), "header": header}
	if len(args) == 2 {
		text, ok := parts[args[1]]
		if !ok {
			fmt.Fprintf(stderr, "no part %q: there are vmlinux, module and header\n", args[1])
			return 2
		}
		fmt.Fprint(stdout, text)
		return 0
	}
	for _, p := range []struct{ name, where string }{
		{"vmlinux", "include/asm-generic/vmlinux.lds.h, in RO_DATA() behind .pci_fixup"},
		{"module", "scripts/module.lds.S, in SECTIONS"},
		{"header", "the header of the table"},
	} {
		fmt.Fprintf(stdout, "==== %s\n%s\n", p.where, parts[p.name])
	}
	return 0
}
