// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || ppc64 || ppc64le)

// Package tiny makes programs that are as small as a program can be, for benchmarks of fork and exec: what a fork costs
// depends on what the parent maps, and a Go program maps much.
//
// A program is one file of less than 4 KiB, made here and run by the kernel like any other: code, one or two pages of
// data, a stack and the vdso is all that it maps. The machine code is that of the assembly files beside this one.
package tiny

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The layout of a program, in the file and in memory; layout.h has the same numbers.
const (
	codeAddr   = 0x10000 // where the file is mapped to be executed
	dataAddr   = 0x20000 // where it is mapped to be written
	paramsOff  = 0x100
	codeOff    = 0x200
	timesAddr  = 0x21000
	timesSize  = 0x1000
	end        = 0x5e71e50d
	maxCode    = 0x800 - codeOff
	pathOff    = 0x800
	maxPath    = 0x7ff
	timespec   = 16
	maxBatches = 1 << 16
)

// A Loop is a program that makes children, one after the other, and waits for the end of each. It reads the monotonic
// clock before the first batch of them and after each batch, and writes these times to its standard output, a page of them
// (256) at a time and the rest in the end, for Times: so it touches no more pages from batch to batch, and forks of it cost
// the same. It exits with 1 if anything fails. Before it reads the clock it makes a mark: of batch n, from 0, mark n is
// where it begins, and mark n+1 where it ends.
type Loop struct {
	Batches int    // 1 to 65536
	Ops     int    // children in a batch, at least 1
	Flags   uint64 // of clone(2), the signal included; the child has the parent's stack pointer, and uses no stack
	Exec    string // what a child executes, such as a program of Quit; "" means that it exits with 0 at once
}

// program is what the assembly reads at PARAMS.
type program struct {
	Batches, Ops, Flags uint64
	Path                uint64
	Argv                [2]uint64
	Envp                uint64
	Status              uint64
}

func code() (loop, quit, crowd uintptr)

// ELF returns the program as an executable file for the architecture that runs.
func (l Loop) ELF() ([]byte, error) {
	switch {
	case l.Batches < 1 || l.Batches > maxBatches:
		return nil, fmt.Errorf("tiny program: %d batches: want 1 to %d", l.Batches, maxBatches)
	case l.Ops < 1:
		return nil, fmt.Errorf("tiny program: %d children in a batch: want at least 1", l.Ops)
	case len(l.Exec) > maxPath:
		return nil, fmt.Errorf("tiny program: path of %d bytes to execute: want at most %d", len(l.Exec), maxPath)
	}
	p := program{Batches: uint64(l.Batches), Ops: uint64(l.Ops), Flags: l.Flags}
	if l.Exec != "" {
		p.Path = dataAddr + pathOff
		p.Argv[0] = p.Path
	}
	loop, _, _ := code()
	return file(loop, p, l.Exec)
}

// A Crowd is a program that makes many tasks, none of which does anything: processes that share all they can share with
// the program, so that one takes about 22 KB of kernel memory and no other, and threads of these processes. All of them
// wait for a signal, and share the stack pointer: no signal but SIGKILL is good for them.
//
// The program writes a byte to its standard output for each process that has all its threads, and for each that it could
// not make: Ready or Failed. It is the parent of all processes, in whose process group they are, and never ends by itself.
type Crowd struct {
	Processes int // at least 1
	Threads   int // of each process, at least 1
}

// What a Crowd writes.
const (
	Ready  = 'y'
	Failed = 'n'
)

// ELF returns the program as an executable file for the architecture that runs.
func (c Crowd) ELF() ([]byte, error) {
	if c.Processes < 1 || c.Threads < 1 {
		return nil, fmt.Errorf("tiny program: a crowd of %d processes with %d threads: want at least 1", c.Processes, c.Threads)
	}
	const flags = unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SIGHAND | uint64(unix.SIGCHLD)
	_, _, crowd := code()
	return file(crowd, program{Batches: uint64(c.Processes), Ops: uint64(c.Threads), Flags: flags, Path: dataAddr + pathOff}, string([]byte{Ready, Failed}))
}

