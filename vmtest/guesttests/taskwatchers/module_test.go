// SPDX-License-Identifier: Apache-2.0

//go:build guest

package taskwatchers

import (
	"bytes"
	"errors"
	"fmt"
	"github.com/seriesrig/series/internal/need"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seriesrig/series/vmtest/guesttests/internal/fork"
)

const moduleName = "task_watchers_sample"

// A module is the sample of the series: it counts events.
type module struct {
	testing.TB
	file string
}

// sample needs the module, which the series brings with one of its last patches. It is below /lib/modules, or below the
// folder that SERIES_MODULES names, for guests of series exec.
func sample(t testing.TB) module {
	t.Helper()
	watchers(t)
	m := module{TB: t}
	dir := os.Getenv("SERIES_MODULES")
	if dir == "" {
		dir = "/lib/modules"
	}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == moduleName+".ko" {
			m.file = p
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if m.file == "" {
		need.Missing(t, fmt.Sprintf("this build of the kernel has no %s.ko", moduleName))
	}
	return m
}

func (m module) load() {
	m.Helper()
	f, err := os.Open(m.file)
	if err != nil {
		m.Fatal(err)
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil {
		m.Fatalf("load %s: %v", m.file, err)
	}
}

func (m module) unload() {
	m.Helper()
	if err := unix.DeleteModule(moduleName, unix.O_NONBLOCK); err != nil {
		m.Fatalf("unload %s: %v", moduleName, err)
	}
	if _, err := os.Stat("/sys/module/" + moduleName); !errors.Is(err, fs.ErrNotExist) {
		m.Errorf("after it was unloaded, /sys/module/%s: %v", moduleName, err)
	}
}

func (m module) count(event string) int {
	m.Helper()
	n, err := strconv.Atoi(read(m, filepath.Join("/sys/module", moduleName, "parameters", event)))
	if err != nil {
		m.Fatal(err)
	}
	return n
}

// A kernelLog is what the kernel logs from some moment on.
type kernelLog struct {
	testing.TB
	fd int
}

func openLog(t testing.TB) kernelLog {
	t.Helper()
	fd, err := unix.Open("/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err == nil {
		_, err = unix.Seek(fd, 0, unix.SEEK_END)
	}
	if err != nil {
		t.Fatalf("/dev/kmsg: %v", err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return kernelLog{t, fd}
}

// find returns the next record that matches, which has to be there.
func (l kernelLog) find(re *regexp.Regexp) []string {
	l.Helper()
	var b [8192]byte
	for {
		n, err := unix.Read(l.fd, b[:])
		if err == unix.EPIPE || err == unix.EINTR { // some were overwritten; go on with the oldest
			continue
		}
		if err != nil {
			l.Fatalf("the kernel has not logged %v: %v", re, err)
		}
		_, text, _ := bytes.Cut(b[:n], []byte(";"))
		if found := re.FindStringSubmatch(string(text)); found != nil {
			return found
		}
	}
}

var farewell = regexp.MustCompile(moduleName + `: init (\d+) clone (\d+) exec (\d+) uid (\d+) gid (\d+) exit (\d+) free (\d+) dead (\d+)`)

// A module sees each event once, and a fork that fails at init and free. What it logs when it goes is what was last to be
// read, as nothing is counted once it is unloaded.
func TestModuleCounts(t *testing.T) {
	m := sample(t)
	log := openLog(t)
	full := newCgroup(t)
	full.set("pids.max", "0")
	w := startWorker(t)
	m.load()
	names := []string{"init", "clone", "exec", "uid", "gid", "exit", "free", "dead"}
	before := map[string]int{}
	for _, name := range names {
		before[name] = m.count(name)
	}
	const forks, failures = 20, 10
	setgid := fork.Call{Nr: unix.SYS_SETGID, Args: [6]uintptr{1001}}
	setuid := fork.Call{Nr: unix.SYS_SETUID, Args: [6]uintptr{1002}}
	for range forks {
		w.fork(fork.Options{}, setgid, setgid, setuid, setuid)
	}
	for range failures {
		w.fails(unix.EAGAIN, fork.Options{Flags: unix.CLONE_INTO_CGROUP, Cgroup: full.fd})
	}
	// Other tasks fork as well, so there may be more; but only these tasks change their IDs.
	for name, want := range map[string]int{"init": forks + failures, "clone": forks, "exec": 0, "uid": forks, "gid": forks,
		"exit": forks, "free": forks + failures, "dead": forks} {
		got := m.count(name) - before[name]
		if got < want || got > want && (name == "uid" || name == "gid") {
			t.Errorf("the module has counted %d of %s, want %d", got, name, want)
		}
	}
	last := map[string]int{}
	for _, name := range names {
		last[name] = m.count(name)
	}
	m.unload()
	found := log.find(farewell)
	for i, name := range names {
		if n, _ := strconv.Atoi(found[i+1]); n < last[name] || n > last[name]+5 {
			t.Errorf("when it went, the module had counted %d of %s, want %d, or a little more", n, name, last[name])
		}
	}
	for range 50 {
		w.fork(fork.Options{}, setgid, setuid)
	}
}

// The table of a module is read-only, too, and its data is not.
func TestModuleTableIsReadOnly(t *testing.T) {
	m := sample(t)
	m.load()
	defer m.unload()
	all := pageTables(t)
	section := func(name string) uint64 {
		addr, err := strconv.ParseUint(read(t, filepath.Join("/sys/module", moduleName, "sections", name)), 0, 64)
		if err != nil || addr == 0 {
			t.Fatalf("address of section %s: %#x, %v", name, addr, err)
		}
		return addr
	}
	if err := readOnly(all, section(".bss")); err == nil || !strings.Contains(err.Error(), "written") {
		t.Errorf("the module's .bss: %v", err)
	}
	tables, err := filepath.Glob("/sys/module/" + moduleName + "/sections/*task_watchers*")
	if err != nil {
		t.Fatal(err)
	}
	if len(tables) < 8 {
		t.Errorf("sections %v of the module, want one for each of 8 events", tables)
	}
	for _, s := range tables {
		if err := readOnly(all, section(filepath.Base(s))); err != nil {
			t.Errorf("section %s: %v", filepath.Base(s), err)
		}
	}
}

// Load and unload while tasks come and go, as often as SERIES_TIMES says.
func TestModuleUnderForkStorm(t *testing.T) {
	times := 10
	if s := os.Getenv("SERIES_TIMES"); s != "" {
		var err error
		if times, err = strconv.Atoi(s); err != nil {
			t.Fatalf("SERIES_TIMES: %v", err)
		}
	}
	m := sample(t)
	log := openLog(t)
	lockdep(t)
	s := startStorm(t)
	round := func() {
		m.load()
		s.children(50)
		var seen int
		eventually(t, "the module counts", func() bool { seen = m.count("init"); return seen > 0 && m.count("dead") > 0 })
		m.unload()
		if n, _ := strconv.Atoi(log.find(farewell)[1]); n < seen {
			t.Errorf("when it went, the module had counted %d forks, and %d before that", n, seen)
		}
	}
	round()
	// Loading and unloading make and free the module, its sections and sysfs files; each has less than this of anything.
	count := slabCount{t, nil, max(times/2, 5)}
	s.end()
	time.Sleep(100 * time.Millisecond)
	count.before = slabs(t)
	areas := areasOf(t)
	s = startStorm(t)
	for range times {
		round()
	}
	s.end()
	if times >= 100 {
		count.settled(fmt.Sprintf("loading a module %d times", times))
	}
	eventually(t, "the memory of the modules is free", func() bool { return areasOf(t) <= areas })
	if mods := read(t, "/proc/modules"); strings.Contains(mods, moduleName) {
		t.Errorf("/proc/modules has %s", mods)
	}
	lockdep(t)
}

// areasOf counts the areas of virtual memory that modules have.
func areasOf(t testing.TB) int { return strings.Count(read(t, "/proc/vmallocinfo"), "execmem") }
