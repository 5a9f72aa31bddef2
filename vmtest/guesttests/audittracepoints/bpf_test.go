// SPDX-License-Identifier: Apache-2.0

//go:build guest

package audittracepoints

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
)

// What the program keeps, at these places of an array of 64-bit numbers.
const (
	sawEvents = iota
	sawArgs   // the sum of one of the event's arguments
	sawPlaces
)

// A counter is a BPF program on a raw tracepoint, which counts the events of one process and one syscall, and adds up one of
// their arguments.
type counter struct {
	t    testing.TB
	seen *ebpf.Map
	prog *ebpf.Program
	link link.Link
}

// attach attaches a program to an event, such as "audit/audit_syscall_entry", whose second argument is a syscall's number. The
// argument to add up is one of the tracepoint, from 0.
func attach(t testing.TB, event string, pid, syscall, argument int) *counter {
	t.Helper()
	c := &counter{t: t}
	var err error
	c.seen, err = ebpf.NewMap(&ebpf.MapSpec{Name: "seen", Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: sawPlaces})
	must(t, err)
	// The arguments of a raw tracepoint are 64-bit numbers in the byte order of the machine.
	load := func(to, from asm.Register, n int) asm.Instruction {
		return asm.LoadMem(to, from, int16(8*n), asm.DWord)
	}
	program := asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.FnGetCurrentPidTgid.Call(),
		asm.RSh.Imm(asm.R0, 32),
		asm.JNE.Imm(asm.R0, int32(pid), "end"),
		load(asm.R1, asm.R6, 1),
		asm.JNE.Imm32(asm.R1, int32(syscall), "end"),
		load(asm.R7, asm.R6, argument),
	}
	add := func(place int, what asm.Register, missing string) asm.Instructions {
		return asm.Instructions{
			asm.StoreImm(asm.RFP, -4, int64(place), asm.Word),
			asm.Mov.Reg(asm.R2, asm.RFP),
			asm.Add.Imm(asm.R2, -4),
			asm.LoadMapPtr(asm.R1, c.seen.FD()),
			asm.FnMapLookupElem.Call(),
			asm.JEq.Imm(asm.R0, 0, missing),
			asm.StoreXAdd(asm.R0, what, asm.DWord),
		}
	}
	program = append(program, add(sawArgs, asm.R7, "end")...)
	program = append(program, asm.Mov.Imm(asm.R8, 1))
	program = append(program, add(sawEvents, asm.R8, "end")...)
	program = append(program, asm.Mov.Imm(asm.R0, 0).WithSymbol("end"), asm.Return())
	c.prog, err = ebpf.NewProgram(&ebpf.ProgramSpec{Name: "counter", Type: ebpf.RawTracepoint, License: "Apache-2.0", Instructions: program})
	if err != nil {
		t.Fatalf("load a BPF program: %+v", err)
	}
	_, name, _ := strings.Cut(event, "/")
	c.link, err = link.AttachRawTracepoint(link.RawTracepointOptions{Name: name, Program: c.prog})
	if err != nil {
		t.Fatalf("attach a BPF program to %s: %v", name, err)
	}
	return c
}

// read returns how many events the program has seen, and the sum of their arguments.
func (c *counter) read() (events, sum uint64) {
	c.t.Helper()
	must(c.t, c.seen.Lookup(uint32(sawEvents), &events))
	must(c.t, c.seen.Lookup(uint32(sawArgs), &sum))
	return events, sum
}

// detach ends the program.
func (c *counter) detach() {
	c.t.Helper()
	for what, err := range map[string]error{"link": c.link.Close(), "program": c.prog.Close(), "map": c.seen.Close()} {
		if err != nil {
			c.t.Error(fmt.Errorf("close a BPF %s: %w", what, err))
		}
	}
}
