// SPDX-License-Identifier: Apache-2.0

package guest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seriesrig/series/vmtest/guest"
)

func TestHello(t *testing.T) {
	r := startAgent(t)
	h, err := r.Hello(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		t.Fatal(err)
	}
	if h.Version != guest.Version || h.Release != strings.TrimSpace(string(release)) || h.PID != r.cmd.Process.Pid {
		t.Errorf("Hello = %+v, want version %d, release %s, pid %d", h, guest.Version, release, r.cmd.Process.Pid)
	}
	if h.Boot <= 0 || h.Now.Boottime < h.Boot || h.Memory < 1<<20 || h.CPUs < 1 {
		t.Errorf("Hello = %+v: clocks, memory or CPUs cannot be", h)
	}
	if _, at := r.LastHeartbeat(); at.IsZero() || r.LastFrame().IsZero() {
		t.Error("no time of the last heartbeat or frame after hello")
	}
}

func TestRun(t *testing.T) {
	r := startAgent(t)
	exit, out, errs := r.run(t, `echo "$A $PWD $#"; pwd; echo oops >&2; exit 7`, func(c *guest.Command, _ *guest.Stdio) {
		c.Env, c.Dir = []string{"A=1", "A=2"}, "/usr"
	})
	if exit.Status != 7 || exit.Signal != 0 || exit.Success() || exit.Killed || exit.TimedOut {
		t.Errorf("exit = %+v, want status 7", exit)
	}
	if out != "2 /usr 0\n/usr\n" || errs != "oops\n" {
		t.Errorf("stdout %q, stderr %q", out, errs)
	}
	if exit.Usage.MaxRSS < 100<<10 || exit.Wall() <= 0 || exit.Usage.MinorFaults == 0 {
		t.Errorf("usage %+v, wall %v: cannot be", exit.Usage, exit.Wall())
	}
	// The agent's own descriptors stay with the agent. What this test inherited itself, everybody has.
	want, err := exec.Command("sh", "-c", "ls /proc/self/fd").Output()
	if err != nil {
		t.Fatal(err)
	}
	if _, out, _ := r.run(t, "ls /proc/self/fd"); out != string(want) {
		t.Errorf("a command's descriptors: %q, want %q", out, want)
	}
}

func TestRunEndsBySignal(t *testing.T) {
	r := startAgent(t)
	exit, _, _ := r.run(t, "kill -SEGV $$")
	if exit.Signal != syscall.SIGSEGV || exit.Status != -1 || exit.Success() {
		t.Errorf("exit = %+v, want signal 11", exit)
	}
}

func TestRunNotStarted(t *testing.T) {
	r := startAgent(t)
	for _, c := range []struct {
		cmd  guest.Command
		want string
	}{
		{guest.Command{Argv: []string{"no-such-program"}}, "exec no-such-program: no such file or directory"},
		{guest.Command{Argv: []string{"/etc/passwd"}}, "exec /etc/passwd: permission denied"},
		{guest.Command{Argv: []string{"true"}, Dir: "/no/such"}, "stat /no/such: no such file or directory"},
		{guest.Command{Argv: []string{"true"}, Dir: "/etc/passwd"}, "chdir /etc/passwd: not a directory"},
	} {
		exit, err := r.Run(testContext(t), c.cmd, guest.Stdio{})
		var start *guest.StartError
		if !errors.As(err, &start) || start.Why != c.want || exit != nil {
			t.Errorf("Run(%v) = %v, %v, want %q", c.cmd.Argv, exit, err, c.want)
		}
	}
	r.run(t, "true") // and goes on
}

// Lines of both outputs keep their order with Merge.
func TestMerge(t *testing.T) {
	r := startAgent(t)
	_, out, errs := r.run(t, "for i in 1 2 3 4 5; do echo o$i; echo e$i >&2; done",
		func(c *guest.Command, _ *guest.Stdio) { c.Merge = true })
	if out != "o1\ne1\no2\ne2\no3\ne3\no4\ne4\no5\ne5\n" || errs != "" {
		t.Errorf("stdout %q, stderr %q", out, errs)
	}
}

