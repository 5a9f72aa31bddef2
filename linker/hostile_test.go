// SPDX-License-Identifier: Apache-2.0

package linker

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A section of a made-up ELF file.
type fakeSection struct {
	name  string
	typ   elf.SectionType
	flags elf.SectionFlag
	addr  uint64
	data  []byte
	size  uint64 // 0 means len(data)
	link  uint32
	info  uint32
}

// fakeSymbol is a global symbol in section 1.
type fakeSymbol struct {
	name  string
	value uint64
}

// fakeELF writes a 64-bit ELF file of the given order with these sections and symbols.
func fakeELF(order binary.ByteOrder, typ elf.Type, sections []fakeSection, symbols []fakeSymbol) []byte {
	data := elf.ELFDATA2LSB
	if order == binary.BigEndian {
		data = elf.ELFDATA2MSB
	}
	all := append([]fakeSection{{}}, sections...)
	if symbols != nil {
		strtab := []byte{0}
		var syms bytes.Buffer
		binary.Write(&syms, order, elf.Sym64{})
		for _, s := range symbols {
			binary.Write(&syms, order, elf.Sym64{Name: uint32(len(strtab)), Info: uint8(elf.STB_GLOBAL)<<4 | uint8(elf.STT_NOTYPE), Shndx: 1, Value: s.value})
			strtab = append(append(strtab, s.name...), 0)
		}
		n := uint32(len(all))
		all = append(all, fakeSection{name: ".symtab", typ: elf.SHT_SYMTAB, data: syms.Bytes(), link: n + 1, info: 1},
			fakeSection{name: ".strtab", typ: elf.SHT_STRTAB, data: strtab})
	}
	names := []byte{0}
	var nameAt []uint32
	all = append(all, fakeSection{name: ".shstrtab", typ: elf.SHT_STRTAB})
	for _, s := range all {
		nameAt = append(nameAt, uint32(len(names)))
		names = append(append(names, s.name...), 0)
	}
	all[len(all)-1].data = names
	const header = 64
	var body bytes.Buffer
	var table []elf.Section64
	for i, s := range all {
		size := s.size
		if size == 0 {
			size = uint64(len(s.data))
		}
		h := elf.Section64{Name: nameAt[i], Type: uint32(s.typ), Flags: uint64(s.flags), Addr: s.addr, Off: header + uint64(body.Len()),
			Size: size, Link: s.link, Info: s.info, Addralign: 1}
		if s.typ == elf.SHT_SYMTAB {
			h.Entsize = 24
		}
		table = append(table, h)
		body.Write(s.data)
	}
	var out bytes.Buffer
	h := elf.Header64{Type: uint16(typ), Machine: uint16(elf.EM_X86_64), Version: 1, Shoff: header + uint64(body.Len()), Ehsize: header,
		Phentsize: 56, Shentsize: 64, Shnum: uint16(len(all)), Shstrndx: uint16(len(all) - 1)}
	copy(h.Ident[:], elf.ELFMAG)
	h.Ident[elf.EI_CLASS], h.Ident[elf.EI_DATA], h.Ident[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(data), 1
	binary.Write(&out, order, h)
	out.Write(body.Bytes())
	binary.Write(&out, order, table)
	return out.Bytes()
}

func table(f elf.SectionFlag) fakeSection {
	return fakeSection{name: ".table", typ: elf.SHT_PROGBITS, flags: f, addr: 0x1000, data: make([]byte, 64)}
}

var (
	bounds = []fakeSymbol{{"__start_rodata", 0x1000}, {"__end_rodata", 0x2000}}
	text   = []fakeSymbol{{"__start_rodata", 0x8000}, {"__end_rodata", 0x9000}, {"_stext", 0x1000}, {"_etext", 0x2000}}
	alloc  = elf.SHF_ALLOC
	write  = elf.SHF_ALLOC | elf.SHF_WRITE
)

func file(t testing.TB, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestVerdicts judges made-up kernels, one of them good, in both byte orders.
func TestVerdicts(t *testing.T) {
	le := binary.LittleEndian
	for _, tt := range []struct {
		name string
		file []byte
		want Verdict
		why  string
	}{
		{"good", fakeELF(le, elf.ET_EXEC, []fakeSection{table(alloc)}, bounds), ReadOnly, "no SHF_WRITE (A), and within"},
		{"good, foreign order", fakeELF(binary.BigEndian, elf.ET_EXEC, []fakeSection{table(alloc)}, bounds), ReadOnly, "no SHF_WRITE (A), and within"},
		{"writable", fakeELF(le, elf.ET_EXEC, []fakeSection{table(write)}, bounds), Writable, "SHF_WRITE (WA)"},
		{"not allocated", fakeELF(le, elf.ET_EXEC, []fakeSection{table(0)}, bounds), Unknown, "not in memory"},
		{"empty", fakeELF(le, elf.ET_EXEC, []fakeSection{{name: ".table", typ: elf.SHT_PROGBITS, flags: alloc, addr: 0x1000}}, bounds), Unknown, "empty"},
		{"empty, as ld.bfd makes it", fakeELF(le, elf.ET_EXEC, []fakeSection{{name: ".table", typ: elf.SHT_PROGBITS, flags: elf.SHF_WRITE, addr: 0x1000}}, bounds), Unknown, "empty"},
		{"below the bounds", fakeELF(le, elf.ET_EXEC, []fakeSection{table(alloc)}, []fakeSymbol{{"__start_rodata", 0x1001}, {"__end_rodata", 0x2000}}), Writable, "outside of"},
		{"above the bounds", fakeELF(le, elf.ET_EXEC, []fakeSection{table(alloc)}, []fakeSymbol{{"__start_rodata", 0x1000}, {"__end_rodata", 0x103f}}), Writable, "outside of"},
		{"no bounds", fakeELF(le, elf.ET_EXEC, []fakeSection{table(alloc)}, bounds[:1]), Unknown, "no __start_rodata and __end_rodata"},
		{"a writable section over it", fakeELF(le, elf.ET_EXEC, []fakeSection{table(alloc),
			{name: ".sly", typ: elf.SHT_NOBITS, flags: write, addr: 0xfff, size: 2}}, bounds), Writable, "section .sly (WA) lies over it"},
		{"a writable section behind it", fakeELF(le, elf.ET_EXEC, []fakeSection{table(alloc),
			{name: ".data", typ: elf.SHT_NOBITS, flags: write, addr: 0x1040, size: 2}}, bounds), ReadOnly, "no SHF_WRITE"},
		{"in the kernel's code", fakeELF(le, elf.ET_EXEC, []fakeSection{table(alloc)}, text), ReadOnly, "within _stext.._etext"},
		{"in the kernel's code, writable", fakeELF(le, elf.ET_EXEC, []fakeSection{table(write)}, text), Writable, "SHF_WRITE (WA)"},
		{"half in the kernel's code", fakeELF(le, elf.ET_EXEC, []fakeSection{table(alloc)}, append(text[:3:3], fakeSymbol{"_etext", 0x103f})), Writable, "outside of"},
		{"object of two sections", fakeELF(le, elf.ET_REL, []fakeSection{table(alloc), table(write)}, bounds), Writable, "SHF_WRITE (WA)"},
		{"module", fakeELF(le, elf.ET_REL, []fakeSection{table(alloc), {name: ".gnu.linkonce.this_module", typ: elf.SHT_PROGBITS, flags: write, data: make([]byte, 8)}}, bounds), ReadOnly, "MOD_RODATA"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x, err := Explain(context.Background(), file(t, "vmlinux", tt.file), ".table", Inputs{})
			if err != nil {
				t.Fatal(err)
			}
			if why := strings.Join(x.Why, "\n"); x.Verdict != tt.want || !strings.Contains(why, tt.why) {
				t.Errorf("verdict %s because %q, want %s because of %q", x.Verdict, why, tt.want, tt.why)
			}
			passed := len(failed(x.Proofs())) == 0
			if passed != (tt.want == ReadOnly) {
				t.Errorf("proofs pass: %t, want %t: %+v", passed, tt.want == ReadOnly, x.Proofs())
			}
			if c := x.Control(); c.Pass != (tt.want == Writable) {
				t.Errorf("as a control of what is writable: %+v", c)
			}
			var b strings.Builder
			if err := x.WriteText(&b); err != nil || !strings.Contains(b.String(), "is "+string(tt.want)) {
				t.Errorf("WriteText: %v\n%s", err, b.String())
			}
		})
	}
}

// TestRefused wants one clear error for what cannot be judged.
func TestRefused(t *testing.T) {
	le := binary.LittleEndian
	good := fakeELF(le, elf.ET_EXEC, []fakeSection{table(alloc)}, bounds)
	longName := strings.Repeat("x", 5000)
	for _, tt := range []struct {
		name, section string
		file          []byte
		want          string
	}{
		{"nothing", ".table", nil, "not an ELF file"},
		{"text", ".table", []byte("!<arch>\n"), "not an ELF file"},
		{"bitcode", ".table", []byte("BC\xc0\xde...."), "LLVM bitcode"},
		{"only a magic", ".table", []byte(elf.ELFMAG), "broken or truncated"},
		{"cut in the middle", ".table", good[:len(good)/2], "broken or truncated"},
		{"stripped", ".table", fakeELF(le, elf.ET_EXEC, []fakeSection{table(alloc)}, nil), "no symbol table: the file is stripped"},
		{"object without symbols", ".table", fakeELF(le, elf.ET_REL, []fakeSection{table(alloc)}, nil), "no symbol table"},
		{"no such section", ".tabel", good, "no section .tabel (nearest: .table)"},
		{"no such section, nothing near", ".quite_another", good, "no section .quite_another"},
		{"no name", "", good, "no section named"},
		{"section longer than the file", ".table", fakeELF(le, elf.ET_EXEC, []fakeSection{{name: ".table", typ: elf.SHT_PROGBITS, flags: alloc, addr: 0x1000, size: 1 << 60}}, bounds), "truncated: section .table"},
		{"wraps", ".table", fakeELF(le, elf.ET_EXEC, []fakeSection{{name: ".table", typ: elf.SHT_NOBITS, flags: alloc, addr: 1<<64 - 8, size: 64}}, bounds), "wraps around"},
		{"two of the name", ".table", fakeELF(le, elf.ET_EXEC, []fakeSection{table(alloc), table(write)}, bounds), "2 sections are named .table"},
		{"bounds there twice", ".table", fakeELF(le, elf.ET_EXEC, []fakeSection{table(alloc)}, append(bounds[:2:2], fakeSymbol{"__end_rodata", 0x9000})), "symbol __end_rodata is there twice"},
		{"core file", ".table", fakeELF(le, elf.ET_CORE, []fakeSection{table(alloc)}, bounds), "type ET_CORE"},
		{"escape sequences", "\x1b[31m", good, `no section "\x1b[31m"`},
		{"hostile names", ".table", fakeELF(le, elf.ET_EXEC, []fakeSection{table(alloc), {name: "\x1b]0;" + longName, typ: elf.SHT_PROGBITS, flags: alloc, addr: 0x3000, size: 1 << 40}}, bounds), `truncated: section "\x1b]0;`},
		{"huge count of sections", ".table", patched(good, 60, 0xff, 0xfe), "broken or truncated"},
		{"no count of sections", ".table", patched(good, 60, 0, 0), "broken or truncated"},
		{"section table beyond the end", ".table", patched(good, 46, 0x7f), "broken or truncated"},
		{"names in another section", ".table", patched(good, 62, 3), "no section .table"},
		{"compressed symbols", ".table", compressed(good), "is compressed"},
		{"odd relocations", ".table", fakeELF(le, elf.ET_REL, []fakeSection{table(alloc), {name: ".rela.table", typ: elf.SHT_RELA, info: 1, data: make([]byte, 25)}}, bounds), "no multiple of 24"},
		{"relocation against nothing", ".table", fakeELF(le, elf.ET_REL, []fakeSection{table(alloc), {name: ".rela.table", typ: elf.SHT_RELA, info: 1, data: bytes.Repeat([]byte{0x7f}, 24)}}, bounds), "refers to symbol"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x, err := Explain(context.Background(), file(t, "vmlinux", tt.file), tt.section, Inputs{})
			if err == nil {
				t.Fatalf("no error, verdict %s", x.Verdict)
			}
			msg := err.Error()
			if !strings.Contains(msg, tt.want) || strings.ContainsAny(msg, "\x1b\n") || len(msg) > 600 {
				t.Errorf("error %q, want one line with %q", msg, tt.want)
			}
		})
	}
	var none *NoSectionError
	if _, err := Explain(context.Background(), file(t, "vmlinux", good), ".tabel", Inputs{}); !errors.As(err, &none) || none.Section != ".tabel" {
		t.Errorf("error %v, want a NoSectionError", err)
	}
	if _, err := Explain(context.Background(), t.TempDir(), ".table", Inputs{}); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a folder: %v, want that it is not a regular file", err)
	}
}

