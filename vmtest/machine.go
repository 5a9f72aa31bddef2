// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	"log/slog"
	"time"

	"github.com/seriesrig/series/internal/cache"
)

// A Machine describes a guest. The zero value plus Arch and Kernel boots, if the kernel has an initramfs built in.
type Machine struct {
	Arch   Arch
	Kernel string        // path of vmlinux
	Initrd string        // path of a cpio archive; Test and Exec make one where this is empty
	CPUs   int           // 0 means 1
	Memory int64         // bytes, whole MiB; 0 means 512 MiB
	Limit  time.Duration // whole life of the guest; 0 means 5 min
	// Quiet is the guest's own time without a sign of life after which it counts as hung: heartbeats of the agent, and
	// before the first of them, lines on the console. 0 means 20 s, with Icount 5 s.
	Quiet   time.Duration
	Cmdline []string // for the kernel, after what it is given anyway
	Icount  *Icount  // nil means that the guest's clock is the host's
	Accel   Accel    // "" means TCG
	// Dir is where the logs go: console.log, qmp.log, events.log, qemu.log, cmdline. It is made if it is not there.
	// "" means a temporary folder that is removed when the guest has passed.
	Dir string
	// QEMU is the program; "" means the architecture's, looked up in PATH.
	QEMU string
	// Cache keeps initramfs images and the verdict about KVM; nil means the user's cache folder.
	Cache *cache.Cache
	Log   *slog.Logger // nil means none
}

// Icount makes a guest deterministic: its clock counts the instructions it has executed (2^Shift ns each) and not the
// host's time. The same Machine and Seed give the same run.
type Icount struct {
	Shift int    // 0 to 10
	Seed  uint64 // of everything random that QEMU hands to the guest
}

// An Accel is how QEMU executes the guest's instructions.
type Accel string

const (
	TCG  Accel = "tcg"  // by translating them
	KVM  Accel = "kvm"  // on the host's processor; an error where ProbeKVM says that it is of no use
	Auto Accel = "auto" // KVM where ProbeKVM says that it is of use, else TCG
)
