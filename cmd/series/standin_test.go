// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/seriesrig/series/internal/fakeqemu"
	"github.com/seriesrig/series/vmtest/guest"
)

// standInMake builds a kernel in some milliseconds: the ELF file of the house, and behind it what a patch may change. What
// it has come to the end of it writes down.
const standInMake = `#!/bin/sh
test "$1" = --version && { echo "make (stand-in) 2.0"; exit; }
tree=$2
for arg; do case "$arg" in
O=*) out=${arg#O=} ;;
KCONFIG_ALLCONFIG=*) all=${arg#*=} ;;
esac; done
case "$*" in *allnoconfig*) exec cp "$all" "$out/.config" ;; esac
cd "$out" || exit 2
case "$*" in *W=1*)
	echo "  CC      kernel/audit.o"
	if grep WARNS "$tree/kernel/audit.c" >/dev/null; then echo "$tree/kernel/audit.c:31:1: warning: it warns [-Wstand-in]" >&2; fi
	echo "$tree/kernel/audit.c:1:1: warning: as ever [-Wextra]" >&2
	if grep thirty "$tree/kernel/audit.c" >/dev/null; then echo "$tree/kernel/audit.c:30:1: warning: a figure [-Wextra]" >&2; fi
	exit ;;
esac
if grep BREAKS "$tree/kernel/audit.c" >&2; then
	echo "  CC      kernel/audit.o"; echo "$tree/kernel/audit.c:30:1: error: it breaks" >&2
	echo "make: *** [Makefile:1: vmlinux] Error 2" >&2; exit 2
fi
if grep FULL "$tree/kernel/audit.c"; then echo "write error: No space left on device" >&2; exit 2; fi
if grep WARNS "$tree/kernel/audit.c" >/dev/null; then echo "$tree/kernel/audit.c:31:1: warning: it warns [-Wstand-in]" >&2; fi
if [ -e "$HOME/while-building" ]; then . "$HOME/while-building"; fi
echo "  LD      vmlinux"
cat "$HOME/vmlinux.elf" "$tree/kernel/audit.c" .config >vmlinux || exit 2
echo map >System.map
cksum <vmlinux >>"$HOME/made"
`

// standInGo makes the guest's programs of nothing.
const standInGo = `#!/bin/sh
case "$1" in
env) echo '{"GOVERSION": "go1.0", "GOROOT": "/nowhere"}'; exit ;;
tool) echo TEST2JSON; exit ;;
esac
while [ $# -gt 0 ]; do
	if [ "$1" = -o ]; then out=$2; fi
	shift
done
case "$out" in
mkbase) printf '#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done\necho base >"$2"\n' >mkbase; chmod +x mkbase ;;
*.test) if [ -e broken ]; then echo 'a_test.go:1:1: undefined: x' >&2; exit 1; fi; echo program >"$out" ;;
*) echo program >"$out" ;;
esac
`

var findTest2json = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("go", "tool", "-n", "test2json").Output()
	return strings.TrimSpace(string(out)), err
})

// standIn furnishes a folder, which has the house in it, with a toolchain, a Go and a QEMU that do in no time what the
// real ones do. It returns the PATH to use them.
func standIn(dir string) (string, error) {
	bin := filepath.Join(dir, "bin")
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	test2json, err := findTest2json()
	if err != nil {
		return "", err
	}
	elf, err := standInELF()
	if err != nil {
		return "", err
	}
	files := map[string][]byte{
		"bin/make":    []byte(standInMake),
		"bin/go":      []byte(strings.Replace(standInGo, "TEST2JSON", test2json, 1)),
		"vmlinux.elf": elf,
	}
	for name, data := range files {
		path := filepath.Join(dir, name)
		if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
			return "", err
		}
		if err := os.WriteFile(path, data, 0o755); err != nil {
			return "", err
		}
	}
	for _, name := range []string{"gcc", "ld", "as", "nm", "objcopy", "ar", "strip", "flex", "bison", "bc"} {
		if err := os.Link(filepath.Join(bin, "tool"), filepath.Join(bin, name)); err != nil && !os.IsExist(err) {
			return "", err
		}
	}
	links := map[string]string{"series": self, "qemu-system-x86_64": self}
	for _, name := range []string{"sh", "cat", "cp", "chmod", "grep", "cksum", "basename", "git", "rm", "mkdir", "echo", "sed", "ls", "wc"} {
		if links[name], err = exec.LookPath(name); err != nil {
			return "", err
		}
	}
	for name, to := range links {
		if err := os.Symlink(to, filepath.Join(bin, name)); err != nil && !os.IsExist(err) {
			return "", err
		}
	}
	return bin, nil
}

// cmdStandIn furnishes the script's folder, whose series gets tools that take no time.
func cmdStandIn(ts *testscript.TestScript, neg bool, args []string) {
	path, err := standIn(ts.MkAbs("."))
	ts.Check(err)
	ts.Setenv("PATH", path)
}