// Output comes while the command runs, not at its end.
func TestOutputStreams(t *testing.T) {
	r := startAgent(t)
	in, answer := io.Pipe()
	lines := make(chan string, 8)
	r.run(t, `echo one; read x; echo "got $x"`, func(c *guest.Command, s *guest.Stdio) {
		s.Stdin = in
		s.Stdout = writerFunc(func(b []byte) (int, error) {
			lines <- string(b)
			if string(b) == "one\n" { // the command waits for this
				go answer.Write([]byte("two\n"))
			}
			return len(b), nil
		})
	})
	answer.Close()
	close(lines)
	var all []string
	for l := range lines {
		all = append(all, l)
	}
	if got := strings.Join(all, ""); got != "one\ngot two\n" {
		t.Errorf("stdout = %q", got)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

func TestStdin(t *testing.T) {
	r := startAgent(t)
	data := bytes.Repeat([]byte("0123456789abcde\n"), 1<<16) // 1 MiB, many times the window
	exit, out, _ := r.run(t, "cat", func(c *guest.Command, s *guest.Stdio) { s.Stdin = bytes.NewReader(data) })
	if !exit.Success() || out != string(data) {
		t.Errorf("cat of %d bytes: %v and %d bytes", len(data), exit, len(out))
	}
	// A program that does not read its input does not hold anything up.
	if exit, _, _ := r.run(t, "true", func(c *guest.Command, s *guest.Stdio) { s.Stdin = bytes.NewReader(data) }); !exit.Success() {
		t.Errorf("true: %v", exit)
	}
	if _, out, _ := r.run(t, "cat; echo end"); out != "end\n" {
		t.Errorf("cat without input = %q", out)
	}
}

func TestSignal(t *testing.T) {
	r := startAgent(t)
	if err := r.Signal(testContext(t), syscall.SIGTERM); !errors.Is(err, guest.ErrNotRunning) {
		t.Errorf("Signal without a command = %v, want ErrNotRunning", err)
	}
	// To the whole group, and though the program's input is stuffed and never read.
	stuffed := bytes.NewReader(make([]byte, 1<<20))
	exit, out, _ := r.run(t, `trap 'echo caught; exit 3' TERM; (trap 'echo child' TERM; sleep 60) & echo ready; wait; wait`,
		func(c *guest.Command, s *guest.Stdio) {
			out := s.Stdout
			s.Stdin = stuffed
			s.Stdout = writerFunc(func(b []byte) (int, error) {
				if bytes.Contains(b, []byte("ready")) {
					time.Sleep(50 * time.Millisecond)
					go r.Signal(context.Background(), syscall.SIGTERM)
				}
				return out.Write(b)
			})
		})
	if exit.Status != 3 || !strings.Contains(out, "caught") {
		t.Errorf("exit %v, stdout %q", exit, out)
	}
}

func TestWallLimit(t *testing.T) {
	r := startAgent(t)
	exit, out, _ := r.run(t, `trap 'echo quit' QUIT; while :; do sleep 0.05; done`,
		func(c *guest.Command, _ *guest.Stdio) { c.Wall = 200 * time.Millisecond })
	if !exit.TimedOut || exit.Signal != syscall.SIGKILL || !strings.Contains(out, "quit") {
		t.Errorf("exit %+v, stdout %q, want SIGQUIT, then SIGKILL", exit, out)
	}
	if w := exit.Wall(); w < time.Second || w > 5*time.Second {
		t.Errorf("wall = %v, want 1.2 s", w)
	}
	exit, _, _ = r.run(t, "true", func(c *guest.Command, _ *guest.Stdio) { c.Wall = time.Minute })
	if exit.TimedOut || !exit.Success() {
		t.Errorf("exit = %+v", exit)
	}
}

func TestRlimits(t *testing.T) {
	r := startAgent(t)
	exit, out, errs := r.run(t, "ulimit -S -n; ulimit -H -n; ulimit -c", func(c *guest.Command, _ *guest.Stdio) {
		c.Rlimits = []guest.Rlimit{
			{Resource: syscall.RLIMIT_NOFILE, Soft: 33, Hard: 44},
			{Resource: syscall.RLIMIT_CORE, Soft: 0, Hard: 0},
		}
	})
	if !exit.Success() || out != "33\n44\n0\n" {
		t.Errorf("exit %v, stdout %q, stderr %q", exit, out, errs)
	}
	if _, out, _ := r.run(t, "ulimit -H -n"); out == "44\n" {
		t.Error("the limit stayed for the next command")
	}
	exit, _, errs = r.run(t, "echo never", func(c *guest.Command, _ *guest.Stdio) {
		c.Rlimits = []guest.Rlimit{{Resource: 99}}
	})
	if exit.Status != 127 || !strings.Contains(errs, "set resource limit 99") {
		t.Errorf("a bad limit: %v, stderr %q", exit, errs)
	}
}

// What a command leaves in its group ends with it; what has left the group does not hold Run up.
func TestLeftovers(t *testing.T) {
	r := startAgent(t)
	exit, out, _ := r.run(t, "sleep 60 & echo $!")
	if !exit.Killed || !exit.Success() {
		t.Errorf("exit = %+v, want killed", exit)
	}
	waitGone(t, strings.TrimSpace(out))

	start := time.Now()
	exit, out, _ = r.run(t, `setsid sh -c 'echo $$; sleep 5' & sleep 0.2; echo last`)
	if !exit.Success() || exit.Killed || !strings.HasSuffix(out, "last\n") {
		t.Errorf("exit = %+v, stdout %q", exit, out)
	}
	if d := time.Since(start); d > 3*time.Second {
		t.Errorf("Run waited %v for what has left the group", d)
	}
	var pid int
	fmt.Sscan(out, &pid)
	syscall.Kill(-pid, syscall.SIGKILL)
	waitGone(t, fmt.Sprint(pid))
}

// waitGone waits until a process is gone and reaped.
func waitGone(t *testing.T, pid string) {
	t.Helper()
	for range 200 {
		if _, err := os.Stat("/proc/" + pid); err != nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("process %s is still there", pid)
}

// The agent reaps orphans, and never takes a command's exit for an orphan's.
func TestReaper(t *testing.T) {
	r := startAgent(t)
	for i := range 40 {
		exit, _, _ := r.run(t, fmt.Sprintf("(setsid true &); (setsid true &); exit %d", i))
		if exit.Status != i {
			t.Fatalf("exit = %v, want status %d", exit, i)
		}
	}
	for range 200 {
		if len(children(t, r.cmd.Process.Pid)) == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("children of the agent: %v", children(t, r.cmd.Process.Pid))
}

func TestRunCancelled(t *testing.T) {
	r := startAgent(t)
	ctx, cancel := context.WithCancelCause(testContext(t))
	why := errors.New("enough")
	var pid int
	start := time.Now()
	exit, err := r.Run(ctx, guest.Command{Argv: []string{"sleep", "60"}}, guest.Stdio{Started: func(s guest.Start) {
		pid = s.PID
		cancel(why)
	}})
	if exit != nil || !errors.Is(err, why) || time.Since(start) > 5*time.Second {
		t.Errorf("Run = %v, %v after %v", exit, err, time.Since(start))
	}
	// The next waits for that one's end.
	if _, out, _ := r.run(t, "echo next"); out != "next\n" {
		t.Errorf("stdout of the next = %q", out)
	}
	waitGone(t, fmt.Sprint(pid))
}

func TestRunBusy(t *testing.T) {
	r := startAgent(t)
	r.run(t, "sleep 0.2", func(_ *guest.Command, s *guest.Stdio) {
		s.Started = func(guest.Start) {
			if _, err := r.Run(testContext(t), guest.Command{Argv: []string{"true"}}, guest.Stdio{}); !errors.Is(err, guest.ErrBusy) {
				t.Errorf("Run while another runs = %v, want ErrBusy", err)
			}
		}
	})
}

// A handler that cannot take more ends the command.
func TestRunHandlerFails(t *testing.T) {
	r := startAgent(t)
	why := errors.New("disk full")
	exit, err := r.Run(testContext(t), guest.Command{Argv: []string{"sh", "-c", "while :; do echo y; done"}},
		guest.Stdio{Stdout: writerFunc(func([]byte) (int, error) { return 0, why })})
	if !errors.Is(err, why) || exit == nil || exit.Signal != syscall.SIGKILL {
		t.Errorf("Run = %v, %v", exit, err)
	}
	r.run(t, "true")
}

func TestEnd(t *testing.T) {
	for name, end := range map[string]func(*rig, context.Context) (guest.Done, error){
		"poweroff": func(r *rig, ctx context.Context) (guest.Done, error) { return r.Poweroff(ctx) },
		"reboot":   func(r *rig, ctx context.Context) (guest.Done, error) { return r.Reboot(ctx) },
	} {
		t.Run(name, func(t *testing.T) {
			r := startAgent(t)
			ctx := testContext(t)
			r.run(t, "true")
			done, err := end(r, ctx)
			if err != nil || done.Commands != 1 {
				t.Fatalf("end = %+v, %v", done, err)
			}
			<-r.Ended()
			if err := r.Err(); err != nil {
				t.Errorf("Err = %v", err)
			}
			if _, err := r.Run(ctx, guest.Command{Argv: []string{"true"}}, guest.Stdio{}); !errors.Is(err, guest.ErrDone) {
				t.Errorf("Run after done = %v, want ErrDone", err)
			}
			if _, err := r.Done(ctx); err != nil {
				t.Errorf("Done = %v", err)
			}
			<-r.gone
			if s := r.said.String(); s != "" {
				t.Errorf("the agent printed %q", s)
			}
		})
	}
}

// The end while a command runs kills it, and its exit is told before done.
func TestEndWhileRunning(t *testing.T) {
	r := startAgent(t)
	ended := make(chan error, 1)
	exit, _, _ := r.run(t, "sleep 60", func(_ *guest.Command, s *guest.Stdio) {
		s.Started = func(guest.Start) {
			go func() {
				_, err := r.Poweroff(testContext(t))
				ended <- err
			}()
		}
	})
	if err := <-ended; err != nil || exit.Signal != syscall.SIGKILL {
		t.Errorf("exit %v, poweroff %v", exit, err)
	}
}
