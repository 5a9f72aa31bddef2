// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seriesrig/series/internal/cache"
	"github.com/seriesrig/series/internal/need"
	"github.com/seriesrig/series/vmtest/guest"
	"github.com/seriesrig/series/vmtest/initramfs"
)

// realArches are those that every verdict is proved on.
var realArches = []Arch{AMD64, PPC64}

// onReal runs a test on a real kernel of each architecture.
func onReal(t *testing.T, f func(t *testing.T, m Machine)) {
	for _, a := range realArches {
		t.Run(string(a), func(t *testing.T) {
			m := Machine{Arch: a, Kernel: need.Kernel(t, string(a)), Dir: t.TempDir(), Cache: testCache(t)}
			need.Tool(t, arches[a].qemu)
			leftovers(t)
			t.Cleanup(func() {
				if t.Failed() {
					b, _ := os.ReadFile(filepath.Join(m.Dir, "console.log"))
					t.Logf("console:\n%s", b[max(0, len(b)-4000):])
				}
			})
			f(t, m)
		})
	}
}

// testCache is the user's, so that images are not built by every run of the tests.
func testCache(t testing.TB) *cache.Cache {
	t.Helper()
	c, err := Machine{}.cache()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// program builds a program of testdata for a guest.
func program(t testing.TB, a Arch, name string) string {
	t.Helper()
	return build(t, a, name, "build", "./testdata/"+name)
}

// testBinary builds the tests of a package of testdata for a guest.
func testBinary(t testing.TB, a Arch, name string) string {
	t.Helper()
	return build(t, a, name+".test", "test", "-c", "./testdata/"+name)
}

func build(t testing.TB, a Arch, name, verb string, args ...string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), name)
	c := exec.Command("go", append([]string{verb, "-o", out}, args...)...)
	c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH="+string(a), "GOOS=linux", "GOFLAGS=")
	if b, err := c.CombinedOutput(); err != nil {
		t.Fatalf("go %s: %v\n%s", verb, err, b)
	}
	return out
}

// misbehave runs testdata/misbehave in a guest.
func misbehave(t *testing.T, m Machine, args ...string) Verdict {
	t.Helper()
	res, err := Exec(t.Context(), m, Job{Binary: program(t, m.Arch, "misbehave"), Args: args, Stdout: t.Output(), Stderr: t.Output()})
	if res == nil {
		t.Fatal(err)
	}
	t.Logf("%v; %v", res.Verdict, res.Times)
	return res.Verdict
}

func wantVerdict(t *testing.T, v Verdict, k Kind, reason string) {
	t.Helper()
	if v.Kind != k || !strings.Contains(v.Reason, reason) {
		t.Errorf("verdict %v, want %s with %q\n%s", v, k, reason, strings.Join(v.Excerpt, "\n"))
	}
}

func TestRealCrash(t *testing.T) {
	onReal(t, func(t *testing.T, m Machine) {
		v := misbehave(t, m, "crash")
		wantVerdict(t, v, Panic, "Kernel panic - not syncing: sysrq triggered crash")
		b, err := os.ReadFile(v.Where.Log)
		if err != nil {
			t.Fatal(err)
		}
		if lines := strings.Split(string(b), "\n"); v.Where.Line < 1 || v.Where.Line > len(lines) ||
			!strings.Contains(lines[v.Where.Line-1], "sysrq triggered crash") {
			t.Errorf("the panic is not at %v", v.Where)
		}
		if !strings.Contains(strings.Join(v.Excerpt, "\n"), "sysrq_handle_crash") {
			t.Errorf("no trace in the excerpt:\n%s", strings.Join(v.Excerpt, "\n"))
		}
	})
}

