// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seriesrig/series/internal/run"
	"github.com/seriesrig/series/vmtest/guest"
	"github.com/seriesrig/series/vmtest/internal/console"
	"github.com/seriesrig/series/vmtest/qmp"
)

const (
	logLimit  = 64 * mib // of any log but the console's; what comes then is left out
	stopGrace = time.Second
)

// consoleLimit is how much a console may say; more than this is a flood, and the guest's fault. Only tests change it.
var consoleLimit int64 = 64 * mib

// Boot starts the machine and returns when its agent has said hello. A guest that never does is an *EndError; any other
// error is about the Machine itself. The guest ends when ctx does.
func (m Machine) Boot(ctx context.Context) (*Guest, error) {
	chosen := m.Firmware != ""
	m, a, err := m.resolve()
	if err != nil {
		return nil, err
	}
	if m, err = m.withAccel(ctx); err != nil {
		return nil, err
	}
	temp := m.Dir == ""
	if err := m.makeDir(); err != nil {
		return nil, rig("make folder for logs", err)
	}
	if err := m.prepareCount(ctx); err != nil {
		return nil, err
	}
	for {
		g, err := m.launch(ctx, nil)
		if err != nil {
			if temp {
				os.RemoveAll(m.Dir)
			}
			return nil, rig("start guest", err)
		}
		g.temp = temp
		if err = g.awaitHello(ctx); err == nil {
			return g, nil
		}
		v := g.Wait()
		next, ok := a.nextFirmware(m.Firmware)
		if g.wordless() && ok && !chosen && ctx.Err() == nil {
			m.Log.Warn("the firmware ended before the kernel said a word; trying the next", "firmware", m.Firmware, "next", next)
			m.Firmware = next
			continue
		}
		return nil, &EndError{Verdict: v, Err: err}
	}
}

// awaitHello returns when the agent has said hello, or the guest has ended without.
func (g *Guest) awaitHello(ctx context.Context) error {
	ask := g.conn.Hello
	if g.restored {
		ask = g.conn.Resume
	}
	hello, err := ask(ctx)
	if err != nil {
		return err
	}
	g.greeted(hello)
	// QEMU is ready long before the guest; without it there would be no good way to end.
	select {
	case <-g.ready:
		return nil
	case <-g.ended:
		return g.monitorErr()
	}
}

func rig(what string, err error) error {
	return &EndError{Verdict: Verdict{Kind: Rig, Reason: fmt.Sprintf("%s: %v", what, err)}, Err: err}
}

func (m *Machine) makeDir() (err error) {
	if m.Dir == "" {
		m.Dir, err = os.MkdirTemp("", "vmtest-")
		return err
	}
	if m.Dir, err = filepath.Abs(m.Dir); err != nil {
		return err
	}
	return os.MkdirAll(m.Dir, 0o755)
}

// channels are our ends of the three channels, and QEMU's.
type channels struct {
	qmp, events net.Conn
	console     *os.File
	inherited   []*os.File // in the order of qmpFD, eventsFD, consoleFD
}

func openChannels() (c channels, err error) {
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	for _, ours := range []*net.Conn{&c.qmp, &c.events} {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return c, fmt.Errorf("socket pair: %w", err)
		}
		c.inherited = append(c.inherited, os.NewFile(uintptr(fds[1]), "channel"))
		f := os.NewFile(uintptr(fds[0]), "channel")
		*ours, err = net.FileConn(f) // which has a descriptor of its own
		f.Close()
		if err != nil {
			return c, fmt.Errorf("socket pair: %w", err)
		}
	}
	r, w, err := os.Pipe()
	if err != nil {
		return c, err
	}
	c.console, c.inherited = r, append(c.inherited, w)
	return c, nil
}

// handOver closes QEMU's ends, which QEMU has inherited.
func (c *channels) handOver() {
	for _, f := range c.inherited {
		f.Close()
	}
	c.inherited = nil
}

func (c *channels) close() {
	c.handOver()
	for _, x := range []net.Conn{c.qmp, c.events} {
		if x != nil {
			x.Close()
		}
	}
	if c.console != nil {
		c.console.Close()
	}
}

