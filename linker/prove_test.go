// SPDX-License-Identifier: Apache-2.0

package linker

import (
	"context"
	"debug/elf"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seriesrig/series/internal/need"
	"github.com/seriesrig/series/internal/run"
)

// source stands for a kernel: a function, read-only data, and a place to start.
const source = `
const char banner[] = "Linux";
int kauditd_wakeup(void) { return banner[0]; }
void _start(void) { kauditd_wakeup(); }
`

// script puts .rodata inside (or, with moved bounds, outside) the kernel's bounds.
const imageScript = `
SECTIONS {
	.text : { *(.text*) }
	.notes : { *(.note.gnu.build-id) }
	. = ALIGN(4096);
	__start_rodata = . + OFFSET;
	.rodata : { *(.rodata*) }
	. = ALIGN(4096);
	__end_rodata = . + OFFSET;
}
`

// image links a small stand-in for vmlinux with the host's compiler.
func image(t *testing.T, offset string, flags ...string) string {
	t.Helper()
	gcc := need.Tool(t, "gcc")
	dir := t.TempDir()
	for name, text := range map[string]string{"a.c": source, "a.lds": strings.ReplaceAll(imageScript, "OFFSET", offset)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out := filepath.Join(dir, "vmlinux")
	args := append([]string{"-nostdlib", "-static", "-fno-asynchronous-unwind-tables", "-Wl,-T,a.lds", "-o", out, "a.c"}, flags...)
	if err := (run.Cmd{Name: gcc, Args: args, Dir: dir}).Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	return out
}

func failed(proofs []Proof) []string {
	var names []string
	for _, p := range proofs {
		if !p.Pass {
			names = append(names, p.Name)
		}
	}
	return names
}

func TestProve(t *testing.T) {
	host := Want{Machine: elf.EM_X86_64, ByteOrder: elf.ELFDATA2LSB, Present: []string{"kauditd_wakeup"}, Absent: []string{"nothing"}}
	good := image(t, "0", "-Wl,--build-id=sha1")
	tests := []struct {
		name, path string
		want       Want
		failed     string
	}{
		{"good", good, host, ""},
		{"other machine", good, Want{Machine: elf.EM_PPC64, ByteOrder: elf.ELFDATA2MSB}, "machine"},
		{"other byte order", good, Want{Machine: elf.EM_X86_64, ByteOrder: elf.ELFDATA2MSB}, "machine"},
		{"missing symbol", good, Want{Present: []string{"nothing"}}, "symbol nothing"},
		{"unwanted symbol", good, Want{Absent: []string{"banner"}}, "no symbol banner"},
		{"no build-id", image(t, "0", "-Wl,--build-id=none"), host, "build-id"},
		{"rodata out of bounds", image(t, "16", "-Wl,--build-id=sha1"), host, "rodata"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			proofs, err := Prove(tt.path, tt.want)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(failed(proofs), ","); got != tt.failed {
				t.Errorf("Prove failed %q, want %q: %+v", got, tt.failed, proofs)
			}
		})
	}
}

func TestBuildID(t *testing.T) {
	id, err := BuildID(image(t, "0", "-Wl,--build-id=0x0123456789abcdef"))
	if err != nil || id != "0123456789abcdef" {
		t.Errorf("BuildID = %q, %v; want 0123456789abcdef", id, err)
	}
	if _, err := BuildID(image(t, "0", "-Wl,--build-id=none")); !errors.Is(err, ErrNoBuildID) {
		t.Errorf("BuildID of a file without = %v, want ErrNoBuildID", err)
	}
}

// TestHostile cuts and spoils an image everywhere in its headers: an error or a failed proof, never a panic.
func TestHostile(t *testing.T) {
	b, err := os.ReadFile(image(t, "0", "-Wl,--build-id=sha1"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "vmlinux")
	try := func(b []byte) {
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		Prove(path, Want{})
		BuildID(path)
	}
	for n := 0; n < len(b); n += 1 + len(b)/200 {
		try(b[:n])
	}
	for i := range 64 {
		c := append([]byte(nil), b...)
		c[i] ^= 0xff
		try(c)
	}
	if _, err := Prove(os.DevNull, Want{}); err == nil {
		t.Error("Prove of an empty file: no error")
	}
}
