// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/seriesrig/series/internal/cache"
	"github.com/seriesrig/series/vmtest/guest"
	"github.com/seriesrig/series/vmtest/internal/tsc"
)

// A Machine describes a guest. The zero value plus Arch, Kernel and Initrd boots.
type Machine struct {
	Arch   Arch
	Kernel string        // path of vmlinux
	Initrd string        // path of a cpio archive with the agent in it; Test and Exec make one where this is empty
	CPUs   int           // 0 means 1
	Memory int64         // bytes, whole MiB; 0 means 512 MiB
	Limit  time.Duration // whole life of the guest, in its own time (see Quiet); 0 means 5 min
	// Quiet is the guest's own time without a sign of life after which it counts as hung. A sign of life is anything
	// that the agent sends, and before its hello a line on the console. The guest's own time is the host's without what
	// the guest did not get of it, or with Icount the guest's virtual clock. 0 means 20 s, with Icount 5 s.
	Quiet   time.Duration
	Cmdline []string // for the kernel, after what it is given anyway
	Icount  *Icount  // nil means that the guest's clock is the host's
	Accel   Accel    // "" means TCG
	// MultiThread has TCG run the CPUs of an amd64 guest side by side, as it does with those of the others. Under QEMU 7.2
	// that is not safe: a kernel changes its own code by way of an int3, and one CPU may execute the int3 that another has
	// taken away again, which is an oops that no kernel is to blame for. So they run in turn, on one thread of the host,
	// unless this is set. KVM makes nothing of it.
	MultiThread bool
	// Firmware is one of the architecture's ("vof" or "slof" on pseries). "" means each in turn: the next one when QEMU
	// ended before the kernel had said a word.
	Firmware string
	// TSC is the rate of the host's time stamp counter in kHz, which an amd64 guest under TCG needs to be told to have a
	// good clock. Boot measures it where it is 0; a negative one is not told.
	TSC int64
	// Dir is where the logs go: console.log, qmp.log, events.log, qemu.log, cmdline. It is made if it is not there.
	// "" means a temporary folder that is removed when the guest has passed.
	Dir string
	// QEMU is the program; "" means the architecture's, looked up in PATH.
	QEMU string
	// Cache keeps initramfs images and the verdict about KVM; nil means the user's cache folder.
	Cache *cache.Cache
	Log   *slog.Logger // nil means none

	memory *memory // of a snapshot; nil means QEMU's own
}

// Icount makes a guest deterministic: its clock counts the instructions it has executed (2^Shift ns each) and not the
// host's time. The same Machine and Seed give the same run.
type Icount struct {
	Shift int    // 0 to 10
	Seed  uint64 // of everything random that QEMU hands to the guest
	// Count has QEMU count by function what the guest executes between its marks. It changes nothing that the guest could
	// see. The counts are in Machine.Dir when the guest has ended, see Machine.Counts.
	Count bool
}

// An Accel is how QEMU executes the guest's instructions.
type Accel string

const (
	TCG  Accel = "tcg"  // by translating them
	KVM  Accel = "kvm"  // on the host's processor; an error where ProbeKVM says that it is of no use
	Auto Accel = "auto" // KVM where ProbeKVM says that it is of use, else TCG
)

const (
	mib           = int64(1) << 20
	defaultMemory = 512 * mib
	defaultLimit  = 5 * time.Minute
	defaultQuiet  = 20 * time.Second
	icountQuiet   = 5 * time.Second
)

// Descriptors that QEMU inherits, so that there is no path for anybody else to connect to, no limit on its length, and
// nothing to wait for. QMP and events have an end of a socket pair each. The console has a pipe: QEMU writes byte by byte,
// of which a socket holds a few hundred and a pipe 64 KiB; and when it would have to wait, the guest's serial port would
// tell the guest how busy the host is.
const (
	qmpFD     = 3
	eventsFD  = 4
	consoleFD = 5
	stateFD   = 6 // of a guest that is restored
)