// launch starts QEMU and what watches it. With the state of a snapshot, the guest goes on from there.
func (m Machine) launch(ctx context.Context, state *os.File) (_ *Guest, err error) {
	args, err := m.Args()
	if err != nil {
		return nil, err
	}
	if m.memory != nil {
		args = append(args, m.memory.args(m.Memory)...)
	}
	if state != nil {
		args = append(args, "-incoming", "defer")
	}
	g := &Guest{m: m, ready: make(chan struct{}), stopping: make(chan struct{}), ended: make(chan struct{})}
	if err := g.openLogs(args); err != nil {
		g.closeLogs()
		return nil, err
	}
	ch, err := openChannels()
	if err != nil {
		g.closeLogs()
		return nil, err
	}
	if state != nil {
		g.restored, g.paused = true, true
		ch.inherited = append(ch.inherited, state)
	}
	g.started = time.Now()
	g.proc, err = run.Cmd{
		Name: m.QEMU, Args: args, Stdout: g.qemuLog, Stderr: g.qemuLog, Files: ch.inherited,
		Grace: stopGrace, DeathSignal: syscall.SIGKILL, // there is nothing in it that could be saved
	}.Start(context.WithoutCancel(ctx)) // the end of ctx starts a ladder that is longer than run's
	if err != nil {
		ch.close()
		g.closeLogs()
		return nil, err
	}
	ch.handOver()
	m.Log.Debug("qemu started", "pid", g.proc.Pid(), "dir", m.Dir)
	g.consolePipe = ch.console
	g.mon = qmp.New(ch.qmp, qmp.Options{Log: g.qmpLog})
	g.pulse = &pulse{ReadWriteCloser: ch.events}
	if g.restored {
		g.conn = guest.ResumeConn(g.pulse)
	} else {
		g.conn = guest.NewConn(g.pulse)
	}
	g.watchers.Go(g.readConsole)
	g.watchers.Go(g.watchQMP)
	go g.supervise(ctx)
	return g, nil
}

// openLogs makes the logs anew: they tell of one guest.
func (g *Guest) openLogs(args []string) (err error) {
	for _, l := range []struct {
		file **logFile
		name string
	}{{&g.consoleLog, "console.log"}, {&g.qmpLog, "qmp.log"}, {&g.eventLog, "events.log"}, {&g.qemuLog, "qemu.log"}} {
		if *l.file, err = openLog(filepath.Join(g.m.Dir, l.name), logLimit+mib); err != nil {
			return err
		}
	}
	g.con = console.New(g.consoleLog, consoleLimit)
	return os.WriteFile(filepath.Join(g.m.Dir, "cmdline"), []byte(shellQuote(append([]string{g.m.QEMU}, args...))+"\n"), 0o644)
}

func (g *Guest) closeLogs() {
	for _, l := range []*logFile{g.consoleLog, g.qmpLog, g.eventLog, g.qemuLog} {
		if l != nil {
			l.Close()
		}
	}
}

// logEvent writes a line to events.log: the time since QEMU's start, and what happened, in JSON.
func (g *Guest) logEvent(what string, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		b = []byte(err.Error())
	}
	fmt.Fprintf(g.eventLog, "%10.3f %s %s\n", time.Since(g.started).Seconds(), what, b)
}

func shellQuote(words []string) string {
	for i, w := range words {
		if w == "" || strings.ContainsFunc(w, func(r rune) bool {
			return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=+,./:@%", r)
		}) {
			words[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	return strings.Join(words, " ")
}

// withAccel decides Auto, and refuses a KVM that is of no use.
func (m Machine) withAccel(ctx context.Context) (Machine, error) {
	if m.Accel == TCG {
		return m, nil
	}
	v, err := m.probeKVM(ctx)
	switch {
	case err == nil && v.Usable:
		m.Accel = KVM
	case m.Accel == Auto && ctx.Err() == nil:
		m.Accel = TCG
	case err != nil:
		return m, rig("probe KVM", err)
	default:
		return m, rig("use KVM", errors.New(v.Reason))
	}
	return m, nil
}
