// SPDX-License-Identifier: Apache-2.0

//go:build guest

// Package trinity has Trinity, a fuzzer of system calls that Debian has, at work in a guest for some time. What it does is
// random; what counts is that the kernel neither complains nor ends, which is for the host to see on the console, and
// that nothing taints it. The host says by SERIES_TRINITY in which folder trinity is, with its libc and the loader beside it,
// and by SERIES_DURATION for how long (10m if it does not).
package trinity

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seriesrig/series/internal/need"
)

const (
	nobody   = 65534
	calls    = 20_000          // of a run
	longest  = 3 * time.Minute // of a run; one that hangs is ended, and another begins
	children = 4
)

// A fuzzer runs as nobody, in a folder of its own.
type fuzzer struct {
	testing.TB
	lib, dir string
}

func TestTrinity(t *testing.T) {
	lib := os.Getenv("SERIES_TRINITY")
	if lib == "" {
		need.Missing(t, "SERIES_TRINITY does not say where trinity is; scripts/trinity does")
	}
	duration := 10 * time.Minute
	if s := os.Getenv("SERIES_DURATION"); s != "" {
		var err error
		if duration, err = time.ParseDuration(s); err != nil {
			t.Fatal(err)
		}
	}
	if cmdline, err := os.ReadFile("/proc/cmdline"); err != nil || !bytes.Contains(cmdline, []byte(" audit=1")) {
		t.Fatalf("no audit=1 on the kernel's command line (%v): tasks have no audit context", err)
	}
	// When memory runs out, it is not us who have to go.
	if err := os.WriteFile("/proc/self/oom_score_adj", []byte("-1000"), 0); err != nil {
		t.Fatal(err)
	}
	f := fuzzer{t, lib, "/fuzz"}
	if err := errors.Join(os.MkdirAll(f.dir, 0o777), unix.Mount("tmpfs", f.dir, "tmpfs", 0, "size=64m,mode=1777")); err != nil {
		t.Fatal(err)
	}
	total, runs, empty := 0, 0, 0
	for end := time.Now().Add(duration); time.Now().Before(end); {
		runs++
		n, out := f.run(runs, min(longest, time.Until(end)))
		total += n
		if n == 0 {
			empty++ // it has bugs of its own, which some seeds find at once
			t.Logf("run %d came to an end without a count of system calls:\n%s", runs, tail(out))
		}
		f.kill()
	}
	t.Logf("%d system calls in %d runs, within %v", total, runs, duration)
	if least := int(duration.Seconds()) * 100; total < least || empty > runs/2 {
		t.Errorf("%d system calls, want at least %d; %d of %d runs without any", total, least, empty, runs)
	}
	if tainted, err := os.ReadFile("/proc/sys/kernel/tainted"); err != nil || strings.TrimSpace(string(tainted)) != "0" {
		t.Errorf("/proc/sys/kernel/tainted: %s, %v, want 0", bytes.TrimSpace(tainted), err)
	}
}

var (
	ran      = regexp.MustCompile(`Ran (\d+) syscalls`)
	progress = regexp.MustCompile(`(?m)^.*?(\d+) iterations`)
)

// run has trinity do some calls, with a seed of its own, and returns how many it says that it did.
func (f fuzzer) run(seed int, limit time.Duration) (n int, out []byte) {
	f.Helper()
	cmd := exec.Command(filepath.Join(f.lib, "ld-linux-x86-64.so.2"), "--library-path", f.lib, filepath.Join(f.lib, "trinity"),
		"-q", "-l", "off", "-a64", "-C", strconv.Itoa(children), "-N", strconv.Itoa(calls), "-s", strconv.Itoa(seed))
	cmd.Dir = f.dir
	cmd.Env = []string{"HOME=" + f.dir, "PATH=/bin"}
	var b bytes.Buffer
	cmd.Stdout, cmd.Stderr = &b, &b
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		f.Fatal(err)
	}
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", cmd.Process.Pid), []byte("1000"), 0); err != nil {
		f.Fatal(err)
	}
	stop := time.AfterFunc(limit, func() { cmd.Process.Signal(os.Interrupt) })
	dead := time.AfterFunc(limit+10*time.Second, f.kill)
	_ = cmd.Wait() // how it ends is its own affair
	stop.Stop()
	dead.Stop()
	out = b.Bytes()
	if m := ran.FindSubmatch(out); m != nil {
		n, _ = strconv.Atoi(string(m[1]))
	} else if all := progress.FindAllSubmatch(out, -1); len(all) > 0 {
		n, _ = strconv.Atoi(string(all[len(all)-1][1]))
	}
	return n, out
}

// kill ends all that nobody has left, which takes more than one look where they fork.
func (f fuzzer) kill() {
	for range 100 {
		left := 0
		procs, _ := filepath.Glob("/proc/[0-9]*")
		for _, dir := range procs {
			var st unix.Stat_t
			if unix.Stat(dir, &st) != nil || st.Uid != nobody {
				continue
			}
			if b, err := os.ReadFile(filepath.Join(dir, "stat")); err != nil || bytes.Contains(b, []byte(") Z ")) {
				continue
			}
			left++
			if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil {
				_ = unix.Kill(pid, unix.SIGKILL)
			}
		}
		if left == 0 {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	f.Log("some of nobody's processes do not end")
}

func tail(b []byte) []byte {
	return b[max(0, len(b)-500):]
}
