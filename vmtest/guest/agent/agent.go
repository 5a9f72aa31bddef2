// SPDX-License-Identifier: Apache-2.0

// Package agent is the guest's end of the protocol in the package above: the program that a test kernel starts as init.
// It makes a running system, opens the virtio port, says hello, and runs the commands that the host asks for, one at a
// time. It loads nothing, writes nothing to the console unless it fails, and ends the machine when it is told to.
package agent

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/seriesrig/series/vmtest/guest"
)

// An agent serves one host.
type agent struct {
	port    io.ReadWriter
	machine bool // the machine is ours to set up and to end
	root    string
	env     []string
	boot    time.Duration
	warned  []string
	reaper  *reaper
	beat    *heart

	wmu   sync.Mutex // guards enc: one frame at a time
	enc   *guest.Encoder
	ahead *ahead // a command that was run before hello; nil without one

	mu       sync.Mutex
	cur      *command
	commands int
	failing  sync.Once
}

// Main is the agent's main function. As process 1, or with -machine, it sets the system up, serves the virtio port and
// ends the machine. With -fd it serves that descriptor, and at the end it only returns.
func Main() int {
	boot := time.Duration(clock(clockBoottime))
	if len(os.Args) > 0 && os.Args[0] == limitName {
		return limited(os.Args[1:])
	}
	// A collection in the midst of a measured region would show. The agent keeps little: let it grow to this.
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(32 << 20)

	a := &agent{boot: boot, root: "/", machine: os.Getpid() == 1, reaper: newReaper()}
	fd := -1
	if !a.machine { // the kernel hands init the words of its command line that it does not know
		flags := flag.NewFlagSet("agent", flag.ExitOnError)
		flags.IntVar(&fd, "fd", -1, "serve this `descriptor`, not the virtio port")
		flags.BoolVar(&a.machine, "machine", false, "set the machine up, and end it when told to")
		flags.StringVar(&a.root, "root", "/", "unpack archives in this `folder`")
		flags.Parse(os.Args[1:])
	}
	defer a.guard()
	if err := a.start(fd); err != nil {
		a.fail(err.Error(), "")
		return 1
	}
	return a.serve()
}

func (a *agent) start(fd int) error {
	a.env = []string{"PATH=/bbin:/bin:/series", "HOME=/root", "TMPDIR=/tmp", "TERM=linux"}
	if a.machine {
		a.warned = setUp()
		surviveSignals()
	} else {
		a.env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + os.TempDir(), "TERM=linux"}
	}
	if os.Getpid() != 1 {
		if err := becomeSubreaper(); err != nil {
			a.warned = append(a.warned, "become subreaper: "+err.Error())
		}
	}
	a.spawn(a.reaper.loop)
	var p *port
	if fd >= 0 {
		syscall.CloseOnExec(fd)
		p = &port{fd: fd}
	} else {
		var err error
		if p, err = openPort(10 * time.Second); err != nil {
			return err
		}
	}
	a.port, a.enc = p, guest.NewEncoder(p)
	a.beat = newHeart(a)
	return nil
}

// surviveSignals keeps init alive: Go's runtime takes the signals that the kernel would otherwise not deliver to init,
// and ends the program. They are caught and not ignored, because a child would inherit the latter.
func surviveSignals() {
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM,
		syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGPWR, syscall.SIGALRM, syscall.SIGIO)
}

// serve says hello and does what the host asks, until it asks for the end.
func (a *agent) serve() int {
	if err := a.runAhead(); err != nil {
		a.fail(err.Error(), "")
		return 1
	}
	if err := a.sendJSON(guest.TypeHello, hello(a.boot, a.warned)); err != nil {
		a.fail(err.Error(), "")
		return 1
	}
	a.beat.set(guest.DefaultHeartbeat)
	dec := guest.NewHostDecoder(bufio.NewReaderSize(a.port, 64<<10))
	var u *unpacker
	for {
		f, err := dec.Decode()
		if err == nil && (f.Type == guest.TypePoweroff || f.Type == guest.TypeReboot) {
			a.end(f.Type)
			return 0
		}
		if err == nil {
			u, err = a.handle(f, u)
		}
		if errors.Is(err, io.EOF) { // only a socket ends; then the host is gone for good
			a.stopCommand()
			return 1
		}
		if err != nil {
			a.fail(err.Error(), "")
			return 1
		}
	}
}

