// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	"fmt"
	"slices"
	"strings"
)

// An Arch is an architecture that a guest may have, by the name that Go gives it (GOARCH).
type Arch string

const (
	AMD64   Arch = "amd64"   // x86_64 on microvm, entered by PVH
	PPC64   Arch = "ppc64"   // big endian, on pseries
	PPC64LE Arch = "ppc64le" // little endian, on pseries
)

// An arch is everything that differs from one architecture to the next. A new architecture is one entry in arches.
type arch struct {
	qemu    string   // program, looked up in PATH
	machine string   // -M, without the accelerator
	cpu     string   // -cpu under TCG
	kvmCPU  string   // -cpu under KVM
	serial  string   // the device of the event port's bus
	console string   // console= of the kernel
	cmdline []string // what the kernel needs to be told on this machine
	// firmware lists machine options to try in turn: the next is used when QEMU ends before the kernel said a word.
	firmware []string
	// reports is set where the kernel tells the machine about a panic, so that QMP has GUEST_PANICKED.
	reports bool
	// hostTSC is set where the guest's time stamp counter is the host's under plain TCG.
	hostTSC bool
	// goenv is the environment of a Go build for the guest, next to GOARCH.
	goenv []string
}

var arches = map[Arch]arch{
	AMD64: {
		qemu:    "qemu-system-x86_64",
		machine: "microvm,acpi=off,rtc=on,pcie=off",
		cpu:     "qemu64",
		kvmCPU:  "host",
		serial:  "virtio-serial-device",
		console: "ttyS0",
		// There is no ACPI to power off with, and the keyboard controller is not there either: a triple fault always is.
		cmdline: []string{"reboot=t"},
		hostTSC: true,
	},
	PPC64:   pseries,
	PPC64LE: pseries,
}

var pseries = arch{
	qemu:     "qemu-system-ppc64",
	machine:  "pseries",
	cpu:      "power9",
	kvmCPU:   "host",
	serial:   "virtio-serial-pci",
	console:  "hvc0",
	firmware: []string{"x-vof=on", "x-vof=off"},
	reports:  true,
	goenv:    []string{"GOPPC64=power8"},
}

// Arches lists the architectures that are known.
func Arches() []Arch {
	var names []Arch
	for a := range arches {
		names = append(names, a)
	}
	slices.Sort(names)
	return names
}

func (a Arch) lookup() (arch, error) {
	if x, ok := arches[a]; ok {
		return x, nil
	}
	var names []string
	for _, n := range Arches() {
		names = append(names, string(n))
	}
	return arch{}, fmt.Errorf("unknown architecture %q; known are %s", string(a), strings.Join(names, ", "))
}
