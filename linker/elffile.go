// SPDX-License-Identifier: Apache-2.0

package linker

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
)

// An elfFile is an ELF file whose section table has been checked against the file: no section that takes room in it
// reaches beyond its end. What sections say is still to be doubted.
type elfFile struct {
	*elf.File
	path    string
	symbols []elf.Symbol
	closer  io.Closer
}

// openELF opens a regular file. Errors carry its path.
func openELF(path string) (*elfFile, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() { // a pipe would hold us
		return nil, fmt.Errorf("%s: not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	e, err := readELF(path, f, fi.Size())
	if err != nil {
		f.Close()
		return nil, err
	}
	e.closer = f
	return e, nil
}

// bitcode is how LLVM's object files begin when they are not ELF ones.
const bitcode = "BC\xc0\xde"

// errBitcode is no fault of the file; its sections do not exist yet.
var errBitcode = errors.New("LLVM bitcode, not ELF: what becomes of it is decided when it is linked")

func readELF(path string, r io.ReaderAt, size int64) (*elfFile, error) {
	var head [4]byte
	n, _ := r.ReadAt(head[:], 0)
	switch {
	case string(head[:n]) == bitcode:
		return nil, fmt.Errorf("%s: %w", path, errBitcode)
	case string(head[:n]) != elf.ELFMAG:
		return nil, fmt.Errorf("%s: not an ELF file", path)
	}
	f, err := elf.NewFile(io.NewSectionReader(r, 0, size))
	if err != nil {
		return nil, fmt.Errorf("%s: broken or truncated ELF file: %w", path, err)
	}
	if len(f.Sections) == 0 {
		return nil, fmt.Errorf("%s: no section headers: stripped of them, or truncated", path)
	}
	for _, s := range f.Sections {
		if s.Type != elf.SHT_NOBITS && s.Type != elf.SHT_NULL && (s.Offset > uint64(size) || s.FileSize > uint64(size)-s.Offset) {
			return nil, fmt.Errorf("%s: truncated: section %s ends at byte %d of %d", path, show(s.Name), s.Offset+s.FileSize, size)
		}
		if s.Flags&elf.SHF_ALLOC != 0 && s.Addr+s.Size < s.Addr {
			return nil, fmt.Errorf("%s: section %s wraps around the end of the address space", path, show(s.Name))
		}
	}
	return &elfFile{File: f, path: path}, nil
}

func (e *elfFile) close() {
	if e.closer != nil {
		e.closer.Close()
	}
}

// errNoSymbols says why nothing can be said about a file.
var errNoSymbols = errors.New("no symbol table: the file is stripped")

// syms reads the symbol table once.
func (e *elfFile) syms() ([]elf.Symbol, error) {
	if e.symbols != nil {
		return e.symbols, nil
	}
	for _, s := range e.Sections {
		// Decompression is how a small file makes a large one; no linker compresses these.
		if (s.Type == elf.SHT_SYMTAB || s.Type == elf.SHT_STRTAB) && s.Flags&elf.SHF_COMPRESSED != 0 {
			return nil, fmt.Errorf("%s: section %s is compressed, which no symbol or string table may be", e.path, show(s.Name))
		}
	}
	all, err := e.Symbols()
	switch {
	case errors.Is(err, elf.ErrNoSymbols) || err == nil && len(all) == 0:
		return nil, fmt.Errorf("%s: %w", e.path, errNoSymbols)
	case err != nil:
		return nil, fmt.Errorf("%s: symbol table: %w", e.path, err)
	}
	e.symbols = all
	return all, nil
}

// symbol finds the value of a global symbol that the file defines. Two of one name that differ are an error: which of
// them the kernel goes by cannot be told.
func (e *elfFile) symbol(name string) (value uint64, ok bool, err error) {
	all, err := e.syms()
	if err != nil {
		return 0, false, err
	}
	for _, s := range all {
		if s.Name != name || s.Section == elf.SHN_UNDEF || elf.ST_BIND(s.Info) == elf.STB_LOCAL {
			continue
		}
		if ok && s.Value != value {
			return 0, false, fmt.Errorf("%s: symbol %s is there twice, at %#x and %#x", e.path, name, value, s.Value)
		}
		value, ok = s.Value, true
	}
	return value, ok, nil
}

// named returns the sections of a name. An object file may have several; a linked one has no reason to.
func (e *elfFile) named(name string) []*elf.Section {
	var found []*elf.Section
	for _, s := range e.Sections {
		if s.Name == name && s.Type != elf.SHT_NULL {
			found = append(found, s)
		}
	}
	return found
}

// noSection says that a section is not there, and which names are near.
func (e *elfFile) noSection(name string) error {
	var names []string
	for _, s := range e.Sections {
		if s.Name != "" && s.Flags&elf.SHF_ALLOC != 0 && !slices.Contains(names, s.Name) && len(s.Name) < 200 {
			names = append(names, s.Name)
		}
	}
	msg := fmt.Sprintf("%s: no section %s", e.path, show(name))
	if near := nearest(name, names); len(near) > 0 {
		for i := range near {
			near[i] = show(near[i])
		}
		msg += " (nearest: " + strings.Join(near, ", ") + ")"
	}
	return &NoSectionError{Section: name, msg: msg}
}

// A NoSectionError says that a file has no section of the name asked for.
type NoSectionError struct {
	Section string
	msg     string
}

func (e *NoSectionError) Error() string { return e.msg }

// nearest returns the up to three names of the least edit distance to name, unless nothing is common to them.
func nearest(name string, names []string) []string {
	type scored struct {
		name string
		d    int
	}
	var all []scored
	for _, n := range names {
		d := distance(name, n)
		if strings.Contains(n, strings.Trim(name, "._")) && len(strings.Trim(name, "._")) > 2 {
			d = min(d, 1)
		}
		if d <= max(2, len(name)/2) {
			all = append(all, scored{n, d})
		}
	}
	slices.SortStableFunc(all, func(a, b scored) int { return a.d - b.d })
	var out []string
	for _, s := range all[:min(3, len(all))] {
		out = append(out, s.name)
	}
	return out
}

// distance is Levenshtein's, over bytes. The names are short; see noSection.
func distance(a, b string) int {
	if len(a) > 200 {
		a = a[:200]
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		last := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := last
			if a[i] != b[j] {
				cost++
			}
			last = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}

// show prints a name of a file's as it is when it is plain, and quoted when it could do something to a terminal or a
// table. Long names are cut.
func show(name string) string {
	if len(name) > 120 {
		name = name[:120] + "..."
	}
	if q := strconv.QuoteToASCII(name); name == "" || q != `"`+name+`"` || strings.ContainsAny(name, " ") {
		return q
	}
	return name
}

// flagLetters are those of readelf, in its order.
var flagLetters = []struct {
	flag   elf.SectionFlag
	letter byte
}{
	{elf.SHF_WRITE, 'W'}, {elf.SHF_ALLOC, 'A'}, {elf.SHF_EXECINSTR, 'X'}, {elf.SHF_MERGE, 'M'}, {elf.SHF_STRINGS, 'S'},
	{elf.SHF_INFO_LINK, 'I'}, {elf.SHF_LINK_ORDER, 'L'}, {elf.SHF_OS_NONCONFORMING, 'O'}, {elf.SHF_GROUP, 'G'},
	{elf.SHF_TLS, 'T'}, {elf.SHF_COMPRESSED, 'C'}, {1 << 21, 'R'}, // SHF_GNU_RETAIN
}

func flags(f elf.SectionFlag) string {
	var b strings.Builder
	for _, l := range flagLetters {
		if f&l.flag != 0 {
			b.WriteByte(l.letter)
		}
	}
	if b.Len() == 0 {
		return "-"
	}
	return b.String()
}
