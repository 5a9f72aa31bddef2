// SPDX-License-Identifier: Apache-2.0

// Package pvh makes the smallest guest that can tell whether a machine works and how fast it is: an ELF file that QEMU
// enters by the PVH boot protocol, counts down, makes some exits to the host, and ends QEMU through isa-debug-exit.
//
// PVH: https://xenbits.xen.org/docs/unstable/misc/pvh.html
package pvh

import (
	"bytes"
	"encoding/binary"
)

const (
	load = 0x100000 // physical address; where the entry is, too
	// Port is the iobase of isa-debug-exit.
	Port = 0xf4
	// Status is QEMU's exit status when the guest has come to its end: (value<<1)|1.
	Status = 0x2a<<1 | 1
)

// Image returns the guest: it counts down from loops, and then writes exits times to a port that nobody listens to.
func Image(loops, exits uint32) []byte {
	var code bytes.Buffer
	imm := func(op byte, v uint32) {
		code.WriteByte(op)
		binary.Write(&code, binary.LittleEndian, v)
	}
	imm(0xb9, loops)                                 // mov  $loops, %ecx
	code.Write([]byte{0x49, 0x75, 0xfd})             // 1: dec %ecx; jnz 1b
	imm(0xb9, exits)                                 // mov  $exits, %ecx
	imm(0xba, 0x80)                                  // mov  $0x80, %edx
	code.Write([]byte{0xee, 0x49, 0x75, 0xfc})       // 2: outb %al, %dx; dec %ecx; jnz 2b
	code.Write([]byte{0xb0, Status >> 1})            // mov  $value, %al
	imm(0xba, Port)                                  // mov  $Port, %edx
	code.Write([]byte{0xee, 0xfa, 0xf4, 0xeb, 0xfc}) // outb %al, %dx; 3: cli; hlt; jmp 3b
	for code.Len()%8 != 0 {
		code.WriteByte(0x90)
	}

	// The note says where to enter: XEN_ELFNOTE_PHYS32_ENTRY of the name "Xen".
	var note bytes.Buffer
	binary.Write(&note, binary.LittleEndian, []uint32{4, 4, 18})
	note.WriteString("Xen\x00")
	binary.Write(&note, binary.LittleEndian, []uint32{load, 0}) // QEMU reads 8 bytes, whatever the size says

	const header, segment = 64, 56
	offset := uint64(header + 2*segment)
	var elf bytes.Buffer
	elf.Write([]byte{0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	binary.Write(&elf, binary.LittleEndian, struct {
		Type, Machine              uint16
		Version                    uint32
		Entry, Phoff, Shoff        uint64
		Flags                      uint32
		Ehsize, Phentsize, Phnum   uint16
		Shentsize, Shnum, Shstrndx uint16
	}{2, 62, 1, load, header, 0, 0, header, segment, 2, 0, 0, 0})
	program := func(kind, flags uint32, offset, addr, size, align uint64) {
		binary.Write(&elf, binary.LittleEndian, struct {
			Type, Flags                                uint32
			Offset, Vaddr, Paddr, Filesz, Memsz, Align uint64
		}{kind, flags, offset, addr, addr, size, size, align})
	}
	program(1, 5, offset, load, uint64(code.Len()), 8)                                       // PT_LOAD, readable and executable
	program(4, 4, offset+uint64(code.Len()), load+uint64(code.Len()), uint64(note.Len()), 4) // PT_NOTE
	elf.Write(code.Bytes())
	elf.Write(note.Bytes())
	return elf.Bytes()
}
