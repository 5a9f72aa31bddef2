// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seriesrig/series/vmtest/guest"
)

// Each kind of verdict, on the fake QEMU. One second of patience is more than any of them needs to be told apart.
func TestVerdictOfFake(t *testing.T) {
	for _, tt := range []struct {
		how    string
		kind   Kind
		reason string
	}{
		{"ok", Pass, ""},
		{"eventflood", Pass, ""},
		{"noquit", Pass, ""},
		{"noterm", Pass, ""},
		{"orphan", Pass, ""},
		{"early", Fail, "powered off without saying that it was done"},
		{"forged", Fail, "broke the event protocol"},
		{"seqgap", Fail, "lost sequence"},
		{"oversize", Fail, "frame too large"},
		{"halfframe", Fail, "restarted without saying that it was done"},
		{"consoleflood", Fail, fmt.Sprintf("flooded the console with more than %d MiB", consoleLimit/mib)},
		{"splat", Splat, "WARNING: CPU: 0 PID: 1 at kernel/audit.c:123"},
		{"splatearly", Splat, "restarted without saying that it was done"},
		{"splathang", Hang, "before that: WARNING: CPU: 0"},
		{"panic", Panic, "Fatal exception, after BUG: kernel NULL pointer dereference"},
		{"panicstuck", Panic, "Attempted to kill init!"},
		{"panicked", Panic, "told the machine"},
		{"hang", Hang, fmt.Sprintf("no heartbeat for %v of the guest's time", hangQuiet)},
		{"hanginit", Hang, "init was started and said nothing"},
		{"silent", NoBoot, "nothing on the console"},
		{"reset", NoBoot, "restarted before userspace was reached"},
		{"vofexit", NoBoot, "powered off before the kernel said a word"},
		{"noroot", NoBoot, "junk within compressed archive"},
		{"refuse", Rig, "could not load kernel"},
		{"crash", Rig, "exit status 3"},
		{"noqmp", Rig, "no reply to greeting"},
		{"badqmp", Rig, "malformed message"},
		{"hostsignal", Rig, "told to end from outside: host-signal"},
		{"suicide", Rig, "killed from outside by signal 9"},
		{"agenterror", Rig, "guest agent: no port"},
	} {
		t.Run(tt.how, func(t *testing.T) {
			leftovers(t)
			m := fakeMachine(t, tt.how)
			if tt.how == "vofexit" {
				m.Cmdline = []string{"x-vof=on"} // on amd64 there is nothing to fall back to
			}
			if tt.how == "noqmp" {
				m.Quiet = 5 * time.Second // is waited for in full
			}
			v := live(t, m)
			if v.Kind != tt.kind || !strings.Contains(v.Reason, tt.reason) {
				t.Errorf("%s: verdict %v, want %s with %q", tt.how, v, tt.kind, tt.reason)
			}
			if v.Kind != Pass {
				if v.Where.Log == "" {
					t.Errorf("verdict %v has no place", v)
				}
				if _, err := os.Stat(v.Where.Log); err != nil {
					t.Errorf("verdict %v: %v", v, err)
				}
			}
			for _, name := range []string{"console.log", "qmp.log", "events.log", "qemu.log", "cmdline"} {
				if _, err := os.Stat(filepath.Join(m.Dir, name)); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// live boots, runs a command, waits a little, and ends the guest.
func live(t *testing.T, m Machine) Verdict {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*slow*time.Second)
	defer cancel()
	g, err := m.Boot(ctx)
	if err != nil {
		return verdictOf(t, err)
	}
	defer g.Close()
	if _, err := g.Run(ctx, guest.Command{Argv: []string{"true"}}, guest.Stdio{}); err != nil {
		return verdictOf(t, err)
	}
	select {
	case <-g.Ended():
	case <-time.After(300 * time.Millisecond):
	}
	return g.End(ctx)
}

func verdictOf(t *testing.T, err error) Verdict {
	t.Helper()
	var e *EndError
	if !errors.As(err, &e) {
		t.Fatalf("error %v, want an *EndError", err)
	}
	return e.Verdict
}

func TestFirmwareFallback(t *testing.T) {
	leftovers(t)
	m := fakeMachine(t, "vofexit")
	m.Arch = PPC64
	g, err := m.Boot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if got := g.Machine().Firmware; got != "slof" {
		t.Errorf("firmware %q, want slof", got)
	}
	// The one that was asked for is not exchanged for another.
	m.Firmware = "vof"
	if g, err := m.Boot(t.Context()); err == nil {
		g.Close()
		t.Error("Boot with the firmware that ends early passed")
	} else if v := verdictOf(t, err); v.Kind != NoBoot {
		t.Errorf("verdict %v, want noboot", v)
	}
}

func TestNoQEMU(t *testing.T) {
	leftovers(t)
	m := fakeMachine(t, "ok")
	m.QEMU = filepath.Join(t.TempDir(), "qemu-system-missing")
	_, err := m.Boot(t.Context())
	if v := verdictOf(t, err); v.Kind != Rig || !strings.Contains(v.Reason, "no such file") {
		t.Errorf("verdict %v, want rig", v)
	}
	m = fakeMachine(t, "ok")
	m.Kernel = filepath.Join(t.TempDir(), "none")
	var e *EndError
	if _, err := m.Boot(t.Context()); err == nil || errors.As(err, &e) {
		t.Errorf("Boot without a kernel = %v, want an error about the machine", err)
	}
}

// The end of the context ends the guest, at any time, whatever QEMU makes of it.
func TestContextEnds(t *testing.T) {
	at := map[string][]time.Duration{
		"ok": {0, 10 * time.Millisecond, 100 * time.Millisecond}, "silent": {20 * time.Millisecond}, "hang": {50 * time.Millisecond},
		"noqmp": {50 * time.Millisecond}, "noterm": {50 * time.Millisecond}, "consoleflood": {20 * time.Millisecond},
	}
	for how, times := range at {
		for _, after := range times {
			t.Run(how+"/"+after.String(), func(t *testing.T) {
				leftovers(t)
				m := fakeMachine(t, how)
				m.Quiet = time.Minute
				ctx, cancel := context.WithTimeout(t.Context(), after)
				defer cancel()
				start := time.Now()
				g, err := m.Boot(ctx)
				if err == nil {
					if _, err = g.Run(ctx, guest.Command{Argv: []string{"x"}, Env: []string{"THEN=wait"}}, guest.Stdio{}); err == nil {
						t.Error("a command outlived its context")
					}
					v := g.Wait()
					if v.Kind != Rig && how != "consoleflood" {
						t.Errorf("verdict %v, want rig", v)
					}
				} else if v := verdictOf(t, err); v.Kind != Rig && how != "consoleflood" {
					t.Errorf("verdict %v, want rig", v)
				}
				if d := time.Since(start); d > after+5*slow*time.Second {
					t.Errorf("it took %v", d)
				}
			})
		}
	}
}

func TestCloseIsIdempotent(t *testing.T) {
	leftovers(t)
	g, err := fakeMachine(t, "ok").Boot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	for range 4 {
		go func() {
			g.Close()
			done <- struct{}{}
		}()
	}
	for range 4 {
		<-done
	}
	if v := g.End(t.Context()); v.Kind != Rig {
		t.Errorf("a guest that was closed before its end: %v, want rig", v)
	}
}

// Without a folder for them, the logs of a guest that passed are gone, and those of one that did not are kept.
func TestTemporaryLogs(t *testing.T) {
	for how, kept := range map[string]bool{"ok": false, "early": true, "hanginit": true} {
		leftovers(t)
		t.Setenv("TMPDIR", t.TempDir())
		m := fakeMachine(t, how)
		m.Dir = ""
		v := live(t, m)
		left, err := filepath.Glob(filepath.Join(os.TempDir(), "vmtest-*", "console.log"))
		if err != nil || (len(left) > 0) != kept {
			t.Errorf("%s: verdict %v, logs left %q, want them kept: %v", how, v, left, kept)
		}
		m.Dir = ""
		res, err := Exec(t.Context(), m, Job{Binary: m.Kernel})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(res.Dir, "console.log")); (err == nil) != kept {
			t.Errorf("%s: Exec's logs: %v, want them kept: %v", how, err, kept)
		}
	}
}
