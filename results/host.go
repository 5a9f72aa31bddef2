// SPDX-License-Identifier: Apache-2.0

package results

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"
)

// ThisHost describes the machine this program runs on. What cannot be read is left empty: a record without the CPU's
// name is better than no record.
func ThisHost() Host {
	h := Host{Cores: runtime.NumCPU()}
	h.CPU = lookup("/proc/cpuinfo", ":", "model name", "cpu", "Processor")
	h.OS = strings.Trim(lookup("/etc/os-release", "=", "PRETTY_NAME"), `"`)
	var uts unix.Utsname
	if unix.Uname(&uts) == nil {
		h.Kernel = unix.ByteSliceToString(uts.Release[:])
	}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		h.Memory = int64(info.Totalram) * int64(info.Unit)
	}
	if data, err := os.ReadFile("/proc/loadavg"); err == nil {
		// A short read leaves zeros, which is what an idle machine has.
		_, _ = fmt.Sscan(string(data), &h.Load[0], &h.Load[1], &h.Load[2])
	}
	return h
}

// lookup returns the value of the first of the keys that a "key SEP value" file has.
func lookup(path, sep string, keys ...string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for _, want := range keys {
		s := bufio.NewScanner(bytes.NewReader(data))
		for s.Scan() {
			key, value, ok := strings.Cut(s.Text(), sep)
			if ok && strings.TrimSpace(key) == want {
				return strings.TrimSpace(value)
			}
		}
	}
	return ""
}

// ThisTool describes this program, from what the Go linker wrote into it.
func ThisTool() Tool {
	t := Tool{Name: "series", Version: "unknown", Go: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return t
	}
	t.Version = info.Main.Version
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			t.Commit = s.Value
		case "vcs.modified":
			t.Dirty = s.Value == "true"
		}
	}
	if t.Version == "" {
		t.Version = "(devel)"
	}
	return t
}
