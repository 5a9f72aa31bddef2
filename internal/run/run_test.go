// SPDX-License-Identifier: Apache-2.0

package run

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain lets the test binary be a parent that dies.
func TestMain(m *testing.M) {
	if os.Getenv("SERIES_TEST_PARENT") != "" {
		p, err := sh(`sleep 60 & echo $$ $!; wait`).Start(context.Background())
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		p.Wait()
		return
	}
	os.Exit(m.Run())
}

func sh(script string) Cmd {
	return Cmd{Name: "sh", Args: []string{"-c", script}, Stdout: os.Stdout}
}

// gone waits until a process has ended; a zombie that nobody has collected yet has.
func gone(t *testing.T, pid string) {
	t.Helper()
	for end := time.Now().Add(3 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		_, state, _ := strings.Cut(string(stat), ") ")
		if err != nil || strings.HasPrefix(state, "Z") {
			return
		}
		if time.Now().After(end) {
			n, _ := strconv.Atoi(pid)
			syscall.Kill(n, syscall.SIGKILL)
			t.Fatalf("process %s is still there: %s", pid, stat)
		}
	}
}

func TestRun(t *testing.T) {
	var out, errs bytes.Buffer
	c := sh("echo out; echo warned >&2; cat; pwd")
	dir := t.TempDir()
	c.Stdin, c.Stdout, c.Stderr, c.Dir = strings.NewReader("in\n"), &out, &errs, dir
	if err := c.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); got != "out\nin\n"+dir+"\n" || errs.String() != "warned\n" {
		t.Errorf("stdout %q, stderr %q", got, errs.String())
	}
	got, err := sh("echo x").Output(t.Context())
	if err != nil || string(got) != "x\n" {
		t.Errorf("Output = %q, %v", got, err)
	}
}

func TestExitError(t *testing.T) {
	err := sh("echo first >&2; echo last >&2; exit 7").Run(t.Context())
	var e *ExitError
	if !errors.As(err, &e) || e.Code != 7 || e.Signal != 0 || e.Stderr != "first\nlast\n" || err.Error() != "sh: exit status 7: last" {
		t.Errorf("Run = %+v, %v", e, err)
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		t.Errorf("%v passes for an error of a full disk", err)
	}
	for says, errno := range map[string]syscall.Errno{"write error: No space left on device": syscall.ENOSPC, "write error: Disk quota exceeded": syscall.EDQUOT} {
		if err := sh("echo '" + says + "' >&2; echo 'gave up' >&2; exit 1").Run(t.Context()); !errors.Is(err, errno) {
			t.Errorf("%q does not pass for %v", says, errno)
		}
	}
	if err := sh("kill -9 $$").Run(t.Context()); !errors.As(err, &e) || e.Signal != syscall.SIGKILL || e.Code != -1 {
		t.Errorf("Run = %+v, %v", e, err)
	}
	err = sh("i=0; while [ $i -lt 2000 ]; do echo line $i >&2; i=$((i+1)); done; exit 1").Run(t.Context())
	if !errors.As(err, &e) || len(e.Stderr) > stderrTail || !strings.HasSuffix(e.Stderr, "line 1999\n") {
		t.Errorf("of much on stderr %d bytes are kept, want the last %d", len(e.Stderr), stderrTail)
	}
}

