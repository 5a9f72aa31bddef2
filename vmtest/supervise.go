// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/seriesrig/series/vmtest/guest"
	"github.com/seriesrig/series/vmtest/internal/console"
	"github.com/seriesrig/series/vmtest/qmp"
)

const (
	tick      = 100 * time.Millisecond
	lastWords = 2 * time.Second // for a machine that is about to end by itself
)

// supervise watches the guest until it ends, or has to be ended, and then finds the verdict.
func (g *Guest) supervise(ctx context.Context) {
	defer close(g.ended)
	g.watch(ctx)
	g.bringDown()
	g.drain()
	g.seen = g.evidence()
	g.verdict = g.seen.verdict()
	g.logEvent("verdict", g.verdict)
	g.closeLogs()
	g.m.Log.Debug("guest ended", "verdict", g.verdict.String(), "dur", time.Since(g.started))
}

// watch returns when QEMU has ended, or has to.
func (g *Guest) watch(ctx context.Context) {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	h := newHeart(g)
	defer h.stop()
	connEnded := g.conn.Ended()
	var patience <-chan time.Time // runs out when something has ended whose end is QEMU's own, too
	soon := func() {
		if patience == nil {
			patience = time.After(lastWords)
		}
	}
	for {
		select {
		case <-g.proc.Done():
			return
		case <-g.stopping:
			return
		case <-ctx.Done():
			cause := context.Cause(ctx)
			g.halt(ending{kind: Rig, reason: fmt.Sprintf("interrupted: %v", cause), err: cause})
		case <-connEnded:
			connEnded = nil
			if e := brokenConn(g.conn.Err()); e != nil {
				g.halt(*e)
			} else {
				soon()
			}
		case <-patience:
			// The verdict is in what was seen; where that is nothing, it is one about the rig.
			g.halt(ending{reason: "a channel to QEMU ended, and QEMU did not"})
		case <-ticker.C:
			state := g.con.State()
			g.checkLogs()
			switch {
			case state.Flooded:
				g.halt(ending{kind: Fail, reason: fmt.Sprintf("flooded the console with more than %d MiB", consoleLimit/mib)})
			case state.Panic.Count > 0:
				soon()
			}
			if e := h.beat(&state); e != nil {
				g.halt(*e)
			}
			if err := g.monitorErr(); err != nil {
				if !errors.Is(err, qmp.ErrEnded) {
					g.halt(ending{kind: Rig, reason: err.Error(), err: err})
				}
				soon()
			}
		}
	}
}

// brokenConn tells whether the end of the event port ends the guest.
func brokenConn(err error) *ending {
	var p *guest.ProtocolError
	var a *guest.AgentError
	switch {
	case errors.Is(err, guest.ErrTruncated): // as when QEMU is killed in the middle of a frame
	case errors.As(err, &p):
		return &ending{kind: Fail, reason: "the guest broke the event protocol: " + err.Error(), err: err}
	case errors.As(err, &a):
		return &ending{kind: Rig, reason: err.Error(), err: err}
	}
	return nil
}

func (g *Guest) monitorErr() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.qmpErr
}

// checkLogs ends a guest whose logs cannot be written.
func (g *Guest) checkLogs() {
	if err := g.logErr(); err != nil {
		g.halt(ending{kind: Rig, reason: err.Error(), err: err})
	}
}

func (g *Guest) logErr() error {
	for _, l := range []*logFile{g.consoleLog, g.qmpLog, g.eventLog, g.qemuLog} {
		if err := l.Err(); err != nil {
			return fmt.Errorf("write %s: %w", filepath.Base(l.path), err)
		}
	}
	return nil
}

// bringDown ends QEMU by the ladder of QMP quit, SIGTERM and SIGKILL.
func (g *Guest) bringDown() {
	select {
	case <-g.proc.Done():
	default:
		ctx, cancel := context.WithTimeout(context.Background(), stopGrace)
		defer cancel()
		if err := g.mon.Execute(ctx, "quit", nil, nil); err == nil || errors.Is(err, qmp.ErrEnded) {
			select {
			case <-g.proc.Done():
			case <-ctx.Done():
			}
		}
	}
	g.proc.Stop()
	g.mu.Lock()
	g.endedAt = time.Now()
	if g.stopAt.IsZero() {
		g.stopAt = g.endedAt
	}
	g.mu.Unlock()
}

// drain takes what QEMU left in the sockets, and ends what reads from them.
func (g *Guest) drain() {
	// QEMU is gone and its ends of the sockets with it; but should anything have them still, it must not hold us.
	deadline := time.Now().Add(lastWords)
	g.consolePipe.SetReadDeadline(deadline)
	select {
	case <-g.conn.Ended():
	case <-time.After(time.Until(deadline)):
	}
	select {
	case <-g.mon.Done():
	case <-time.After(time.Until(deadline)):
		g.mon.Close()
	}
	g.watchers.Wait()
	g.mon.Close()
	g.conn.Close()
	g.consolePipe.Close()
	g.con.Flush()
}

func (g *Guest) evidence() evidence {
	g.mu.Lock()
	defer g.mu.Unlock()
	e := evidence{
		restored: g.restored, console: g.con.State(), log: g.consoleLog.path, shutdown: g.shutdown, panicked: g.panicked, stop: g.stop,
		broken: g.logErr(), exit: g.proc.Wait(), qemuLog: g.qemuLog.path,
	}
	now, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := g.conn.Hello(now); err == nil {
		e.hello = true
	}
	if _, err := g.conn.Done(now); err == nil {
		e.done = true
	}
	if e.stop == nil {
		if b := brokenConn(g.conn.Err()); b != nil {
			e.stop = b
		}
	}
	lines := strings.Split(strings.TrimSpace(string(g.qemuLog.Tail())), "\n")
	e.qemu = console.Clean([]byte(lines[len(lines)-1]))
	return e
}

// readConsole takes the console until its end.
func (g *Guest) readConsole() {
	io.CopyBuffer(struct{ io.Writer }{g.con}, g.consolePipe, make([]byte, 32<<10))
}

// watchQMP shakes hands, and takes the machine's events until the end of the connection.
func (g *Guest) watchQMP() {
	ctx, cancel := context.WithTimeout(context.Background(), g.m.Quiet)
	events := g.mon.Subscribe()
	err := g.mon.ConnectContext(ctx)
	if err == nil {
		close(g.ready)
	}
	cancel()
	for err == nil {
		var e qmp.Event
		if e, err = events.Next(context.Background()); err == nil {
			g.machineEvent(e)
		}
	}
	// The events that came before a handshake failed are of use, too.
	for {
		e, last := events.Next(context.Background())
		if last != nil {
			break
		}
		g.machineEvent(e)
	}
	g.mu.Lock()
	g.qmpErr = err
	g.mu.Unlock()
}

func (g *Guest) machineEvent(e qmp.Event) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch e.Event {
	case "SHUTDOWN":
		if reason, ok := e.Data["reason"].(string); ok && g.shutdown == "" {
			g.shutdown = reason
		}
	case "GUEST_PANICKED":
		g.panicked = true
	case "STOP":
		g.paused = true
	case "RESUME":
		g.paused = false
	}
}
