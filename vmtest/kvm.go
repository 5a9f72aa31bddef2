// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seriesrig/series/internal/cache"
	"github.com/seriesrig/series/internal/run"
	"github.com/seriesrig/series/vmtest/internal/pvh"
)

// A KVMVerdict tells whether KVM is of use on this host, and how that was found out.
type KVMVerdict struct {
	Usable bool          `json:"usable"`
	Reason string        `json:"reason"`
	TCG    time.Duration `json:"tcg"` // what the same tiny guest took under each; 0 where it did not end well
	KVM    time.Duration `json:"kvm"`
}

const (
	// The probe's guest runs for a quarter of a second under TCG. A KVM that works takes a tenth of that; one that is
	// itself emulated takes longer than TCG, and may never boot a kernel.
	probeLoops    = 100_000_000
	probeExits    = 2_000
	probeDeadline = 10 * time.Second
)

// ProbeKVM races KVM against TCG with a tiny guest. That /dev/kvm is there, can be opened, and makes a virtual machine
// says nothing: on a host that emulates it, KVM may be many times slower than TCG or not boot Linux at all. The verdict is
// kept in c for this host's kernel, processor and QEMU; nil is the user's cache.
func ProbeKVM(ctx context.Context, c *cache.Cache) (KVMVerdict, error) {
	return Machine{Arch: AMD64, QEMU: arches[AMD64].qemu, Cache: c}.probeKVM(ctx)
}

func (m Machine) probeKVM(ctx context.Context) (KVMVerdict, error) {
	if string(m.Arch) != runtime.GOARCH {
		return KVMVerdict{Reason: fmt.Sprintf("KVM runs guests of the host's architecture, %s, and not %s", runtime.GOARCH, m.Arch)}, nil
	}
	if m.Arch != AMD64 {
		return KVMVerdict{Reason: fmt.Sprintf("there is no probe for %s", m.Arch)}, nil
	}
	if f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0); err != nil {
		return KVMVerdict{Reason: err.Error()}, nil // not kept: it may be a matter of a group or a module
	} else {
		f.Close()
	}
	c, err := m.cache()
	if err != nil {
		return KVMVerdict{}, err
	}
	id, err := hostID(ctx, m.QEMU)
	if err != nil {
		return KVMVerdict{}, err
	}
	dir, _, err := c.Fill(ctx, "kvm", cache.KeyOf("probe 1", id), func(ctx context.Context, dir string) error {
		v, err := race(ctx, m.QEMU, dir)
		if err != nil {
			return err
		}
		b, err := json.MarshalIndent(v, "", "\t")
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, "verdict.json"), append(b, '\n'), 0o644)
	})
	if err != nil {
		return KVMVerdict{}, fmt.Errorf("probe KVM: %w", err)
	}
	var v KVMVerdict
	b, err := os.ReadFile(filepath.Join(dir, "verdict.json"))
	if err == nil {
		err = json.Unmarshal(b, &v)
	}
	if err != nil {
		return KVMVerdict{}, fmt.Errorf("probe KVM: %w", err)
	}
	return v, nil
}

// race runs the probe under both, one after the other so that neither takes the other's time.
func race(ctx context.Context, qemu, dir string) (KVMVerdict, error) {
	// A QEMU that aborts may leave a core in its working folder, which is not to be kept.
	dir = filepath.Join(dir, "work")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return KVMVerdict{}, err
	}
	defer os.RemoveAll(dir)
	image := filepath.Join(dir, "probe.elf")
	if err := os.WriteFile(image, pvh.Image(probeLoops, probeExits), 0o644); err != nil {
		return KVMVerdict{}, err
	}
	tcg, err := probe(ctx, qemu, image, "tcg", arches[AMD64].cpu, probeDeadline)
	if err != nil {
		// Without something to hold KVM against there is no verdict; and something is wrong with QEMU.
		return KVMVerdict{}, err
	}
	v := KVMVerdict{TCG: tcg}
	kvm, err := probe(ctx, qemu, image, "kvm", arches[AMD64].kvmCPU, max(4*tcg, 2*time.Second))
	switch {
	case err != nil && ctx.Err() != nil:
		return v, err
	case err != nil:
		v.Reason = "KVM did not run a tiny guest: " + err.Error()
		return v, nil
	}
	v.KVM, v.Usable = kvm, kvm < tcg
	v.Reason = fmt.Sprintf("a tiny guest took %v under KVM and %v under TCG", kvm.Round(time.Millisecond), tcg.Round(time.Millisecond))
	return v, nil
}

func probe(ctx context.Context, qemu, image, accel, cpu string, deadline time.Duration) (time.Duration, error) {
	limit, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	start := time.Now()
	err := run.Cmd{Name: qemu, Dir: filepath.Dir(image), Grace: 100 * time.Millisecond, DeathSignal: unix.SIGKILL, Args: []string{
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-machine", "microvm,acpi=off", "-accel", accel, "-cpu", cpu, "-m", "64M",
		"-device", fmt.Sprintf("isa-debug-exit,iobase=%#x,iosize=4", pvh.Port), "-kernel", image,
	}}.Run(limit)
	d := time.Since(start)
	var xe *run.ExitError
	switch {
	case errors.As(err, &xe) && xe.Code == pvh.Status:
		return d, nil
	case ctx.Err() != nil:
		return 0, context.Cause(ctx)
	case limit.Err() != nil:
		return 0, fmt.Errorf("%s: not done in %v", accel, deadline.Round(time.Millisecond))
	case err == nil:
		return 0, fmt.Errorf("%s: ended too early", accel)
	}
	return 0, fmt.Errorf("%s: %w", accel, err)
}

// hostID names everything that the verdict depends on.
func hostID(ctx context.Context, qemu string) (string, error) {
	version, err := run.Cmd{Name: qemu, Args: []string{"--version"}}.Output(ctx)
	if err != nil {
		return "", err
	}
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "", fmt.Errorf("uname: %w", err)
	}
	release := unix.ByteSliceToString(u.Release[:]) + " " + unix.ByteSliceToString(u.Version[:])
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "", err
	}
	var cpu []string
	for _, line := range strings.Split(string(bytes.SplitN(info, []byte("\n\n"), 2)[0]), "\n") {
		for _, name := range []string{"vendor_id", "cpu family", "model", "stepping", "microcode", "flags"} {
			if strings.HasPrefix(line, name) {
				cpu = append(cpu, line)
				break
			}
		}
	}
	return strings.Join(append(cpu, release, string(version)), "\n"), nil
}

// cache is the Machine's, or the user's.
func (m Machine) cache() (*cache.Cache, error) {
	if m.Cache != nil {
		return m.Cache, nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("find cache: %w", err)
	}
	return cache.Open(filepath.Join(dir, "series", "cache"))
}