func TestMissing(t *testing.T) {
	for tool, pkg := range map[string]string{"qemu-system-no-such": "qemu-system-no-such", "qemu-system-ppc64": "qemu-system-ppc"} {
		t.Run(tool, func(t *testing.T) {
			t.Setenv("PATH", t.TempDir())
			err := Cmd{Name: tool}.Run(t.Context())
			var e *MissingError
			if !errors.As(err, &e) || e.Package != pkg || !strings.Contains(err.Error(), "apt-get install "+pkg) {
				t.Errorf("Run(%s) = %v, want a MissingError", tool, err)
			}
		})
	}
	if err := (Cmd{Name: "/no/such/tool"}).Run(t.Context()); err == nil || errors.As(err, new(*MissingError)) {
		t.Errorf("Run of a path = %v, want an error without a package", err)
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("GIT_DIR", "/evil")
	t.Setenv("MAKEFLAGS", "-n")
	t.Setenv("LC_ALL", "de_DE.UTF-8")
	c := sh(`echo "$GIT_DIR,$MAKEFLAGS,$LC_ALL,$X"`)
	c.Env = CleanEnv("X=1", "X=2")
	if got, err := c.Output(t.Context()); err != nil || string(got) != ",,C,2\n" {
		t.Errorf("the child has %q, %v", got, err)
	}
	c.Env = nil // the same without a word
	if got, err := c.Output(t.Context()); err != nil || string(got) != ",,C,\n" {
		t.Errorf("with no Env, the child has %q, %v", got, err)
	}
}

// The ladder: SIGTERM, which may be enough; then, after the grace, SIGKILL.
func TestStop(t *testing.T) {
	for _, test := range []struct {
		script   string
		grace    time.Duration
		min, max time.Duration
		signal   syscall.Signal
		code     int
	}{
		{"trap 'exit 3' TERM; echo ready; while :; do sleep 0.01; done", time.Minute, 0, 3 * time.Second, 0, 3},
		{"echo ready; exec sleep 60", time.Minute, 0, 3 * time.Second, syscall.SIGTERM, -1},
		{"trap '' TERM; echo ready; while :; do sleep 0.01; done", 300 * time.Millisecond, 300 * time.Millisecond, 5 * time.Second, syscall.SIGKILL, -1},
	} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		c := sh(test.script)
		c.Grace, c.Stdout = test.grace, w
		ctx, cancel := context.WithCancelCause(t.Context())
		p, err := c.Start(ctx)
		w.Close()
		if err != nil {
			t.Fatal(err)
		}
		bufio.NewReader(r).ReadString('\n')
		start := time.Now()
		cancel(errors.New("enough"))
		err = p.Wait()
		var e *ExitError
		if d := time.Since(start); !errors.As(err, &e) || e.Signal != test.signal || e.Code != test.code || d < test.min || d > test.max {
			t.Errorf("%s: %v after %v", test.script, err, d)
		}
		p.Stop() // of what is gone
		r.Close()
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("cause")
	time.AfterFunc(50*time.Millisecond, func() { cancel(cause) })
	if err := sh("exec sleep 60").Run(ctx); !errors.Is(err, cause) {
		t.Errorf("Run = %v, want %v", err, cause)
	}
	if _, err := sh("echo not to be seen").Start(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Start after the context's end = %v", err)
	}
}

// Whatever the child has started in its group goes with it, also when the child itself went quietly.
func TestGroup(t *testing.T) {
	for _, script := range []string{
		"sleep 60 & echo $!; wait",
		"(trap '' TERM; sleep 60; sleep 60) & echo $!; trap 'exit 0' TERM; wait",
		"sh -c 'sleep 60 & echo $!; wait'; true",
	} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		c := sh(script)
		c.Stdout, c.Grace = w, 300*time.Millisecond
		ctx, cancel := context.WithCancel(t.Context())
		p, err := c.Start(ctx)
		w.Close()
		if err != nil {
			t.Fatal(err)
		}
		pid, _ := bufio.NewReader(r).ReadString('\n')
		cancel()
		p.Stop()
		gone(t, strings.TrimSpace(pid))
		r.Close()
	}
}

// A descendant in a session of its own that keeps our pipe open does not hold Wait.
func TestEscapedDescendant(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	c := sh("setsid sh -c 'echo $$ > " + file + "; exec sleep 60' & while ! [ -s " + file + " ]; do sleep 0.01; done")
	var out bytes.Buffer
	c.Stdout = &out
	start := time.Now()
	err := c.Run(t.Context())
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("Run took %v (%v)", d, err)
	}
	pid, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	n, _ := strconv.Atoi(strings.TrimSpace(string(pid)))
	syscall.Kill(n, syscall.SIGKILL)
	gone(t, strings.TrimSpace(string(pid)))
}

// When this process is killed, its children get their signal.
func TestParentDeath(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	x := exec.Command(exe)
	x.Env = append(os.Environ(), "SERIES_TEST_PARENT=1")
	out, err := x.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := x.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	pids := strings.Fields(line)
	if err != nil || len(pids) != 2 {
		t.Fatalf("parent says %q, %v", line, err)
	}
	x.Process.Kill()
	x.Wait()
	gone(t, pids[0])
	n, _ := strconv.Atoi(pids[1]) // the grandchild is the child's to end; this one does not
	syscall.Kill(n, syscall.SIGKILL)
}

// Both outputs into one writer keep their order.
func TestOneLog(t *testing.T) {
	var log bytes.Buffer
	c := sh("for i in 1 2 3 4 5 6 7 8 9; do echo o$i; echo e$i >&2; done")
	c.Stdout, c.Stderr = &log, &log
	if err := c.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := ""
	for i := 1; i < 10; i++ {
		want += fmt.Sprintf("o%d\ne%d\n", i, i)
	}
	if log.String() != want {
		t.Errorf("log is %q, want %q", log.String(), want)
	}
}

// A lock that a child inherited is held as long as the child runs, whatever happens to us.
func TestInheritedLock(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	lock := func() *os.File {
		f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	ours := lock()
	if err := syscall.Flock(int(ours.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	c := sh("sleep 60")
	c.Files = []*os.File{ours}
	p, err := c.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ours.Close()
	other := lock()
	defer other.Close()
	if err := syscall.Flock(int(other.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); !errors.Is(err, syscall.EWOULDBLOCK) {
		t.Errorf("lock while the child runs: %v, want EWOULDBLOCK", err)
	}
	p.Stop()
	for end := time.Now().Add(3 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if err = syscall.Flock(int(other.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err == nil || time.Now().After(end) {
			break
		}
	}
	if err != nil {
		t.Errorf("lock after the child's end: %v", err)
	}
}