// Quit returns a program that exits with 0.
func Quit() ([]byte, error) {
	_, quit, _ := code()
	return file(quit, program{}, "")
}

func file(code uintptr, p program, path string) ([]byte, error) {
	text, err := textAt(code)
	if err != nil {
		return nil, err
	}
	b := make([]byte, pathOff, pathOff+len(path)+1)
	b = append(append(b, path...), 0)
	machine, order, data, flags := elf.EM_X86_64, binary.ByteOrder(binary.LittleEndian), elf.ELFDATA2LSB, uint32(0)
	if runtime.GOARCH != "amd64" {
		// The second ABI, for big endian too: the entry is an address, and not that of a descriptor.
		machine, flags = elf.EM_PPC64, 2
	}
	if runtime.GOARCH == "ppc64" {
		order, data = binary.BigEndian, elf.ELFDATA2MSB
	}
	h := elf.Header64{
		Type: uint16(elf.ET_EXEC), Machine: uint16(machine), Version: uint32(elf.EV_CURRENT), Entry: codeAddr + codeOff,
		Phoff: 64, Flags: flags, Ehsize: 64, Phentsize: 56, Phnum: 3, Shentsize: 64,
	}
	copy(h.Ident[:], elf.ELFMAG)
	h.Ident[elf.EI_CLASS], h.Ident[elf.EI_DATA], h.Ident[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(data), byte(elf.EV_CURRENT)
	const page = 0x10000
	size := uint64(len(b))
	segments := [3]elf.Prog64{
		{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X), Vaddr: codeAddr, Paddr: codeAddr, Filesz: size, Memsz: size, Align: page},
		{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_W), Vaddr: dataAddr, Paddr: dataAddr, Filesz: size,
			Memsz: max(size, timesAddr-dataAddr+timesSize), Align: page},
		{Type: uint32(elf.PT_GNU_STACK), Flags: uint32(elf.PF_R | elf.PF_W), Align: 16},
	}
	var head, params bytes.Buffer
	for _, v := range []any{h, segments} {
		if err := binary.Write(&head, order, v); err != nil {
			return nil, err
		}
	}
	if err := binary.Write(&params, order, p); err != nil {
		return nil, err
	}
	copy(b, head.Bytes())
	copy(b[paramsOff:codeOff], params.Bytes())
	copy(b[codeOff:pathOff], text)
	return b, nil
}

// textAt copies the machine code at an address up to the mark that ends it.
func textAt(addr uintptr) ([]byte, error) {
	mark := binary.NativeEndian.AppendUint32(binary.NativeEndian.AppendUint32(nil, end), end)
	// It is in the text of this very program, so what follows it can be read as well.
	all := unsafe.Slice((*byte)(*(*unsafe.Pointer)(unsafe.Pointer(&addr))), maxCode)
	n := bytes.Index(all, mark)
	if n <= 0 {
		return nil, fmt.Errorf("tiny program: no end of the code within %d bytes", maxCode)
	}
	return bytes.Clone(all[:n]), nil
}

// Times reads what a Loop has written: how long each batch took.
func (l Loop) Times(out []byte) ([]time.Duration, error) {
	if want := (l.Batches + 1) * timespec; len(out) != want {
		return nil, fmt.Errorf("tiny program: %d bytes of times, want %d", len(out), want)
	}
	at := func(i int) time.Duration {
		b := out[i*timespec:]
		return time.Duration(binary.NativeEndian.Uint64(b))*time.Second + time.Duration(binary.NativeEndian.Uint64(b[8:]))
	}
	times := make([]time.Duration, l.Batches)
	for i := range times {
		if times[i] = at(i+1) - at(i); times[i] <= 0 {
			return nil, fmt.Errorf("tiny program: batch %d took %v", i+1, times[i])
		}
	}
	return times, nil
}
