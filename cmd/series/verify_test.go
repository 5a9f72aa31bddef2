// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdELF writes an object file with one section and one symbol: elf FILE SECTION FLAGS, with the letters of readelf.
// Where a section needs a value of its own, such as a broken one, the script changes the file.
func cmdELF(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: elf FILE SECTION FLAGS")
	}
	var flags elf.SectionFlag
	for letter, flag := range map[string]elf.SectionFlag{"W": elf.SHF_WRITE, "A": elf.SHF_ALLOC, "X": elf.SHF_EXECINSTR} {
		if strings.Contains(args[2], letter) {
			flags |= flag
		}
	}
	const names, strings, header = "\x00.symtab\x00.strtab\x00", "\x00table\x00", 64
	data := make([]byte, 16)
	var syms, out bytes.Buffer
	le := binary.LittleEndian
	binary.Write(&syms, le, []elf.Sym64{{}, {Name: 1, Info: byte(elf.STB_GLOBAL)<<4 | byte(elf.STT_OBJECT), Shndx: 1, Size: 16}})
	parts := [][]byte{data, syms.Bytes(), []byte(strings), []byte(names + args[1] + "\x00")}
	table := []elf.Section64{{},
		{Name: uint32(len(names)), Type: uint32(elf.SHT_PROGBITS), Flags: uint64(flags)},
		{Name: 1, Type: uint32(elf.SHT_SYMTAB), Link: 3, Info: 1, Entsize: elf.Sym64Size},
		{Name: 9, Type: uint32(elf.SHT_STRTAB)},
		{Type: uint32(elf.SHT_STRTAB)}}
	at := uint64(header)
	for i, p := range parts {
		table[i+1].Off, table[i+1].Size = at, uint64(len(p))
		at += uint64(len(p))
	}
	h := elf.Header64{Type: uint16(elf.ET_REL), Machine: uint16(elf.EM_X86_64), Version: 1, Shoff: at, Ehsize: header,
		Shentsize: 64, Shnum: uint16(len(table)), Shstrndx: uint16(len(table) - 1)}
	copy(h.Ident[:], elf.ELFMAG+string([]byte{byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), 1}))
	binary.Write(&out, le, h)
	for _, p := range parts {
		out.Write(p)
	}
	binary.Write(&out, le, table)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), out.Bytes(), 0o644))
}
