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
	qemu       string                   // program, looked up in PATH
	machine    string                   // -machine
	cpu        string                   // -cpu under TCG
	kvmCPU     string                   // -cpu under KVM
	serial     string                   // the device that the event port hangs on
	exact      string                   // options of that device's with icount
	console    string                   // console= of the kernel
	cmdline    []string                 // what the kernel needs to be told on this machine
	tcgCmdline func(m Machine) []string // and under TCG
	inTurn     bool                     // under TCG, several CPUs run in turn: see Machine.MultiThread
	firmware   []firmware               // to be tried in turn
}

// A firmware is what the machine starts the kernel with.
type firmware struct {
	name   string
	option string // of -machine
}

var arches = map[Arch]arch{
	AMD64: {
		qemu: "qemu-system-x86_64",
		// Without ACPI, QEMU puts the virtio devices on the kernel's command line, where a small kernel finds them.
		machine: "microvm,acpi=off,rtc=on",
		// Go's cryptography and the kernel's random pool would wait for entropy without RDRAND.
		cpu:     "qemu64,+rdrand",
		kvmCPU:  "host",
		serial:  "virtio-serial-device",
		console: "ttyS0",
		// Without ACPI and keyboard controller a triple fault is the way to restart, and there is none to power off.
		cmdline:    []string{"reboot=t"},
		tcgCmdline: microvmTCG,
		inTurn:     true,
	},
	PPC64:   pseries,
	PPC64LE: pseries,
}

var pseries = arch{
	qemu: "qemu-system-ppc64",
	// Off are the mitigations that TCG does not have, and would only complain about.
	machine: "pseries,cap-cfpc=broken,cap-sbbc=broken,cap-ibs=broken,cap-ccf-assist=off",
	cpu:     "power9",
	kvmCPU:  "host",
	serial:  "virtio-serial-pci",
	// Else QEMU's main loop takes what the guest sends, when it gets round to it, and not the guest's own thread.
	exact:   ",ioeventfd=off",
	console: "hvc0",
	// VOF is a stub that starts the kernel at once; SLOF takes 4 to 6 s, and starts what VOF cannot.
	firmware: []firmware{{"vof", "x-vof=on"}, {"slof", "x-vof=off"}},
}

// microvmTCG tells the kernel what it has no way to find out on this machine, or only slowly.
func microvmTCG(m Machine) []string {
	var words []string
	khz := m.TSC
	if m.Icount != nil {
		khz = 1_000_000 // the counter is the virtual clock, in nanoseconds
	}
	if khz > 0 {
		// There is no timer to calibrate the counter against, and the clock would be one of jiffies.
		words = append(words, fmt.Sprintf("tsc_early_khz=%d", khz), "tsc=reliable")
	}
	if m.CPUs == 1 {
		// Calibrating and checking the local APIC's timer takes 200 ms of waiting; one CPU has the PIT.
		words = append(words, "nolapic_timer")
	} else {
		// The kernel waits for some ticks of the PIT, by the counter: on a busy host they come too late for it, and it
		// gives up ("IO-APIC + timer doesn't work").
		words = append(words, "no_timer_check")
	}
	return words
}

func (a arch) firmwareOption(name string) (string, error) {
	var known []string
	for _, f := range a.firmware {
		if f.name == name {
			return f.option, nil
		}
		known = append(known, f.name)
	}
	if name == "" {
		return "", nil
	}
	if len(known) == 0 {
		return "", fmt.Errorf("firmware %q: this machine has none to choose", name)
	}
	return "", fmt.Errorf("unknown firmware %q; known are %s", name, strings.Join(known, ", "))
}

// nextFirmware returns the one to try after name.
func (a arch) nextFirmware(name string) (string, bool) {
	i := slices.IndexFunc(a.firmware, func(f firmware) bool { return f.name == name })
	if i < 0 || i+1 >= len(a.firmware) {
		return "", false
	}
	return a.firmware[i+1].name, true
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