// handle does what one frame asks for; u is the archive that is coming in, if one is.
func (a *agent) handle(f guest.Frame, u *unpacker) (*unpacker, error) {
	switch f.Type {
	case guest.TypeResume:
		if a.machine {
			kickTimers()
		}
		return u, a.sendJSON(guest.TypeHello, hello(a.boot, a.warned))
	case guest.TypeRun:
		var spec guest.Command
		if err := parse(f, &spec); err != nil {
			return u, err
		}
		if spec.Ahead {
			return u, a.tellAhead(spec)
		}
		return u, a.run(spec)
	case guest.TypeSignal:
		var s guest.SignalRequest
		if err := parse(f, &s); err != nil {
			return u, err
		}
		if c := a.current(); c != nil && c.spec.ID == s.ID {
			c.signal(syscall.Signal(s.Signal))
		}
	case guest.TypeStdin:
		if c := a.current(); c != nil && c.input != nil {
			return u, c.input.put(f.Payload)
		}
	case guest.TypeWindow:
		var t guest.Terminal
		if err := parse(f, &t); err != nil {
			return u, err
		}
		if c := a.current(); c != nil {
			c.resize(t)
		}
	case guest.TypeInterval:
		var i guest.IntervalRequest
		if err := parse(f, &i); err != nil {
			return u, err
		}
		a.beat.set(time.Duration(i.Interval))
		return u, a.sendJSON(guest.TypeAck, guest.Ack{Of: f.Type})
	case guest.TypePut:
		if u == nil {
			u = a.newUnpacker()
		}
		if len(f.Payload) > 0 {
			u.write(f.Payload)
			return u, nil
		}
		ack := guest.Ack{Of: f.Type}
		if err := u.close(); err != nil {
			ack.Error = err.Error()
		}
		return nil, a.sendJSON(guest.TypeAck, ack)
	}
	return u, nil
}

func parse(f guest.Frame, v any) error {
	if err := json.Unmarshal(f.Payload, v); err != nil {
		return fmt.Errorf("%v from host: %w", f.Type, err)
	}
	return nil
}

func (a *agent) current() *command {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.cur
}

// stopCommand kills the running command and waits until its exit is said.
func (a *agent) stopCommand() {
	if c := a.current(); c != nil {
		c.signal(syscall.SIGKILL)
		<-c.over
	}
}

// end does the last things: nothing runs any more, the disks have what was written, and the host knows.
func (a *agent) end(how guest.Type) {
	a.stopCommand()
	a.beat.set(guest.NoHeartbeat)
	if a.machine {
		syscall.Sync()
	}
	a.mu.Lock()
	done := guest.Done{Now: now(), Commands: a.commands}
	a.mu.Unlock()
	if err := a.sendJSON(guest.TypeDone, done); err != nil {
		say("%v", err)
	}
	if a.machine {
		endMachine(how)
	}
}

// endMachine does not return.
func endMachine(how guest.Type) {
	cmd := syscall.LINUX_REBOOT_CMD_RESTART
	if how == guest.TypePoweroff {
		cmd = syscall.LINUX_REBOOT_CMD_POWER_OFF
	}
	err := syscall.Reboot(cmd)
	say("end the machine: %v", err)
	select {} // an init that returns is a kernel panic, and would be taken for one of the kernel's own
}

func (a *agent) send(t guest.Type, payload []byte) error {
	a.wmu.Lock()
	defer a.wmu.Unlock()
	if a.ahead != nil && a.ahead.running {
		a.ahead.hold(t, payload)
		return nil
	}
	return a.enc.Encode(t, payload)
}

func (a *agent) sendJSON(t guest.Type, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode %v: %w", t, err)
	}
	return a.send(t, b)
}

// spawn starts a goroutine whose panic is reported before it ends the agent.
func (a *agent) spawn(f func()) {
	go func() {
		defer a.guard()
		f()
	}()
}

func (a *agent) guard() {
	if p := recover(); p != nil {
		a.fail(fmt.Sprintf("panic: %v", p), string(debug.Stack()))
		os.Exit(2)
	}
}

// fail reports, on the console and to the host, that the agent cannot go on, and ends the machine. It is not the end
// that the host asked for: there is no done.
func (a *agent) fail(message, stack string) {
	a.failing.Do(func() {
		say("%s", message)
		if stack != "" {
			say("%s", stack)
		}
		if a.enc != nil {
			a.report(guest.Failure{Message: message, Stack: stack})
		}
		if a.machine {
			// microvm has no power switch, and pseries does not restart as fast.
			if runtime.GOARCH == "amd64" {
				endMachine(guest.TypeReboot)
			}
			endMachine(guest.TypePoweroff)
		}
	})
}

// report sends an error event, but does not wait long: the port may be what failed, or whoever panicked may hold it.
func (a *agent) report(f guest.Failure) {
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		defer func() { recover() }()
		a.sendJSON(guest.TypeError, f)
	}()
	select {
	case <-sent:
	case <-time.After(time.Second):
	}
}