// standInELF is a file that the linker package takes for an amd64 kernel's.
func standInELF() ([]byte, error) {
	const names = "\x00.rodata\x00.notes\x00.symtab\x00.strtab\x00.shstrtab\x00"
	const strs = "\x00__start_rodata\x00__end_rodata\x00audit_log\x00audit.c\x00"
	var notes, syms, out bytes.Buffer
	le := binary.LittleEndian
	binary.Write(&notes, le, []uint32{4, 8, 3})
	notes.WriteString("GNU\x00abcdefgh")
	binary.Write(&syms, le, []elf.Sym64{{}, {Name: 39, Info: byte(elf.STT_FILE), Shndx: uint16(elf.SHN_ABS)},
		{Name: 1, Info: 1 << 4, Shndx: 1, Value: 0x1000}, {Name: 16, Info: 1 << 4, Shndx: 1, Value: 0x1040},
		{Name: 29, Info: 1<<4 | byte(elf.STT_FUNC), Shndx: 1, Value: 0x1000, Size: 32}})
	parts := [][]byte{make([]byte, 64), notes.Bytes(), syms.Bytes(), []byte(strs), []byte(names)}
	name := func(s string) uint32 { return uint32(strings.Index(names, s)) }
	table := []elf.Section64{{},
		{Name: name(".rodata"), Type: uint32(elf.SHT_PROGBITS), Flags: uint64(elf.SHF_ALLOC), Addr: 0x1000},
		{Name: name(".notes"), Type: uint32(elf.SHT_NOTE), Flags: uint64(elf.SHF_ALLOC), Addr: 0x1040},
		{Name: name(".symtab"), Type: uint32(elf.SHT_SYMTAB), Link: 4, Info: 1, Entsize: elf.Sym64Size},
		{Name: name(".strtab"), Type: uint32(elf.SHT_STRTAB)},
		{Name: name(".shstrtab"), Type: uint32(elf.SHT_STRTAB)}}
	at := uint64(64)
	for i, p := range parts {
		table[i+1].Off, table[i+1].Size = at, uint64(len(p))
		at += uint64(len(p))
	}
	h := elf.Header64{Type: uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: 1, Shoff: at, Ehsize: 64,
		Shentsize: 64, Shnum: uint16(len(table)), Shstrndx: uint16(len(table) - 1)}
	copy(h.Ident[:], elf.ELFMAG+string([]byte{byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), 1}))
	err := binary.Write(&out, le, h)
	for _, p := range parts {
		out.Write(p)
	}
	if err == nil {
		err = binary.Write(&out, le, table)
	}
	return out.Bytes(), err
}

// standInQEMU is the main of the stand-in for QEMU. Its guest has two tests: TestPlain passes, and TestThirty does where the
// kernel has what the second patch brings; those that the file skips names skip themselves. What it has come to the end of it writes down.
func standInQEMU() {
	args := os.Args[1:]
	home := os.Getenv("HOME")
	switch {
	case slices.Contains(args, "--version"):
		fmt.Println("QEMU emulator version 7.2.22 (stand-in)")
		return
	case slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix(a, "isa-debug-exit") }):
		if slices.Contains(args, "tcg") {
			os.Exit(0x2a<<1 | 1) // what the probe of KVM waits for
		}
		os.Exit(1)
	}
	kernel, err := os.ReadFile(args[slices.Index(args, "-kernel")+1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(fakeqemu.Play("ok", fakeqemu.Options{Program: func(c guest.Command) (string, int) {
		only, bench := "", ""
		for _, a := range c.Argv {
			if v, ok := strings.CutPrefix(a, "-test.run="); ok {
				only = v
			}
			if v, ok := strings.CutPrefix(a, "-test.bench="); ok {
				bench = v
			}
			if a == "-test.list=." {
				return "TestPlain\nTestThirty\n", 0
			}
		}
		skips, _ := os.ReadFile(filepath.Join(home, "skips"))
		thirty := bytes.Contains(kernel, []byte("\nline thirty\n"))
		if _, err := os.Stat(filepath.Join(home, "restored-fails")); err == nil && fakeqemu.Restored() {
			thirty = false
		}
		var b strings.Builder
		status := 0
		for _, t := range []struct {
			name string
			pass bool
		}{{"TestPlain", true}, {"TestThirty", thirty}} {
			if only != "" && only != "^"+t.name+"$" {
				continue
			}
			verdict := "PASS"
			switch {
			case bytes.Contains(skips, []byte(t.name)):
				verdict = "SKIP"
			case !t.pass:
				verdict, status = "FAIL", 1
			}
			fmt.Fprintf(&b, "\x16=== RUN   %s\n\x16--- %s: %s (0.00s)\n", t.name, verdict, t.name)
		}
		if bench != "" {
			figure := map[bool]string{false: "100", true: "110"}[thirty]
			if bytes.Contains(kernel, []byte("GARBAGE")) {
				figure = "NaN"
			}
			if bytes.Contains(skips, []byte("BenchmarkOther")) {
				b.WriteString("\x16=== RUN   BenchmarkOther\nBenchmarkOther\n\x16--- SKIP: BenchmarkOther\n")
			}
			fmt.Fprintf(&b, "BenchmarkLog \t     200\t       %s insns/op\n", figure)
		}
		fmt.Fprintf(&b, "\x16%s\n", map[int]string{0: "PASS", 1: "FAIL"}[status])
		note(filepath.Join(home, "booted"), fmt.Sprintf("%08x %q %q\n", crc32.ChecksumIEEE(kernel), only, c.Env))
		return b.String(), status
	}}))
}

// note appends a line to a file, in one write.
func note(path, line string) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND|syscall.O_CLOEXEC, 0o644)
	if err == nil {
		_, err = f.WriteString(line)
		f.Close()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
