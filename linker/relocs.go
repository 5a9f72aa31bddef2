// SPDX-License-Identifier: Apache-2.0

package linker

import (
	"debug/elf"
	"fmt"
	"io"
	"strings"
)

// Relocs counts the relocations that are to be applied to one input section.
type Relocs struct {
	Types  map[string]int `json:"types,omitempty"` // by name, such as R_X86_64_PC32
	Local  int            `json:"local"`           // against a symbol of the same file that is not global
	Global int            `json:"global"`          // against a symbol that is global, defined in the file or not
}

func (r Relocs) total() int { return r.Local + r.Global }

// relative tells whether all relocations are place-relative ones, which need no change when the image moves.
func (r Relocs) relative() bool {
	for name := range r.Types {
		if !strings.Contains(name, "PC32") && !strings.Contains(name, "PC64") && !strings.Contains(name, "REL32") && !strings.Contains(name, "REL64") {
			return false
		}
	}
	return len(r.Types) > 0
}

// relocs reads the relocations of the section with index i.
func (e *elfFile) relocs(i int) (Relocs, error) {
	r := Relocs{Types: map[string]int{}}
	for _, s := range e.Sections {
		if s.Type != elf.SHT_RELA && s.Type != elf.SHT_REL || int64(s.Info) != int64(i) {
			continue
		}
		if s.Flags&elf.SHF_COMPRESSED != 0 {
			return r, fmt.Errorf("%s: section %s is compressed, which no relocations may be", e.path, show(s.Name))
		}
		size := map[bool]map[elf.SectionType]int{
			true:  {elf.SHT_RELA: 24, elf.SHT_REL: 16},
			false: {elf.SHT_RELA: 12, elf.SHT_REL: 8},
		}[e.Class == elf.ELFCLASS64][s.Type]
		if s.Size%uint64(size) != 0 {
			return r, fmt.Errorf("%s: section %s is of %d bytes, which is no multiple of %d", e.path, show(s.Name), s.Size, size)
		}
		b, err := io.ReadAll(s.Open())
		if err != nil {
			return r, fmt.Errorf("%s: section %s: %w", e.path, show(s.Name), err)
		}
		for ; len(b) >= size; b = b[size:] {
			if err := r.add(e, b); err != nil {
				return r, err
			}
		}
	}
	return r, nil
}

// add counts one entry.
func (r *Relocs) add(e *elfFile, b []byte) error {
	var typ, sym uint32
	if e.Class == elf.ELFCLASS64 {
		info := e.ByteOrder.Uint64(b[8:])
		typ, sym = elf.R_TYPE64(info), elf.R_SYM64(info)
	} else {
		info := e.ByteOrder.Uint32(b[4:])
		typ, sym = elf.R_TYPE32(info), elf.R_SYM32(info)
	}
	r.Types[relocName(e.Machine, typ)]++
	all, err := e.syms()
	if err != nil {
		return err
	}
	switch { // debug/elf leaves out the null symbol, which is index 0
	case sym == 0:
		r.Local++
	case int64(sym) > int64(len(all)):
		return fmt.Errorf("%s: a relocation refers to symbol %d of %d", e.path, sym, len(all))
	case elf.ST_BIND(all[sym-1].Info) == elf.STB_LOCAL:
		r.Local++
	default:
		r.Global++
	}
	return nil
}

func relocName(m elf.Machine, typ uint32) string {
	switch m {
	case elf.EM_X86_64:
		return elf.R_X86_64(typ).String()
	case elf.EM_386:
		return elf.R_386(typ).String()
	case elf.EM_PPC64:
		return elf.R_PPC64(typ).String()
	case elf.EM_PPC:
		return elf.R_PPC(typ).String()
	case elf.EM_AARCH64:
		return elf.R_AARCH64(typ).String()
	case elf.EM_ARM:
		return elf.R_ARM(typ).String()
	case elf.EM_RISCV:
		return elf.R_RISCV(typ).String()
	case elf.EM_S390:
		return elf.R_390(typ).String()
	}
	return fmt.Sprintf("type %d", typ)
}
