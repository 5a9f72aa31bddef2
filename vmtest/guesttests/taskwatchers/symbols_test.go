// SPDX-License-Identifier: Apache-2.0

//go:build guest

package taskwatchers

import (
	"errors"
	"fmt"
	"github.com/seriesrig/series/internal/need"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// symbol returns the address of a symbol of the kernel, 0 where it has none of that name.
func symbol(t testing.TB, name string) uint64 {
	t.Helper()
	for line := range strings.Lines(read(t, "/proc/kallsyms")) {
		if f := strings.Fields(line); len(f) == 3 && f[2] == name { // four where it is a module's
			addr, err := strconv.ParseUint(f[0], 16, 64)
			if err != nil {
				t.Fatalf("/proc/kallsyms: %s: %v", line, err)
			}
			if addr == 0 {
				t.Fatal("/proc/kallsyms hides addresses")
			}
			return addr
		}
	}
	return 0
}

// watchers needs a kernel that calls task watchers.
func watchers(t testing.TB) {
	t.Helper()
	if symbol(t, "notify_task_watchers_init") == 0 {
		need.Missing(t, "the kernel has no notify_task_watchers_init: it is without the series")
	}
}

// debugfs mounts it and returns its folder.
func debugfs(t testing.TB) string {
	t.Helper()
	const dir = "/sys/kernel/debug"
	if err := unix.Mount("debugfs", dir, "debugfs", 0, ""); err != nil && !errors.Is(err, unix.EBUSY) {
		t.Fatalf("mount debugfs: %v", err)
	}
	return dir
}

// A mapping is a line of the kernel's page tables.
type mapping struct {
	from, to uint64 // to is the first address behind it
	text     string
	writable bool
}

// pageTables reads the kernel's page tables. Both architectures say "RW" or "rw" and "ro" or "r": of the words of a line,
// the second after the size on x86, and on powerpc one of a list.
func pageTables(t testing.TB) []mapping {
	t.Helper()
	dir := debugfs(t)
	file := filepath.Join(dir, "page_tables/kernel")
	if _, err := os.Stat(file); err != nil {
		file = filepath.Join(dir, "kernel_page_tables")
	}
	all, err := parsePageTables(read(t, file))
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return all
}

func parsePageTables(text string) (all []mapping, err error) {
	for line := range strings.Lines(text) {
		from, rest, ok := strings.Cut(strings.TrimSpace(line), "-")
		if !ok || !strings.HasPrefix(from, "0x") {
			continue
		}
		to, rest, _ := strings.Cut(rest, " ")
		m := mapping{text: strings.TrimSpace(line)}
		var err1, err2 error
		m.from, err1 = strconv.ParseUint(from, 0, 64)
		m.to, err2 = strconv.ParseUint(to, 0, 64)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		if m.to%2 == 1 { // powerpc names the last address
			m.to++
		}
		words := strings.Fields(strings.ToLower(rest))
		for _, w := range words {
			m.writable = m.writable || w == "rw" || w == "w"
		}
		if len(words) > 2 { // others are holes
			all = append(all, m)
		}
	}
	if len(all) == 0 {
		return nil, errors.New("no mapping in it")
	}
	return all, nil
}

// readOnly is an error where the page of an address is not mapped, or can be written.
func readOnly(all []mapping, addr uint64) error {
	for _, m := range all {
		if addr >= m.from && addr-m.from < m.to-m.from {
			if m.writable {
				return fmt.Errorf("%#x can be written: %s", addr, m.text)
			}
			return nil
		}
	}
	return fmt.Errorf("%#x is not mapped", addr)
}

func TestParsePageTables(t *testing.T) {
	for _, text := range []string{
		"---[ High Kernel Mapping ]---\n0xffffffff80000000-0xffffffff81000000          16M                               pmd\n" +
			"0xffffffff81000000-0xffffffff81200000           2M     ro         PSE         x  pmd\n" +
			"0xffffffff81200000-0xffffffff81400000           2M     RW         PSE         NX pmd\n",
		"0xffffffff81000000-0xffffffff811fffff  0x0000000000000000         2M  r  X   pte  valid  present\n" +
			"0xffffffff81200000-0xffffffff813fffff  0x0000000000200000         2M  rw     pte  valid  present  dirty\n",
	} {
		all, err := parsePageTables(text)
		if err != nil {
			t.Fatal(err)
		}
		if err := readOnly(all, 0xffffffff811fffff); err != nil {
			t.Errorf("of what is read-only: %v", err)
		}
		for _, addr := range []uint64{0xffffffff81200000, 0xffffffff81400000, 0} {
			if readOnly(all, addr) == nil {
				t.Errorf("%#x is called read-only by\n%s", addr, text)
			}
		}
	}
	if _, err := parsePageTables("---[ nothing ]---\n"); err == nil {
		t.Error("page tables without a mapping are no error")
	}
}