// patched writes bytes into the file at an offset.
func patched(b []byte, at int, with ...byte) []byte {
	b = bytes.Clone(b)
	copy(b[at:], with)
	return b
}

// compressed sets SHF_COMPRESSED on the symbol table.
func compressed(b []byte) []byte {
	b = bytes.Clone(b)
	shoff := binary.LittleEndian.Uint64(b[40:])
	n := binary.LittleEndian.Uint16(b[60:])
	for i := range uint64(n) {
		h := b[shoff+64*i:]
		if binary.LittleEndian.Uint32(h[4:]) == uint32(elf.SHT_SYMTAB) {
			binary.LittleEndian.PutUint64(h[8:], uint64(elf.SHF_COMPRESSED))
		}
	}
	return b
}

// FuzzExplain never panics, and says read-only of no section that has SHF_WRITE by debug/elf's own reading.
func FuzzExplain(f *testing.F) {
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		f.Add(fakeELF(order, elf.ET_EXEC, []fakeSection{table(alloc)}, bounds), ".table")
		f.Add(fakeELF(order, elf.ET_EXEC, []fakeSection{table(write)}, bounds), ".table")
		f.Add(fakeELF(order, elf.ET_REL, []fakeSection{table(alloc), {name: ".rela.table", typ: elf.SHT_RELA, info: 1, data: make([]byte, 48)}}, bounds), ".table")
		f.Add(fakeELF(order, elf.ET_EXEC, []fakeSection{table(alloc)}, nil), "")
	}
	f.Fuzz(func(t *testing.T, b []byte, section string) {
		x, err := explainBytes(b, section)
		if err != nil || x.Verdict != ReadOnly {
			return
		}
		e, err := elf.NewFile(bytes.NewReader(b))
		if err != nil {
			t.Fatalf("read-only, but debug/elf says %v", err)
		}
		for _, s := range e.Sections {
			if s.Name == section && s.Flags&elf.SHF_WRITE != 0 && s.Type != elf.SHT_NULL {
				t.Fatalf("section %q is said to be read-only and has flags %s", section, s.Flags)
			}
		}
	})
}