// withDefaults fills what is zero and says what is wrong with the rest.
func (m Machine) withDefaults() (Machine, arch, error) {
	a, err := m.Arch.lookup()
	if err != nil {
		return m, a, fmt.Errorf("machine: %w", err)
	}
	if m.Kernel == "" {
		return m, a, fmt.Errorf("machine: no kernel")
	}
	if m.CPUs == 0 {
		m.CPUs = 1
	}
	if m.Memory == 0 {
		m.Memory = defaultMemory
	}
	if m.Limit == 0 {
		m.Limit = defaultLimit
	}
	if m.Quiet == 0 {
		m.Quiet = defaultQuiet
		if m.Icount != nil {
			m.Quiet = icountQuiet
		}
	}
	if m.Accel == "" {
		m.Accel = TCG
	}
	if m.QEMU == "" {
		m.QEMU = a.qemu
	}
	if m.Firmware == "" && len(a.firmware) > 0 {
		m.Firmware = a.firmware[0].name
	}
	switch {
	case m.CPUs < 1 || m.CPUs > 255:
		return m, a, fmt.Errorf("machine: %d CPUs: want 1 to 255", m.CPUs)
	case m.Memory < 16*mib || m.Memory%mib != 0:
		return m, a, fmt.Errorf("machine: memory of %d bytes: want whole MiB, at least 16", m.Memory)
	case m.Limit < 0 || m.Quiet < 0:
		return m, a, fmt.Errorf("machine: negative time limit")
	case m.Accel != TCG && m.Accel != KVM && m.Accel != Auto:
		return m, a, fmt.Errorf("machine: unknown accelerator %q: want tcg, kvm or auto", m.Accel)
	}
	if ic := m.Icount; ic != nil {
		switch {
		case ic.Shift < 0 || ic.Shift > 10:
			return m, a, fmt.Errorf("machine: icount shift %d: want 0 to 10", ic.Shift)
		case m.CPUs != 1:
			return m, a, fmt.Errorf("machine: icount has one CPU, not %d: the order of several would not repeat", m.CPUs)
		case m.Accel == KVM:
			return m, a, fmt.Errorf("machine: icount needs TCG: KVM does not count instructions")
		}
		m.Accel = TCG
	}
	if _, err := a.firmwareOption(m.Firmware); err != nil {
		return m, a, fmt.Errorf("machine: %w", err)
	}
	return m, a, nil
}

// inTurn tells whether the guest's CPUs share a thread of the host.
func (m Machine) inTurn() bool {
	return m.CPUs > 1 && m.Accel != KVM && !m.MultiThread && arches[m.Arch].inTurn
}

// HostCPUs is how many of the host's processors the guest keeps busy, at most.
func (m Machine) HostCPUs() int {
	if m.inTurn() {
		return 1
	}
	return max(1, m.CPUs)
}

// Args returns QEMU's arguments. It looks at nothing but the Machine: Auto counts as TCG, and a TSC of 0 is not told.
func (m Machine) Args() ([]string, error) {
	m, a, err := m.withDefaults()
	if err != nil {
		return nil, err
	}
	machine := a.machine
	firmware, _ := a.firmwareOption(m.Firmware)
	if firmware != "" {
		machine += "," + firmware
	}
	accel, cpu, serial := "tcg", a.cpu, a.serial
	switch {
	case m.Icount != nil:
		accel, serial = "tcg,thread=single", serial+a.exact
	case m.Accel == KVM:
		accel, cpu = "kvm", a.kvmCPU
	case m.inTurn():
		accel = "tcg,thread=single"
	}
	args := []string{
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-machine", machine, "-accel", accel, "-cpu", cpu,
		"-smp", strconv.Itoa(m.CPUs), "-m", fmt.Sprintf("%dM", m.Memory/mib),
		"-chardev", fmt.Sprintf("socket,id=qmp,fd=%d", qmpFD), "-mon", "chardev=qmp,mode=control",
		"-chardev", fmt.Sprintf("socket,id=events,fd=%d", eventsFD),
		"-device", serial, "-device", "virtserialport,chardev=events,name=" + guest.PortName,
		"-add-fd", fmt.Sprintf("fd=%d,set=1", consoleFD),
		"-chardev", "file,id=console,append=on,path=/dev/fdset/1", "-serial", "chardev:console",
	}
	if ic := m.Icount; ic != nil {
		args = append(args,
			"-icount", fmt.Sprintf("shift=%d,sleep=off,align=off", ic.Shift),
			"-seed", strconv.FormatUint(ic.Seed, 10),
			"-rtc", "base=2024-01-01T00:00:00,clock=vm")
		if ic.Count {
			args = append(args, "-plugin", m.countOption())
		}
	}
	args = append(args, "-kernel", m.Kernel)
	if m.Initrd != "" {
		args = append(args, "-initrd", m.Initrd)
	}
	return append(args, "-append", m.kernelCmdline(a)), nil
}

func (m Machine) kernelCmdline(a arch) string {
	words := []string{"console=" + a.console, "rdinit=" + guest.AgentPath, "panic=-1"}
	words = append(words, a.cmdline...)
	if m.Accel != KVM && a.tcgCmdline != nil {
		words = append(words, a.tcgCmdline(m)...)
	}
	if m.Icount != nil {
		words = append(words, "nokaslr", "norandmaps")
	}
	return strings.Join(append(words, m.Cmdline...), " ")
}

// resolve fills what Args leaves open from what is on this host, and checks that the files are there.
func (m Machine) resolve() (Machine, arch, error) {
	m, a, err := m.withDefaults()
	if err != nil {
		return m, a, err
	}
	for _, p := range []*string{&m.Kernel, &m.Initrd} {
		if *p == "" {
			continue
		}
		f, err := os.Open(*p)
		if err != nil {
			return m, a, fmt.Errorf("machine: %w", err)
		}
		f.Close()
		if *p, err = filepath.Abs(*p); err != nil {
			return m, a, fmt.Errorf("machine: %w", err)
		}
	}
	if m.TSC == 0 && m.Icount == nil && a.tcgCmdline != nil {
		m.TSC = tsc.KHz()
	}
	if m.Log == nil {
		m.Log = slog.New(slog.DiscardHandler)
	}
	return m, a, nil
}