// An init that spins says nothing: it was started, and that is all there is.
func TestRealSpinningInit(t *testing.T) {
	onReal(t, func(t *testing.T, m Machine) {
		m.Quiet = 2 * time.Second
		archive := &initramfs.Archive{}
		if err := archive.AddFile("/spin", program(t, m.Arch, "misbehave")); err != nil {
			t.Fatal(err)
		}
		m.Initrd = filepath.Join(t.TempDir(), "initrd")
		if _, err := initramfs.Concat(m.Initrd, archive); err != nil {
			t.Fatal(err)
		}
		m.Cmdline = []string{"rdinit=/spin"}
		_, err := m.Boot(t.Context())
		wantVerdict(t, verdictOf(t, err), Hang, "init was started and said nothing")
	})
}

// An agent that is stopped sends no heartbeats, though its kernel is well.
func TestRealFrozenAgent(t *testing.T) {
	onReal(t, func(t *testing.T, m Machine) {
		m.Quiet = 2500 * time.Millisecond
		wantVerdict(t, misbehave(t, m, "freeze"), Hang, "no heartbeat for 2.5s of the guest's time")
	})
}

// A kernel that is given a bad parameter warns, and goes on: rcu_init_geometry() has a WARN_ON for it.
func TestRealWarning(t *testing.T) {
	onReal(t, func(t *testing.T, m Machine) {
		m.Cmdline = []string{"rcutree.rcu_fanout_leaf=1"}
		v := misbehave(t, m, "print", "1")
		wantVerdict(t, v, Splat, "WARNING: CPU: 0 PID: 0 at kernel/rcu/tree.c:")
		if !strings.Contains(strings.Join(v.Excerpt, "\n"), "start_kernel") {
			t.Errorf("no trace in the excerpt:\n%s", strings.Join(v.Excerpt, "\n"))
		}
	})
}

func TestRealForgedEvents(t *testing.T) {
	onReal(t, func(t *testing.T, m Machine) {
		v := misbehave(t, m, "forge")
		// The port can be opened once, and the agent has it.
		if v.Kind != Fail {
			t.Errorf("verdict %v, want fail", v)
		}
	})
}

func TestRealCorruptInitramfs(t *testing.T) {
	onReal(t, func(t *testing.T, m Machine) {
		image, err := initramfs.Image(t.Context(), m.Cache, string(m.Arch))
		if err != nil {
			t.Fatal(err)
		}
		good, err := os.ReadFile(image)
		if err != nil {
			t.Fatal(err)
		}
		for name, bad := range map[string][]byte{
			"junk":      bytes.Repeat([]byte("no archive "), 10000),
			"truncated": good[:len(good)/2],
			"mangled":   append(bytes.Clone(good[:200]), bytes.Repeat([]byte{0xff}, 100000)...),
			"empty":     {},
		} {
			t.Run(name, func(t *testing.T) {
				m := m
				m.Initrd = filepath.Join(t.TempDir(), "initrd")
				if err := os.WriteFile(m.Initrd, bad, 0o644); err != nil {
					t.Fatal(err)
				}
				if name == "empty" {
					m.Initrd = ""
				}
				g, err := m.Boot(t.Context())
				if err == nil {
					g.Close()
					t.Fatal("it booted")
				}
				v := verdictOf(t, err)
				t.Log(v)
				wantVerdict(t, v, NoBoot, "")
			})
		}
	})
}

// A file that is no kernel: QEMU refuses it, which says nothing about a kernel.
func TestRealNoKernel(t *testing.T) {
	onReal(t, func(t *testing.T, m Machine) {
		m.Kernel = filepath.Join(t.TempDir(), "vmlinux")
		if err := os.WriteFile(m.Kernel, []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		m.Quiet = 2 * time.Second
		_, err := m.Boot(t.Context())
		v := verdictOf(t, err)
		t.Log(v)
		if v.Kind != Rig && v.Kind != NoBoot {
			t.Errorf("verdict %v, want rig or noboot", v)
		}
	})
}

// real boots a guest with the stock image.
func real(t *testing.T, m Machine) *Guest {
	t.Helper()
	var err error
	if m.Initrd, err = initramfs.Image(t.Context(), m.Cache, string(m.Arch)); err != nil {
		t.Fatal(err)
	}
	g, err := m.Boot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close() })
	return g
}