func explainBytes(b []byte, section string) (*Explanation, error) {
	e, err := readELF("fuzz", bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, err
	}
	x, err := e.explain(section)
	if err != nil {
		return nil, err
	}
	if err := x.own(e); err != nil {
		return nil, err
	}
	x.judge(e)
	x.Proofs()
	return x, x.WriteText(&strings.Builder{})
}

// FuzzArchive reads what is no archive, or a hostile one.
func FuzzArchive(f *testing.F) {
	member := func(name string, size int) string {
		return fmt.Sprintf("%-16s%-12d%-6d%-6d%-8o%-10d`\n", name, 0, 0, 0, 0o644, size)
	}
	f.Add([]byte(arMagic + member("a.o/", 4) + "abcd"))
	f.Add([]byte(thinMagic + member("//", 10) + "kernel/a/\n" + member("/0", 4000)))
	f.Add([]byte(arMagic + member("/99999999", 1<<30)))
	f.Fuzz(func(t *testing.T, b []byte) {
		a := &archive{path: "fuzz", dir: "/nonexistent", size: int64(len(b)), r: bytes.NewReader(b)}
		if a.read(maxNestedAr) != nil {
			return
		}
		for _, o := range a.objects {
			if !a.thin && (o.offset < 0 || o.size < 0 || o.offset+o.size > int64(len(b))) {
				t.Errorf("member %q at %d+%d of %d", o.name, o.offset, o.size, len(b))
			}
		}
	})
}

// FuzzScript reads any text as a linker script.
func FuzzScript(f *testing.F) {
	f.Add("SECTIONS { .a : AT(ADDR(.a) - 0x10) { x = .; KEEP(*(SORT(.a.*))) } :text =0x90 }")
	f.Add("PHDRS { text PT_LOAD FLAGS(5); } SECTIONS { /DISCARD/ : { *(.b) } . = ALIGN(8);")
	f.Fuzz(func(t *testing.T, text string) {
		s := parseScript(text)
		s.output("vmlinux.o", ".a")
	})
}
