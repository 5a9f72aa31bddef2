// SPDX-License-Identifier: Apache-2.0

package counts

import (
	"bufio"
	"cmp"
	"debug/elf"
	"fmt"
	"io"
	"slices"
	"strings"
)

// The names of what is no function of the kernel.
const (
	// Program is all that is executed below the kernel's addresses: programs, and on amd64 nothing else.
	Program = "[program]"
	// Other is what the kernel executes outside of its image: modules, BPF programs, what it has written itself.
	Other = "[other]"
)

// A Map divides memory into the functions of a kernel.
type Map struct {
	starts []uint64 // ascending; piece i+1 begins at starts[i], and piece 0 lies below
	names  []string // of pieces 1 and on
}

// ReadMap reads the functions of a vmlinux. What the assembler made and gave no type or size counts as a function up to the
// next one. Parts that the compiler split off (.cold, .part.0) belong to the function that they were split off.
func ReadMap(vmlinux string) (*Map, error) {
	f, err := elf.Open(vmlinux)
	if err != nil {
		return nil, fmt.Errorf("map of functions: %w", err)
	}
	defer f.Close()
	symbols, err := f.Symbols()
	if err != nil {
		return nil, fmt.Errorf("map of functions: %s: %w", vmlinux, err)
	}
	m := &Map{}
	m.add(f, symbols)
	if len(m.starts) == 0 {
		return nil, fmt.Errorf("map of functions: %s: no function in it", vmlinux)
	}
	return m, nil
}

type mark struct {
	addr uint64
	name string
	rank int // of several names for an address the one with the lowest stays
}

func (m *Map) add(f *elf.File, symbols []elf.Symbol) {
	var all []mark
	end := vectors(symbols)
	for _, s := range symbols {
		i := int(s.Section)
		if i <= 0 || i >= len(f.Sections) || f.Sections[i].Flags&elf.SHF_EXECINSTR == 0 || s.Value == 0 ||
			s.Value >= f.Sections[i].Addr+f.Sections[i].Size { // a mark of where it ends
			continue
		}
		kind, bind := elf.ST_TYPE(s.Info), elf.ST_BIND(s.Info)
		name := functionOf(s.Name)
		if name == "" || kind != elf.STT_FUNC && kind != elf.STT_NOTYPE {
			continue
		}
		rank := 0
		if kind == elf.STT_NOTYPE {
			rank += 4
		}
		if bind == elf.STB_LOCAL {
			rank += 2
		}
		switch { // a system call without arguments is one function for all ABIs
		case strings.HasPrefix(name, "__ia32_"):
			rank += 2
		case strings.HasPrefix(name, "__"):
			rank++
		}
		all = append(all, mark{s.Value, name, rank})
		if low := s.Value &^ realMode; f.Machine == elf.EM_PPC64 && low > 0 && low < end {
			// An interrupt may begin with the address translation off, at the same place in physical memory.
			all = append(all, mark{low, name, rank})
		}
	}
	if f.Machine == elf.EM_PPC64 && end > 0 {
		all = append(all, mark{end, Program, 0})
	}
	for _, s := range f.Sections {
		if s.Flags&elf.SHF_EXECINSTR != 0 && s.Addr != 0 {
			all = append(all, mark{s.Addr + s.Size, Other, 8})
		}
	}
	slices.SortStableFunc(all, func(a, b mark) int {
		return cmp.Or(cmp.Compare(a.addr, b.addr), cmp.Compare(a.rank, b.rank), strings.Compare(a.name, b.name))
	})
	for _, s := range all {
		if n := len(m.starts); n == 0 || m.starts[n-1] != s.addr {
			m.starts, m.names = append(m.starts, s.addr), append(m.names, s.name)
		}
	}
}

// realMode are the bits of a kernel address on ppc64 that are not in the physical one.
const realMode = uint64(0xf) << 60

// vectors is where the interrupt vectors of ppc64 end, in physical memory; 0 where they are not known.
func vectors(symbols []elf.Symbol) uint64 {
	for _, s := range symbols {
		if s.Name == "__end_interrupts" {
			return s.Value &^ realMode
		}
	}
	return 0
}

// functionOf is the function that a symbol belongs to, or "" if it is none: a label, or a mark of the compiler's.
func functionOf(name string) string {
	name = strings.TrimPrefix(name, ".") // of the first ABI of ppc64, where the plain name is a descriptor
	if name == "" || strings.HasPrefix(name, "L") && strings.ContainsAny(name, "$\x01\x02") || strings.HasPrefix(name, "$") {
		return ""
	}
	for _, split := range []string{".cold", ".part.", ".constprop.", ".isra.", ".lto_priv."} {
		if i := strings.Index(name, split); i > 0 {
			name = name[:i]
		}
	}
	return name
}

// name is that of a piece.
func (m *Map) name(piece int) string {
	if piece == 0 {
		return Program
	}
	return m.names[piece-1]
}

// WriteTo writes the addresses for the plugin.
func (m *Map) WriteTo(w io.Writer) (int64, error) {
	b := bufio.NewWriter(w)
	n := int64(0)
	for _, addr := range m.starts {
		k, _ := fmt.Fprintf(b, "%x\n", addr)
		n += int64(k)
	}
	return n, b.Flush()
}
