// SPDX-License-Identifier: Apache-2.0

// Package linker says what an ELF file proves about a built kernel.
package linker

import (
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
)

// A Proof is one statement about an ELF file, and whether the file bears it out.
type Proof struct {
	Name   string `json:"name"`
	Pass   bool   `json:"pass"`
	Detail string `json:"detail"` // what was found; for a failed proof also what was wanted
}

// Want says what a vmlinux has to be. The zero value wants nothing of the machine; see Prove for what is always checked.
type Want struct {
	Machine   elf.Machine
	ByteOrder elf.Data
	Present   []string // symbols that have to be there
	Absent    []string // symbols that must not be
}

// noteBuildID is NT_GNU_BUILD_ID of elf.h.
const noteBuildID = 3

// ErrNoBuildID is returned for a file without a GNU build-id note.
var ErrNoBuildID = errors.New("no GNU build-id note")

// Prove opens the vmlinux at path and checks it. Beside what w asks for, a kernel must carry a GNU build-id (by which
// the guest says which kernel it runs), and its read-only data must lie where the kernel will write-protect it. An error
// means that the file is no ELF file that could be judged.
func Prove(path string, w Want) ([]Proof, error) {
	f, err := openELF(path)
	if err != nil {
		return nil, fmt.Errorf("prove: %w", err)
	}
	defer f.close()
	symbols, err := f.syms()
	if err != nil {
		return nil, fmt.Errorf("prove: %w", err)
	}
	value := make(map[string]uint64, len(symbols))
	for _, s := range symbols {
		if s.Section != elf.SHN_UNDEF {
			value[s.Name] = s.Value
		}
	}
	proofs := []Proof{machine(f.File, w), buildID(f.File), rodata(f.File, value)}
	for _, name := range w.Present {
		_, ok := value[name]
		proofs = append(proofs, Proof{"symbol " + name, ok, found(ok) + ", wanted"})
	}
	for _, name := range w.Absent {
		_, ok := value[name]
		proofs = append(proofs, Proof{"no symbol " + name, !ok, found(ok) + ", not wanted"})
	}
	return proofs, nil
}

func found(ok bool) string {
	if ok {
		return "present"
	}
	return "absent"
}

func machine(f *elf.File, w Want) Proof {
	p := Proof{Name: "machine", Pass: true, Detail: fmt.Sprintf("%s %s %s", f.Class, f.Data, f.Machine)}
	if w.Machine != 0 && (f.Class != elf.ELFCLASS64 || f.Machine != w.Machine || f.Data != w.ByteOrder) {
		p.Pass = false
		p.Detail += fmt.Sprintf(", want %s %s %s", elf.ELFCLASS64, w.ByteOrder, w.Machine)
	}
	return p
}

// BuildID returns the GNU build-id of the ELF file at path, in hex.
func BuildID(path string) (string, error) {
	f, err := openELF(path)
	if err != nil {
		return "", fmt.Errorf("build-id: %w", err)
	}
	defer f.close()
	id, err := readBuildID(f.File)
	if err != nil {
		return "", fmt.Errorf("build-id of %s: %w", path, err)
	}
	return id, nil
}

func buildID(f *elf.File) Proof {
	id, err := readBuildID(f)
	if err != nil {
		return Proof{"build-id", false, err.Error()}
	}
	return Proof{"build-id", true, id}
}

// readBuildID looks through the note sections: vmlinux keeps its notes in one output section, .notes, whatever the input
// sections were called.
func readBuildID(f *elf.File) (string, error) {
	for _, s := range f.Sections {
		if s.Type != elf.SHT_NOTE {
			continue
		}
		b, err := io.ReadAll(io.LimitReader(s.Open(), 1<<20))
		if err != nil {
			return "", err
		}
		for len(b) >= 12 {
			name, desc, typ := f.ByteOrder.Uint32(b), f.ByteOrder.Uint32(b[4:]), f.ByteOrder.Uint32(b[8:])
			nameEnd := 12 + align4(uint64(name))
			end := nameEnd + align4(uint64(desc))
			if end > uint64(len(b)) {
				break
			}
			if typ == noteBuildID && strings.TrimRight(string(b[12:12+uint64(name)]), "\x00") == "GNU" && desc > 0 {
				return hex.EncodeToString(b[nameEnd : nameEnd+uint64(desc)]), nil
			}
			b = b[end:]
		}
	}
	return "", ErrNoBuildID
}

func align4(n uint64) uint64 { return (n + 3) &^ 3 }

// rodata checks that .rodata lies between the bounds that mark_rodata_ro() uses.
func rodata(f *elf.File, value map[string]uint64) Proof {
	p := Proof{Name: "rodata"}
	s := f.Section(".rodata")
	start, okStart := value["__start_rodata"]
	end, okEnd := value["__end_rodata"]
	switch {
	case s == nil:
		p.Detail = "no section .rodata"
	case !okStart || !okEnd:
		p.Detail = "no symbols __start_rodata and __end_rodata"
	case s.Addr < start || s.Addr+s.Size > end:
		p.Detail = fmt.Sprintf(".rodata %#x-%#x lies outside of %#x-%#x", s.Addr, s.Addr+s.Size, start, end)
	default:
		p.Pass = true
		p.Detail = fmt.Sprintf("%#x-%#x within %#x-%#x", s.Addr, s.Addr+s.Size, start, end)
	}
	return p
}
