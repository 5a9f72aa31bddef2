// SPDX-License-Identifier: Apache-2.0

// Package delta tells what a patch did to a kernel: which functions and variables grew, shrank, came and went, and how
// the sections changed, read off two vmlinux. Builds are reproducible, so two of the same source differ in nothing, and
// what differs is what the patch did.
package delta

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
)

// An Image is what is compared of an ELF file.
type Image struct {
	// Text, Data and BSS are what size(1) says, in bytes: of whole sections, with the padding in them. x86 pads the text to
	// 2 MiB, so that a patch mostly changes nothing here; the symbols' sizes have no padding.
	Text, Data, BSS int64
	Sections        map[string]Section
	Symbols         map[string]Symbol // by name, without the numbers that gcc puts behind it
	Files           map[string]bool   // names of the source files that were linked in, without folders
}

// A Section is one that is loaded, or any other; those that have one name are taken together.
type Section struct {
	Type  string // "PROGBITS", "NOBITS", ...
	Flags string // as readelf writes them: "AX", "WA"
	Size  int64  // in bytes; 0 where the section is not loaded, since nobody pays for it then
}

// A Kind is what a symbol stands for.
type Kind string

// The kinds.
const (
	Func  Kind = "func"  // code
	Data  Kind = "data"  // a variable, or a constant
	BSS   Kind = "bss"   // a variable that begins as zero
	Label Kind = "label" // a place without a size: linker scripts make them, and assembler
)

// A Symbol is all the symbols of one name: static ones may share it.
type Symbol struct {
	Kind Kind
	Size int64 // in bytes, of all of them
}

// Read reads the ELF file at path. It must not be stripped.
func Read(path string) (*Image, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() { // a pipe would hold us
		return nil, fmt.Errorf("read %s: not a regular file", path)
	}
	f, err := elf.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	defer f.Close()
	im := &Image{Sections: map[string]Section{}, Symbols: map[string]Symbol{}, Files: map[string]bool{}}
	for _, s := range f.Sections {
		im.addSection(s)
	}
	symbols, err := f.Symbols()
	if errors.Is(err, elf.ErrNoSymbols) {
		return nil, fmt.Errorf("read %s: it has no symbols; a stripped file cannot be compared", path)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	for _, s := range symbols {
		im.addSymbol(f, s)
	}
	return im, nil
}

// addSection counts a section the way size(1) does.
func (im *Image) addSection(s *elf.Section) {
	if s.Type == elf.SHT_NULL {
		return
	}
	size := int64(0)
	if s.Flags&elf.SHF_ALLOC != 0 {
		size = int64(s.Size)
		switch {
		case s.Flags&elf.SHF_EXECINSTR != 0 || s.Flags&elf.SHF_WRITE == 0:
			im.Text += size
		case s.Type == elf.SHT_NOBITS:
			im.BSS += size
		default:
			im.Data += size
		}
	}
	have := im.Sections[s.Name]
	im.Sections[s.Name] = Section{Type: strings.TrimPrefix(s.Type.String(), "SHT_"), Flags: flags(s.Flags), Size: have.Size + size}
}

func flags(f elf.SectionFlag) string {
	var b strings.Builder
	for _, x := range []struct {
		flag elf.SectionFlag
		char byte
	}{{elf.SHF_WRITE, 'W'}, {elf.SHF_ALLOC, 'A'}, {elf.SHF_EXECINSTR, 'X'}, {elf.SHF_MERGE, 'M'}, {elf.SHF_STRINGS, 'S'},
		{elf.SHF_INFO_LINK, 'I'}, {elf.SHF_LINK_ORDER, 'L'}, {elf.SHF_GROUP, 'G'}, {elf.SHF_TLS, 'T'}, {elf.SHF_COMPRESSED, 'C'}} {
		if f&x.flag != 0 {
			b.WriteByte(x.char)
		}
	}
	return b.String()
}

var (
	// gcc numbers statics of functions, clones and the like: name.3, name.constprop.0. The numbers of a file change when one
	// is added, and say nothing.
	number = regexp.MustCompile(`\.[0-9]+`)
	// __COUNTER__ is at the end of these, and __LINE__ in an initcall's.
	unique   = regexp.MustCompile(`^(__UNIQUE_ID_\w*?|__addressable_\w*?)_?[0-9]+$`)
	initcall = regexp.MustCompile(`^(__initcall__kmod_\w*?)__[0-9]+_[0-9]+_(\w+)$`)
)

func (im *Image) addSymbol(f *elf.File, s elf.Symbol) {
	if elf.ST_TYPE(s.Info) == elf.STT_FILE {
		im.Files[s.Name] = true
		return
	}
	if s.Section == elf.SHN_UNDEF || s.Name == "" || strings.HasPrefix(s.Name, ".L") {
		return
	}
	sym := Symbol{Size: int64(s.Size)}
	switch elf.ST_TYPE(s.Info) {
	case elf.STT_FUNC, elf.STT_GNU_IFUNC:
		sym.Kind = Func
		if strings.HasPrefix(s.Name, "__pfx_") { // the padding before each function, which has a symbol of its own on x86
			return
		}
	case elf.STT_OBJECT, elf.STT_TLS, elf.STT_COMMON:
		sym.Kind = Data
		if i := int(s.Section); i < len(f.Sections) && f.Sections[i].Type == elf.SHT_NOBITS {
			sym.Kind = BSS
		}
	case elf.STT_NOTYPE:
		if elf.ST_BIND(s.Info) == elf.STB_LOCAL {
			return
		}
		sym.Kind = Label
	default:
		return
	}
	name := number.ReplaceAllString(s.Name, "")
	if strings.HasPrefix(name, "__") {
		name = initcall.ReplaceAllString(unique.ReplaceAllString(name, "$1"), "${1}__$2")
	}
	if name == "" {
		return
	}
	if have, ok := im.Symbols[name]; ok {
		sym.Size += have.Size
		if have.Kind != Label {
			sym.Kind = have.Kind
		}
	}
	im.Symbols[name] = sym
}
