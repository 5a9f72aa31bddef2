// SPDX-License-Identifier: Apache-2.0

//go:build guest

package taskwatchers

import (
	"errors"
	"fmt"
	"github.com/seriesrig/series/internal/need"
	"os"
	"path/filepath"
	"regexp"
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
	// With the hash MMU of powerpc, these only have what is in virtual memory. The kernel itself is in the hash table.
	file = filepath.Join(dir, "kernel_hash_pagetable")
	text, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return all
	}
	if err != nil {
		t.Fatal(err)
	}
	hashed, err := parseHashTable(string(text))
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return append(all, hashed...)
}

var hashEntry = regexp.MustCompile(`^(0x[0-9a-f]+):.*\svalid\s.*\sprot:([-RWX]+)\s.*\sactual_ps: ([0-9]+)([KMG])\b`)

// parseHashTable reads entries of the hash table: an address, what may be done there, and the size of the page.
func parseHashTable(text string) (all []mapping, err error) {
	for line := range strings.Lines(text) {
		f := hashEntry.FindStringSubmatch(line)
		if f == nil {
			continue
		}
		from, err1 := strconv.ParseUint(f[1], 0, 64)
		size, err2 := strconv.ParseUint(f[3], 10, 20)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		size <<= map[string]int{"K": 10, "M": 20, "G": 30}[f[4]]
		all = append(all, mapping{from: from, to: from + size, text: strings.TrimSpace(line), writable: strings.Contains(f[2], "W")})
	}
	if len(all) == 0 {
		return nil, errors.New("no entry in it")
	}
	return all, nil
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
	found := false
	for _, m := range all {
		if addr >= m.from && addr-m.from < m.to-m.from {
			if m.writable {
				return fmt.Errorf("%#x can be written: %s", addr, m.text)
			}
			found = true
		}
	}
	if !found {
		return fmt.Errorf("%#x is not mapped", addr)
	}
	return nil
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

func TestParseHashTable(t *testing.T) {
	all, err := parseHashTable("0xc000000000960000:\tAVPN:1d43642e0000\t  ssize: 1T    primary    valid    bolted  rpn: 96\t  prot:R---  key:0  ref  changed  base_ps: 64K\t  actual_ps: 64K\tLP enc: 1\n" +
		"0xc000000001000000:\tAVPN:1d43642e0000\t  ssize: 1T  secondary    valid    bolted  rpn: 100\t  prot:RW--  key:0  ref  changed  base_ps: 64K\t  actual_ps: 16M\tLP enc: 8\n")
	if err != nil || len(all) != 2 {
		t.Fatalf("%+v, %v", all, err)
	}
	if err := readOnly(all, 0xc00000000096ffff); err != nil {
		t.Errorf("of what is read-only: %v", err)
	}
	for _, addr := range []uint64{0xc000000000970000, 0xc000000001ffffff, 0xc000000002000000} {
		if readOnly(all, addr) == nil {
			t.Errorf("%#x is called read-only", addr)
		}
	}
	if _, err := parseHashTable("nothing\n"); err == nil {
		t.Error("a hash table without an entry is no error")
	}
}