func TestRealKilledFromOutside(t *testing.T) {
	onReal(t, func(t *testing.T, m Machine) {
		for _, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
			g := real(t, m)
			syscall.Kill(g.Pid(), sig)
			wantVerdict(t, g.Wait(), Rig, "from outside")
		}
	})
}

// A QEMU that is stopped for longer than the limit is not a guest that hangs.
func TestRealStopped(t *testing.T) {
	onReal(t, func(t *testing.T, m Machine) {
		m.Quiet = 1500 * time.Millisecond
		g := real(t, m)
		syscall.Kill(g.Pid(), syscall.SIGSTOP)
		time.Sleep(3 * time.Second)
		syscall.Kill(g.Pid(), syscall.SIGCONT)
		exit, err := g.Run(t.Context(), guest.Command{Argv: []string{"/bin/sh", "-c", "echo alive"}}, guest.Stdio{Stdout: t.Output()})
		if err != nil || !exit.Success() {
			t.Fatalf("run after SIGCONT = %v, %v", exit, err)
		}
		// The same by QMP.
		if err := g.QMP().Execute(t.Context(), "stop", nil, nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		if err := g.QMP().Execute(t.Context(), "cont", nil, nil); err != nil {
			t.Fatal(err)
		}
		wantVerdict(t, g.End(t.Context()), Pass, "")
	})
}

// A guest that gets next to nothing of the host is slow and does not hang, though its heartbeats are further apart than
// the limit.
func TestRealContention(t *testing.T) {
	need.Tool(t, "taskset")
	need.Tool(t, "chrt")
	onReal(t, func(t *testing.T, m Machine) {
		m.Quiet = 600 * time.Millisecond
		g := real(t, m)
		if err := g.Conn().SetHeartbeat(t.Context(), 100*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		pin := func(pid int) {
			if b, err := exec.Command("taskset", "-a", "-p", "-c", "0", strconv.Itoa(pid)).CombinedOutput(); err != nil {
				t.Fatalf("taskset: %v\n%s", err, b)
			}
		}
		pin(g.Pid())
		// Whoever only wakes up for a moment is let in ahead of others at nice 19 too, but not in the class for idle hosts.
		if b, err := exec.Command("chrt", "-a", "--idle", "-p", "0", strconv.Itoa(g.Pid())).CombinedOutput(); err != nil {
			t.Fatalf("chrt: %v\n%s", err, b)
		}
		var burners []*exec.Cmd
		quench := func() {
			for _, b := range burners {
				b.Process.Kill()
				b.Wait()
			}
			burners = nil
		}
		defer quench()
		burn := func(n int) {
			for range n {
				b := exec.Command("/bin/sh", "-c", "while :; do :; done")
				if err := b.Start(); err != nil {
					t.Fatal(err)
				}
				burners = append(burners, b)
				pin(b.Process.Pid)
			}
		}
		burn(8)
		last, gap := time.Now(), time.Duration(0)
		before := g.pulse.bytes.Load()
		// For 5 s at least, and until the guest was silent for long enough to prove something.
		more := time.Now().Add(5 * time.Second)
		for start := time.Now(); time.Since(start) < 5*time.Second || gap < 2*m.Quiet && time.Since(start) < 40*time.Second; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(more) {
				burn(8)
				more = time.Now().Add(5 * time.Second)
			}
			if now := g.pulse.bytes.Load(); now != before {
				before, last = now, time.Now()
			}
			gap = max(gap, time.Since(last))
			select {
			case <-g.Ended():
				t.Fatalf("the guest ended: %v (silent for %v)", g.Wait(), gap)
			default:
			}
		}
		t.Logf("longest silence %v, limit %v", gap, m.Quiet)
		if gap < m.Quiet {
			t.Errorf("the longest silence was %v, which proves nothing: the limit is %v", gap, m.Quiet)
		}
		quench()
		wantVerdict(t, g.End(t.Context()), Pass, "")
	})
}

func TestRealIcount(t *testing.T) {
	onReal(t, func(t *testing.T, m Machine) {
		m.Icount = &Icount{Seed: 1}
		g := real(t, m)
		run := func() {
			t.Helper()
			exit, err := g.Run(t.Context(), guest.Command{Argv: []string{"/bin/sh", "-c", "echo hello"}}, guest.Stdio{})
			if err != nil || !exit.Success() {
				t.Fatalf("run = %v, %v", exit, err)
			}
		}
		run()
		// Idle, its clock leaps ahead, far over the limit; and what it says is on its way to us.
		first, err := rtcTime(t.Context(), g)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		second, err := rtcTime(t.Context(), g)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("in 3s the virtual clock went on by %v", second-first)
		if second-first < 2*icountQuiet {
			t.Errorf("the virtual clock of an idle guest went on by %v, want more than the limit", second-first)
		}
		run()
		wantVerdict(t, g.End(t.Context()), Pass, "")
	})
}

// The same guest hangs, and the virtual clock tells.
func TestRealIcountHang(t *testing.T) {
	onReal(t, func(t *testing.T, m Machine) {
		m.Icount, m.Quiet = &Icount{Seed: 1}, 2*time.Second
		wantVerdict(t, misbehave(t, m, "freeze"), Hang, "init was started and said nothing for 2s of the guest's time")
	})
}

// Little endian is big endian's kernel with another toolchain: that it runs tests will do.
func TestRealLittleEndian(t *testing.T) {
	need.Long(t) // it takes a third baseline
	m := Machine{Arch: PPC64LE, Kernel: need.Kernel(t, "ppc64le"), Dir: t.TempDir(), Cache: testCache(t)}
	leftovers(t)
	res, err := Test(t.Context(), m, Job{Binary: testBinary(t, PPC64LE, "gotests"), Args: []string{"-test.run=TestPass"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%v; %+v", res.Verdict, res.Times)
	wantVerdict(t, res.Verdict, Pass, "")
	if res.Passed != 2 {
		t.Errorf("%d tests passed, want 2", res.Passed)
	}
}

// The same seed gives the same run, to the last instruction, however busy the host is: the boot, and a program that is run
// before anything is heard from the host.
func TestRealIcountRepeats(t *testing.T) {
	onReal(t, func(t *testing.T, m Machine) {
		bin := testBinary(t, m.Arch, "gotests")
		run := func(seed uint64) string {
			m := m
			m.Dir, m.Icount = t.TempDir(), &Icount{Seed: seed}
			res, err := Test(t.Context(), m, Job{Binary: bin, Args: []string{"-test.run=TestPass"}})
			if err != nil || res.Verdict.Kind != Pass || res.Passed != 2 {
				t.Fatalf("%+v, %v", res, err)
			}
			console, err := os.ReadFile(filepath.Join(m.Dir, "console.log"))
			if err != nil {
				t.Fatal(err)
			}
			// Whether QEMU is told to quit before the guest says that it restarts is between the two of them.
			text, _, _ := strings.Cut(string(console), "reboot: ")
			return fmt.Sprintf("%.9f s\n%s", res.Elapsed, text[:strings.LastIndexByte(text, '\n')+1])
		}
		first := run(7)
		for range 3 {
			if again := run(7); again != first {
				t.Errorf("the same seed again (-first +again)\n%s", cmp.Diff(strings.Split(first, "\n"), strings.Split(again, "\n")))
			}
		}
		if other := run(8); other == first {
			t.Error("another seed gives the same run: this test cannot fail")
		}
	})
}
