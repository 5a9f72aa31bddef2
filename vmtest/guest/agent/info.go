// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/seriesrig/series/vmtest/guest"
)

// hello tells what this guest is.
func hello(boot time.Duration, warnings []string) guest.Hello {
	h := guest.Hello{
		Version: guest.Version, Agent: runtime.Version(), Arch: runtime.GOARCH,
		CPUs: runtime.NumCPU(), PID: os.Getpid(), Boot: boot, Warnings: warnings,
	}
	var u syscall.Utsname
	if syscall.Uname(&u) == nil {
		h.Release, h.Kernel = cstring(u.Release[:]), cstring(u.Version[:])
	}
	var s syscall.Sysinfo_t
	if syscall.Sysinfo(&s) == nil {
		h.Memory = int64(s.Totalram) * int64(max(s.Unit, 1))
	}
	if b, err := os.ReadFile("/proc/cmdline"); err == nil {
		h.Command = strings.TrimSpace(string(b))
	}
	if b, err := os.ReadFile("/sys/kernel/notes"); err == nil {
		h.BuildID = buildID(b, binary.NativeEndian)
	}
	h.Now = now()
	return h
}

func cstring[T int8 | uint8](b []T) string {
	s := make([]byte, 0, len(b))
	for _, c := range b {
		if c == 0 {
			break
		}
		s = append(s, byte(c))
	}
	return string(s)
}

// buildID finds the GNU build-id in ELF notes: name size, descriptor size and type, 4 bytes each, then name and
// descriptor, each padded to 4 bytes. See elf(5).
func buildID(notes []byte, order binary.ByteOrder) string {
	const ntGNUBuildID = 3
	for len(notes) >= 12 {
		name, desc, kind := order.Uint32(notes), order.Uint32(notes[4:]), order.Uint32(notes[8:])
		notes = notes[12:]
		n, d := (uint64(name)+3)&^3, (uint64(desc)+3)&^3
		if n+uint64(desc) > uint64(len(notes)) {
			return ""
		}
		if kind == ntGNUBuildID && bytes.Equal(notes[:name], []byte("GNU\x00")) {
			return hex.EncodeToString(notes[n : n+uint64(desc)])
		}
		notes = notes[min(n+d, uint64(len(notes))):]
	}
	return ""
}

// environ is what every command gets: base, then the command's own on top; of two of one name the later counts.
func environ(base, own []string) []string {
	all := append(append([]string(nil), base...), own...)
	last := make(map[string]int, len(all))
	for i, kv := range all {
		name, _, _ := strings.Cut(kv, "=")
		last[name] = i
	}
	env := all[:0:0]
	for i, kv := range all {
		name, _, _ := strings.Cut(kv, "=")
		if last[name] == i {
			env = append(env, kv)
		}
	}
	return env
}

func lookup(env []string, name string) string {
	for _, kv := range env {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			return v
		}
	}
	return ""
}

// find looks a program up in the PATH of env. A name with a slash is taken as it is, below dir.
func find(name, dir string, env []string) (string, error) {
	if strings.ContainsRune(name, '/') {
		return name, executable(join(dir, name))
	}
	err := error(syscall.ENOENT)
	for _, d := range strings.Split(lookup(env, "PATH"), ":") {
		path := join(dir, d) + "/" + name
		e := executable(path)
		if e == nil {
			return path, nil
		}
		if e != syscall.ENOENT && e != syscall.ENOTDIR {
			err = e
		}
	}
	return "", err
}

func join(dir, path string) string {
	if strings.HasPrefix(path, "/") || dir == "" {
		return path
	}
	return dir + "/" + path
}

func executable(path string) error {
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		return err
	}
	if st.Mode&syscall.S_IFMT == syscall.S_IFDIR || st.Mode&0o111 == 0 {
		return syscall.EACCES
	}
	return nil
}
