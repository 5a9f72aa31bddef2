// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seriesrig/series/internal/run"
	"github.com/seriesrig/series/vmtest/guest"
	"github.com/seriesrig/series/vmtest/internal/console"
	"github.com/seriesrig/series/vmtest/qmp"
)

// A Guest is a machine that runs. It ends by End, Close, the end of Boot's context, or by itself; whichever it is,
// nothing of it is left afterwards but the logs.
type Guest struct {
	m        Machine
	temp     bool // m.Dir is ours
	restored bool // from a snapshot
	hello    *guest.Hello

	proc        *run.Process
	mon         *qmp.Monitor
	conn        *guest.Conn
	pulse       *pulse
	consolePipe *os.File
	con         *console.Log

	consoleLog, qmpLog, eventLog, qemuLog *logFile

	watchers sync.WaitGroup
	muted    atomic.Int32 // commands under way that have switched the heartbeats off

	mu       sync.Mutex
	stop     *ending // why we end it; the first reason stands
	shutdown string  // the reason in QEMU's SHUTDOWN event
	panicked bool
	paused   bool // by QMP
	qmpErr   error
	runtime  time.Duration // of the commands

	started  time.Time
	goesOn   time.Time // when a restored guest was let go, which may be long after QEMU was started; guarded by mu
	greetAt  time.Time
	stopAt   time.Time
	endedAt  time.Time
	ready    chan struct{} // closed when QMP is there
	stopping chan struct{} // closed when stop is set
	ended    chan struct{} // closed when verdict is valid
	verdict  Verdict
	seen     evidence
}

// Hello is what the agent said of itself and its kernel.
func (g *Guest) Hello() *guest.Hello { return g.hello }

// Machine is what Boot was called on, with nothing left open.
func (g *Guest) Machine() Machine { return g.m }

// Conn is the event port's.
func (g *Guest) Conn() *guest.Conn { return g.conn }

// QMP is QEMU's monitor; its Subscribe has the machine's events.
func (g *Guest) QMP() *qmp.Monitor { return g.mon }

// Pid is QEMU's process.
func (g *Guest) Pid() int { return g.proc.Pid() }

// Dir is the folder of the logs.
func (g *Guest) Dir() string { return g.m.Dir }

// Ended is closed when the guest has ended and its verdict is known.
func (g *Guest) Ended() <-chan struct{} { return g.ended }

// Run runs a command in the guest; see guest.Conn.Run. When the guest ended before the command did, the error is an
// *EndError.
func (g *Guest) Run(ctx context.Context, c guest.Command, s guest.Stdio) (*guest.Exit, error) {
	if c.Heartbeat == guest.NoHeartbeat {
		g.muted.Add(1)
		defer g.muted.Add(-1)
	}
	g.logEvent("run", c.Argv)
	start := time.Now()
	exit, err := g.conn.Run(ctx, c, s)
	g.mu.Lock()
	g.runtime += time.Since(start)
	g.mu.Unlock()
	if err != nil {
		g.logEvent("error", err.Error())
		return exit, g.orEnd(err)
	}
	g.logEvent("exit", exit)
	return exit, nil
}

// orEnd makes an *EndError of an error when the guest has ended, or cannot go on.
func (g *Guest) orEnd(err error) error {
	select {
	case <-g.ended:
	case <-g.stopping:
	case <-g.conn.Ended():
	default:
		return err
	}
	return &EndError{Verdict: g.Wait(), Err: err}
}

// End has the guest say that it is done, ends it, and returns the verdict: Pass, unless something else was seen of it.
func (g *Guest) End(ctx context.Context) Verdict {
	done, err := g.conn.Reboot(ctx)
	if err == nil {
		g.logEvent("done", done)
		g.settle()
		// Waiting for the restart would take longer than telling QEMU to quit, and there is nothing more to learn.
		g.halt(ending{kind: Pass})
	} else if cause := context.Cause(ctx); cause != nil {
		g.halt(ending{kind: Rig, reason: fmt.Sprintf("interrupted: %v", cause), err: cause})
	}
	return g.Wait()
}

// settle gives a complaint that is being printed the time to come to its end.
func (g *Guest) settle() {
	for lines := -1; g.con.Open(); {
		if n := g.con.State().Lines; n == lines {
			return
		} else {
			lines = n
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-g.ended:
			return
		}
	}
}

// Wait waits until the guest has ended, and returns the verdict.
func (g *Guest) Wait() Verdict {
	<-g.ended
	return g.verdict
}

// Close ends the guest at once if it has not ended yet, and returns when nothing of it is left.
func (g *Guest) Close() error {
	g.halt(ending{kind: Rig, reason: "closed before its end"})
	<-g.ended
	if g.temp && g.verdict.Kind == Pass {
		return os.RemoveAll(g.m.Dir)
	}
	return nil
}

// Times tells where the guest's time went; it is complete when the guest has ended.
func (g *Guest) Times() Times {
	g.mu.Lock()
	defer g.mu.Unlock()
	t := Times{Run: g.runtime}
	if !g.greetAt.IsZero() {
		t.Boot = g.greetAt.Sub(g.started)
	}
	if g.hello != nil {
		t.Agent = g.hello.Now.Boottime - g.hello.Boot
	}
	if !g.endedAt.IsZero() && !g.stopAt.IsZero() {
		t.End = g.endedAt.Sub(g.stopAt)
	}
	return t
}

// halt ends the guest for a reason, unless there was one before.
func (g *Guest) halt(e ending) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stop != nil {
		return
	}
	g.stop, g.stopAt = &e, time.Now()
	close(g.stopping)
}

func (g *Guest) greeted(h *guest.Hello) {
	g.mu.Lock()
	g.hello, g.greetAt = h, time.Now()
	g.mu.Unlock()
	g.logEvent("hello", h)
	g.m.Log.Debug("guest says hello", "release", h.Release, "dur", time.Since(g.started))
}

// wordless tells that the machine ended by itself and its kernel never printed anything.
func (g *Guest) wordless() bool {
	return g.seen.stop == nil && !g.seen.console.Kernel && !g.seen.hello && g.verdict.Kind == NoBoot
}
