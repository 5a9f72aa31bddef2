// SPDX-License-Identifier: Apache-2.0

package guest_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seriesrig/series/vmtest/guest"
)

// A sink keeps the files that a guest brings back.
type sink struct {
	files map[string]string
	modes map[string]os.FileMode
}

type sinkFile struct {
	bytes.Buffer
	path string
	s    *sink
}

func (f *sinkFile) Close() error {
	f.s.files[f.path] = f.String()
	return nil
}

func (s *sink) take(f guest.File) (io.WriteCloser, error) {
	if s.files == nil {
		s.files, s.modes = make(map[string]string), make(map[string]os.FileMode)
	}
	s.modes[f.Path] = f.Mode
	return &sinkFile{path: f.Path, s: s}, nil
}

func TestCollect(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"old": "old", "changed": "before", "same": "12345", "other": "x"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r := startAgent(t)
	var got sink
	exit, _, _ := r.run(t, `mkdir -p sub/deep; echo new >sub/deep/new; echo after >changed; printf 54321 >same
		chmod 600 same; : >empty; ln -s /etc/passwd link; mkfifo fifo; head -c 700000 /dev/zero >big`,
		func(c *guest.Command, s *guest.Stdio) {
			c.Dir, c.Collect = dir, []string{dir, dir + "/sub", dir + "/not-there"}
			s.File = got.take
		})
	if !exit.Success() || len(exit.Warnings) > 0 {
		t.Fatalf("exit = %+v", exit)
	}
	want := map[string]string{
		dir + "/sub/deep/new": "new\n", dir + "/changed": "after\n", dir + "/same": "54321", dir + "/empty": "",
		dir + "/big": strings.Repeat("\x00", 700000),
	}
	if diff := cmp.Diff(want, got.files); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if got.modes[dir+"/same"] != 0o600 {
		t.Errorf("mode = %v, want 0600", got.modes[dir+"/same"])
	}
	// A file of its own, and nothing where nothing was written.
	got = sink{}
	r.run(t, "echo more >>changed; echo more >>old", func(c *guest.Command, s *guest.Stdio) {
		c.Dir, c.Collect, s.File = dir, []string{dir + "/changed", dir + "/sub"}, got.take
	})
	if diff := cmp.Diff(map[string]string{dir + "/changed": "after\nmore\n"}, got.files); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestCollectLimit(t *testing.T) {
	dir := t.TempDir()
	r := startAgent(t)
	var got sink
	exit, _, _ := r.run(t, "echo small >a; head -c 5000 /dev/zero >b; echo small >c", func(c *guest.Command, s *guest.Stdio) {
		c.Dir, c.Collect, c.CollectLimit, s.File = dir, []string{dir}, 1000, got.take
	})
	if !exit.Success() || len(exit.Warnings) != 1 || !strings.Contains(exit.Warnings[0], "/b (5000 bytes)") {
		t.Errorf("exit = %+v, want a warning about b", exit)
	}
	if diff := cmp.Diff(map[string]string{dir + "/a": "small\n"}, got.files); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestCollectBadPath(t *testing.T) {
	r := startAgent(t)
	for _, p := range []string{"relative", "/a/../b", "/a/"} {
		_, err := r.Run(testContext(t), guest.Command{Argv: []string{"true"}, Collect: []string{p}},
			guest.Stdio{File: new(sink).take})
		if err == nil || !strings.Contains(err.Error(), "clean absolute") {
			t.Errorf("Run collecting %q = %v", p, err)
		}
	}
}

// beats counts the heartbeats during d.
func (r *rig) beats(d time.Duration) int {
	n := 0
	_, last := r.LastHeartbeat()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if _, at := r.LastHeartbeat(); at != last {
			n, last = n+1, at
		}
	}
	return n
}

func TestHeartbeat(t *testing.T) {
	r := startAgent(t)
	ctx := testContext(t)
	if _, err := r.Hello(ctx); err != nil {
		t.Fatal(err)
	}
	if err := r.SetHeartbeat(ctx, time.Millisecond); err == nil {
		t.Error("SetHeartbeat(1ms) = nil")
	}
	if err := r.SetHeartbeat(ctx, 20*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if n := r.beats(400 * time.Millisecond); n < 5 || n > 21 {
		t.Errorf("%d heartbeats in 400 ms at 20 ms", n)
	}
	b, _ := r.LastHeartbeat()
	if b.Boottime <= 0 || b.Monotonic <= 0 || b.Running {
		t.Errorf("heartbeat = %+v", b)
	}
	// Off for a command alone, and back afterwards.
	during := make(chan int, 1)
	r.run(t, "sleep 0.3", func(c *guest.Command, s *guest.Stdio) {
		c.Heartbeat = guest.NoHeartbeat
		s.Started = func(guest.Start) { go func() { during <- r.beats(200 * time.Millisecond) }() }
	})
	if n := <-during; n != 0 {
		t.Errorf("%d heartbeats during a command without", n)
	}
	if n := r.beats(200 * time.Millisecond); n == 0 {
		t.Error("no heartbeats after a command without")
	}
	running := make(chan bool, 1)
	r.run(t, "sleep 0.3", func(_ *guest.Command, s *guest.Stdio) {
		s.Started = func(guest.Start) {
			go func() {
				r.beats(200 * time.Millisecond)
				b, _ := r.LastHeartbeat()
				running <- b.Running
			}()
		}
	})
	if !<-running {
		t.Error("a heartbeat during a command says that none runs")
	}
	if err := r.SetHeartbeat(ctx, guest.NoHeartbeat); err != nil {
		t.Fatal(err)
	}
	if n := r.beats(200 * time.Millisecond); n != 0 {
		t.Errorf("%d heartbeats after they were switched off", n)
	}
}

func TestMarks(t *testing.T) {
	r := startAgent(t)
	output := "=== RUN   TestA\n\x16=== RUN   TestA/sub=1\n    a_test.go:1: hello\n--- PASS: TestA (0.00s)\n" +
		"    --- SKIP: TestA/sub=1 (0.00s)\n--- FAIL: TestB (1.00s)\n=== CONT  TestC\n=== NAME  TestC\n--- and so on\n" +
		"BenchmarkX-4 \t 100\t  12.5 ns/op\t 3 allocs/op\nBenchmarkY\nBenchmarking is fun\n" + strings.Repeat("x", 9000) + "=== RUN no\n"
	var got []string
	var last time.Duration
	clock := func(c guest.Clock) {
		if c.Monotonic < last {
			t.Errorf("time runs back: %v after %v", c.Monotonic, last)
		}
		last = c.Monotonic
	}
	_, out, _ := r.run(t, "cat", func(c *guest.Command, s *guest.Stdio) {
		c.Marks = true
		s.Stdin = strings.NewReader(output)
		s.Test = func(e guest.Test) { clock(e.Now); got = append(got, e.Action+" "+e.Name) }
		s.Bench = func(e guest.Bench) { clock(e.Now); got = append(got, e.Line) }
	})
	want := []string{"run TestA", "run TestA/sub=1", "pass TestA", "skip TestA/sub=1", "fail TestB", "cont TestC",
		"BenchmarkX-4 \t 100\t  12.5 ns/op\t 3 allocs/op"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("marks (-want +got):\n%s", diff)
	}
	if out != output {
		t.Errorf("the output changed: %q", out)
	}
}

func TestTerminal(t *testing.T) {
	r := startAgent(t)
	in, keys := io.Pipe()
	var screen syncBuffer
	exit, _, _ := r.run(t, `test -t 0 && test -t 1 && test -t 2 && echo "tty $TERM"; stty size; stty -echo
		echo ready; read l; echo "line $l"; stty size; cat; echo end`,
		func(c *guest.Command, s *guest.Stdio) {
			c.Terminal = &guest.Terminal{Rows: 12, Cols: 34, Term: "vt100"}
			s.Stdin = in
			s.Stdout = &screen
			go func() {
				screen.await(t, "ready")
				if err := r.Resize(context.Background(), guest.Terminal{Rows: 56, Cols: 78}); err != nil {
					t.Errorf("Resize = %v", err)
				}
				keys.Write([]byte("a\n"))
				screen.await(t, "56 78")
				keys.Close() // the end of the input is ^D
			}()
		})
	out := strings.ReplaceAll(screen.String(), "\r\n", "\n")
	for _, want := range []string{"tty vt100\n", "12 34\n", "56 78\n", "line a\n", "end\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("output %q lacks %q", out, want)
		}
	}
	if !exit.Success() {
		t.Errorf("exit = %v", exit)
	}
}

// A syncBuffer is a buffer that one goroutine writes and another looks at.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func (b *syncBuffer) await(t *testing.T, what string) {
	for range 1000 {
		if strings.Contains(b.String(), what) {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Errorf("no %q in %q", what, b.String())
}

// What the guest has said is there for one who will not wait, each time.
func TestEventOverContext(t *testing.T) {
	r := startAgent(t)
	ctx := testContext(t)
	if _, err := r.Hello(ctx); err != nil {
		t.Fatal(err)
	}
	over, cancel := context.WithCancel(ctx)
	cancel()
	for i := range 100 {
		if _, err := r.Hello(over); err != nil {
			t.Fatalf("Hello %d with a context that is over = %v", i, err)
		}
	}
	if _, err := r.Done(over); !errors.Is(err, context.Canceled) {
		t.Errorf("Done before its time = %v, want %v", err, context.Canceled)
	}
}

// A second host takes over where the first left, as after a snapshot.
func TestResume(t *testing.T) {
	r := startAgent(t)
	ctx := testContext(t)
	r.run(t, "true")
	if err := r.SetHeartbeat(ctx, guest.MinHeartbeat); err != nil { // some are on the way meanwhile
		t.Fatal(err)
	}
	r.wire.keep.Store(true)
	r.Close()
	time.Sleep(3 * guest.MinHeartbeat)
	r.wire.keep.Store(false)
	r.wire.SetReadDeadline(time.Time{})
	c := guest.ResumeConn(r.wire)
	h, err := c.Resume(ctx)
	if err != nil || h.PID != r.cmd.Process.Pid {
		t.Fatalf("Resume = %+v, %v", h, err)
	}
	r.Conn = c
	if _, out, _ := r.run(t, "echo again"); out != "again\n" {
		t.Errorf("stdout = %q", out)
	}
}

// The agent tells what is wrong, and ends without done, when the host breaks the rules.
func TestAgentFails(t *testing.T) {
	r := startAgent(t)
	ctx := testContext(t)
	if _, err := r.Hello(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := r.wire.Write(bytes.Repeat([]byte("garbage "), 8)); err != nil {
		t.Fatal(err)
	}
	_, err := r.Done(ctx)
	var a *guest.AgentError
	if !errors.As(err, &a) || !strings.Contains(a.Message, "bad magic") {
		t.Errorf("Done = %v, want an AgentError about bad magic", err)
	}
	<-r.gone
	if s := r.said.String(); !strings.HasPrefix(s, "series-agent: guest protocol: ") {
		t.Errorf("the agent printed %q", s)
	}
}

// When its process is gone the guest never passed.
func TestAgentKilled(t *testing.T) {
	r := startAgent(t)
	_, err := r.Run(testContext(t), guest.Command{Argv: []string{"sleep", "60"}}, guest.Stdio{Started: func(s guest.Start) {
		t.Cleanup(func() { p, _ := os.FindProcess(s.PID); p.Kill() })
		r.cmd.Process.Kill()
	}})
	if !errors.Is(err, guest.ErrEarlyEnd) {
		t.Errorf("Run = %v, want ErrEarlyEnd", err)
	}
	if _, err := r.Done(testContext(t)); !errors.Is(err, guest.ErrEarlyEnd) || !errors.Is(r.Err(), guest.ErrEarlyEnd) {
		t.Errorf("Done = %v, Err = %v", err, r.Err())
	}
}

func TestClose(t *testing.T) {
	r := startAgent(t)
	r.run(t, "true")
	r.Close()
	r.Close()
	ctx := context.Background()
	for name, err := range map[string]error{"Err": r.Err(), "SetHeartbeat": r.SetHeartbeat(ctx, time.Second)} {
		if !errors.Is(err, guest.ErrClosed) {
			t.Errorf("%s after Close = %v, want ErrClosed", name, err)
		}
	}
}

func TestSources(t *testing.T) {
	var names []string
	for _, s := range guest.Sources() {
		names = append(names, s.Name)
		if !strings.HasPrefix(s.Text, "// SPDX") || strings.HasSuffix(s.Name, "_test.go") {
			t.Errorf("source %s: %.20q", s.Name, s.Text)
		}
	}
	disk, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("agent/*.go")
	if err != nil {
		t.Fatal(err)
	}
	disk = slices.DeleteFunc(append(disk, more...), func(n string) bool { return strings.HasSuffix(n, "_test.go") })
	if diff := cmp.Diff(disk, names); diff != "" || len(names) < 10 {
		t.Errorf("sources (-disk +embedded):\n%s", diff)
	}
}
