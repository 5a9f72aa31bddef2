// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"github.com/seriesrig/series/vmtest/guest"
)

// Clock ids of clock_gettime(2).
const (
	clockMonotonic = 1
	clockBoottime  = 7
)

// clock reads a clock, in ns.
func clock(id uintptr) int64 {
	var ts syscall.Timespec
	if _, _, errno := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, id, uintptr(unsafe.Pointer(&ts)), 0); errno != 0 {
		return 0
	}
	return ts.Nano()
}

func now() guest.Clock {
	return guest.Clock{Boottime: time.Duration(clock(clockBoottime)), Monotonic: time.Duration(clock(clockMonotonic))}
}

func ioctl(fd int, request, arg uintptr) error {
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), request, arg); errno != 0 {
		return errno
	}
	return nil
}

// say writes a line to the console. It is for failures only: the console belongs to the kernel's log.
func say(format string, args ...any) {
	syscall.Write(2, []byte("series-agent: "+fmt.Sprintf(format, args...)+"\n"))
}

// A mount is one of a running system's usual file systems.
type mount struct {
	fstype, target, options string
	flags                   uintptr
	// keep leaves a folder as it is that the initramfs put files in: a test's own folder may be below the host's /tmp.
	keep bool
}

const private = syscall.MS_NOSUID | syscall.MS_NODEV | syscall.MS_NOEXEC

// mounts are in the order in which they must be made. Those whose file system this kernel does not have are left out.
var mounts = []mount{
	{"proc", "/proc", "", private, false},
	{"sysfs", "/sys", "", private, false},
	{"devtmpfs", "/dev", "mode=0755", syscall.MS_NOSUID, false},
	{"devpts", "/dev/pts", "mode=0620,ptmxmode=0666", syscall.MS_NOSUID | syscall.MS_NOEXEC, false},
	{"tmpfs", "/dev/shm", "mode=1777", syscall.MS_NOSUID | syscall.MS_NODEV, false},
	{"mqueue", "/dev/mqueue", "", private, false},
	{"tmpfs", "/tmp", "mode=1777", syscall.MS_NOSUID | syscall.MS_NODEV, true},
	{"tmpfs", "/run", "mode=0755", syscall.MS_NOSUID | syscall.MS_NODEV, true},
	{"tracefs", "/sys/kernel/tracing", "", private, false},
	{"debugfs", "/sys/kernel/debug", "", private, false},
	{"securityfs", "/sys/kernel/security", "", private, false},
	{"cgroup2", "/sys/fs/cgroup", "", private, false},
}

// mountAll mounts what is not mounted yet and returns what went wrong.
func mountAll() (warnings []string) {
	var known string
	for i, m := range mounts {
		if i == 1 { // /proc is there, unless it failed, and then there is nothing to ask
			b, _ := os.ReadFile("/proc/filesystems")
			known = string(b)
		}
		if i > 0 && known != "" && !strings.Contains(known, "\t"+m.fstype+"\n") {
			continue
		}
		// In sysfs a folder can not be made; where it is missing, so is the feature.
		if err := os.Mkdir(m.target, 0o755); err != nil && !os.IsExist(err) {
			if !strings.HasPrefix(m.target, "/sys/") {
				warnings = append(warnings, err.Error())
			}
			continue
		}
		if mounted(m.target) || m.keep && !empty(m.target) {
			continue
		}
		if err := syscall.Mount(m.fstype, m.target, m.fstype, m.flags, m.options); err != nil {
			warnings = append(warnings, fmt.Sprintf("mount %s on %s: %v", m.fstype, m.target, err))
		}
	}
	return warnings
}

// empty tells that a folder has nothing in it.
func empty(dir string) bool {
	d, err := os.Open(dir)
	if err != nil {
		return true
	}
	defer d.Close()
	names, _ := d.Readdirnames(1)
	return len(names) == 0
}

// mounted tells that a folder is on another file system than its parent.
func mounted(dir string) bool {
	var a, b syscall.Stat_t
	return syscall.Stat(dir, &a) == nil && syscall.Stat(dir+"/..", &b) == nil && a.Dev != b.Dev
}

// links are what programs expect to find in /dev, and devtmpfs does not make.
var links = [][2]string{
	{"/proc/self/fd", "/dev/fd"},
	{"/proc/self/fd/0", "/dev/stdin"},
	{"/proc/self/fd/1", "/dev/stdout"},
	{"/proc/self/fd/2", "/dev/stderr"},
}

// setUp makes a running system of what the kernel gives to init, and returns what went wrong on the way.
func setUp() (warnings []string) {
	syscall.Umask(0o022)
	warnings = mountAll()
	for _, l := range links {
		if err := os.Symlink(l[0], l[1]); err != nil && !os.IsExist(err) {
			warnings = append(warnings, err.Error())
		}
	}
	if err := syscall.Chmod("/tmp", 0o1777); err != nil {
		warnings = append(warnings, "chmod /tmp: "+err.Error())
	}
	if err := os.MkdirAll("/root", 0o700); err != nil {
		warnings = append(warnings, err.Error())
	}
	if err := syscall.Sethostname([]byte("series")); err != nil {
		warnings = append(warnings, "set hostname: "+err.Error())
	}
	if err := linkUp("lo"); err != nil {
		warnings = append(warnings, err.Error())
	}
	return warnings
}

// linkUp brings a network interface up. A kernel without networking is not an error.
func linkUp(name string) error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer syscall.Close(fd)
	var req struct { // struct ifreq, netdevice(7)
		name  [syscall.IFNAMSIZ]byte
		flags uint16
		_     [22]byte
	}
	copy(req.name[:], name)
	arg := uintptr(unsafe.Pointer(&req))
	if err := ioctl(fd, syscall.SIOCGIFFLAGS, arg); err != nil {
		return fmt.Errorf("look at %s: %w", name, err)
	}
	req.flags |= syscall.IFF_UP
	if err := ioctl(fd, syscall.SIOCSIFFLAGS, arg); err != nil {
		return fmt.Errorf("bring %s up: %w", name, err)
	}
	return nil
}
