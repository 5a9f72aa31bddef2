// SPDX-License-Identifier: Apache-2.0

// Package fakeqemu plays QEMU and the guest in it, for tests: it speaks QMP, the kernel's console and the agent's protocol on
// the descriptors that vmtest hands to QEMU. A test binary that is run under the name of a QEMU calls Play.
package fakeqemu

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/seriesrig/series/vmtest/guest"
)

// The descriptors that QEMU inherits.
const (
	QMPFD     = 3
	EventsFD  = 4
	ConsoleFD = 5
)

// OrphanMark is in the command line of what a fake leaves behind, where that is what it plays. It names the process that has
// started the fake.
func OrphanMark(parent int) string { return fmt.Sprintf("vmtest-orphan-of-%d", parent) }

// Options are what a fake can be told.
type Options struct {
	// Program plays the guest's programs: what one prints, and its exit status. nil means that their environment says so, in
	// OUT and STATUS.
	Program func(guest.Command) (out string, status int)
}

// Restored tells whether the fake is one that goes on from a snapshot.
func Restored() bool { return slices.Contains(os.Args, "-incoming") }

// A player is the fake's state.
type player struct {
	how             string
	opts            Options
	qmp             *os.File
	events, console *os.File
	mu              sync.Mutex
	enc             *guest.Encoder
	done            bool // said; an agent says nothing after it
}

func (p *player) is(how ...string) bool { return slices.Contains(how, p.how) }

func (p *player) send(t guest.Type, v any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done {
		return
	}
	p.done = t == guest.TypeDone
	payload, ok := v.([]byte)
	if !ok && v != nil {
		payload, _ = json.Marshal(v)
	}
	p.enc.Encode(t, payload)
}

func (p *player) print(lines ...string) {
	for _, l := range lines {
		fmt.Fprint(p.console, l+"\r\n")
	}
}

func (p *player) event(name, data string) {
	fmt.Fprintf(p.qmp, `{"event": %q, "data": %s, "timestamp": {"seconds": 1, "microseconds": 2}}`+"\r\n", name, data)
}

// die ends QEMU as the guest would have it.
func (p *player) die(reason string, status int) {
	p.event("SHUTDOWN", fmt.Sprintf(`{"guest": true, "reason": %q}`, reason))
	os.Exit(status)
}

const greeting = `{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "fake"}, "capabilities": []}}`

// Play plays a QEMU and its guest, and returns the exit status of the process, if it returns. What how names is in the
// code: "ok" is a guest that does all right, "panic", "hang" and many more are not.
func Play(how string, opts Options) int {
	p := &player{how: how, opts: opts, qmp: os.NewFile(QMPFD, "qmp"), events: os.NewFile(EventsFD, "events"),
		console: os.NewFile(ConsoleFD, "console")}
	p.enc = guest.NewEncoder(p.events)
	if p.is("refuse") {
		fmt.Fprintln(os.Stderr, "qemu-system-fake: could not load kernel")
		return 1
	}
	if p.is("noterm") {
		signal.Ignore(syscall.SIGTERM)
	}
	if p.is("orphan") {
		// A child of QEMU's that holds the channels open, and takes SIGTERM for nothing.
		c := exec.Command("/bin/sh", "-c", "trap '' TERM; while :; do sleep 1; done # "+OrphanMark(os.Getppid()))
		c.ExtraFiles = []*os.File{p.qmp, p.events, p.console}
		c.Start()
	}
	switch {
	case p.is("noqmp"):
	case p.is("badqmp"):
		fmt.Fprint(p.qmp, "{\"QMP\": }}}}")
	default:
		fmt.Fprint(p.qmp, greeting+"\r\n")
		go p.serveQMP()
	}
	p.boot()
	select {}
}

func (p *player) serveQMP() {
	dec := json.NewDecoder(p.qmp)
	for {
		var c struct {
			Execute   string          `json:"execute"`
			ID        json.RawMessage `json:"id"`
			Arguments struct {
				URI string `json:"uri"`
			} `json:"arguments"`
		}
		if dec.Decode(&c) != nil {
			return
		}
		ret := "{}"
		switch c.Execute {
		case "stop":
			p.event("STOP", "{}")
		case "cont":
			p.event("RESUME", "{}")
		case "query-status":
			ret = `{"status": "paused"}`
		case "query-migrate":
			ret = `{"status": "completed"}`
		case "migrate":
			if line, ok := strings.CutPrefix(c.Arguments.URI, "exec:"); ok {
				x := exec.Command("/bin/sh", "-c", line)
				x.Stdin = strings.NewReader("state\n")
				if err := x.Run(); err != nil {
					ret = `{"status": "failed"}`
				}
			}
		}
		if c.Execute == "quit" && p.is("noquit", "noterm") {
			continue
		}
		fmt.Fprintf(p.qmp, `{"return": %s, "id": %s}`+"\r\n", ret, c.ID)
		if c.Execute == "qmp_capabilities" && p.is("eventflood") {
			for range 50_000 {
				p.event("RTC_CHANGE", `{"offset": 1}`)
			}
		}
		if c.Execute == "quit" {
			p.die("host-qmp-quit", 0)
		}
	}
}

// boot plays the kernel and the agent's beginning.
func (p *player) boot() {
	if p.is("silent") {
		return
	}
	if Restored() {
		p.serveAgent()
		return
	}
	if p.is("vofexit") && slices.ContainsFunc(os.Args, func(a string) bool { return strings.Contains(a, "x-vof=on") }) {
		p.die("guest-shutdown", 0)
	}
	p.print("[    0.000000] Linux version 6.12.117 (fake)")
	switch p.how {
	case "reset":
		p.die("guest-reset", 0)
	case "noroot":
		p.print("[    0.5] Initramfs unpacking failed: junk within compressed archive",
			"[    0.7] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)")
		p.die("guest-reset", 0)
	case "consoleflood":
		line := strings.Repeat("x", 1000) + "\n"
		for {
			if _, err := io.WriteString(p.console, line); err != nil {
				os.Exit(0)
			}
		}
	}
	p.print("[    0.900000] Run /series/agent as init process")
	switch p.how {
	case "hanginit":
		return
	case "agenterror":
		p.send(guest.TypeError, guest.Failure{Message: "no port"})
		return
	}
	p.send(guest.TypeHello, guest.Hello{Version: guest.Version, Arch: "amd64", Release: "6.12.117"})
	switch p.how {
	case "panic":
		p.print("[    1.0] BUG: kernel NULL pointer dereference, address: 0000000000000000",
			"[    1.0] Oops: Oops: 0002 [#1] PREEMPT SMP",
			"[    1.1] Kernel panic - not syncing: Fatal exception",
			"[    1.1] ---[ end Kernel panic - not syncing: Fatal exception ]---")
		p.die("guest-reset", 0)
	case "panicstuck":
		p.print("[    1.1] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000009")
		return
	case "panicked":
		p.event("GUEST_PANICKED", `{"action": "shutdown"}`)
		p.die("guest-panic", 0)
	case "hang":
		return
	case "early":
		p.die("guest-shutdown", 0)
	case "crash":
		fmt.Fprintln(os.Stderr, "qemu-system-fake: assertion failed")
		os.Exit(3)
	case "hostsignal":
		p.die("host-signal", 0)
	case "suicide":
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "splat", "splathang", "splatearly":
		p.print("[    1.2] ------------[ cut here ]------------",
			"[    1.2] WARNING: CPU: 0 PID: 1 at kernel/audit.c:123 audit_log_end+0x1/0x2",
			"[    1.2] ---[ end trace 0000000000000000 ]---")
		if p.is("splathang") {
			return
		}
		if p.is("splatearly") {
			p.die("guest-reset", 0)
		}
	case "forged":
		p.send(guest.TypeExit, guest.Exit{}) // of a command that nobody asked for
	case "seqgap":
		b, _ := guest.AppendFrame(nil, guest.Frame{Type: guest.TypeHeartbeat, Seq: 7, Payload: []byte("{}")})
		p.events.Write(b)
	case "oversize":
		b, _ := guest.AppendFrame(nil, guest.Frame{Type: guest.TypeHeartbeat, Seq: 1, Payload: []byte("{}")})
		b[12] = 0x7f
		p.events.Write(b)
	case "halfframe":
		b, _ := guest.AppendFrame(nil, guest.Frame{Type: guest.TypeHeartbeat, Seq: 1, Payload: []byte("{}")})
		p.events.Write(b[:10])
		p.die("guest-reset", 0)
	}
	go func() {
		for start := time.Now(); ; time.Sleep(50 * time.Millisecond) {
			p.send(guest.TypeHeartbeat, guest.Heartbeat{Clock: guest.Clock{Monotonic: time.Since(start)}})
		}
	}()
	p.serveAgent()
}

// serveAgent plays the agent: its commands do what their environment says.
func (p *player) serveAgent() {
	start := time.Now()
	clock := func() guest.Clock { return guest.Clock{Monotonic: time.Since(start)} }
	dec := guest.NewHostDecoder(bufio.NewReader(p.events))
	signals := make(chan int, 10)
	for {
		f, err := dec.Decode()
		if err != nil {
			return
		}
		switch f.Type {
		case guest.TypeSignal:
			var s guest.SignalRequest
			json.Unmarshal(f.Payload, &s)
			signals <- s.Signal
		case guest.TypeRun:
			var c guest.Command
			json.Unmarshal(f.Payload, &c)
			go p.playCommand(c, clock, signals)
		case guest.TypeResume:
			p.send(guest.TypeHello, guest.Hello{Version: guest.Version, Arch: "amd64", Release: "6.12.117"})
		case guest.TypeInterval:
			p.send(guest.TypeAck, guest.Ack{Of: f.Type})
		case guest.TypeReboot:
			p.send(guest.TypeDone, guest.Done{Commands: 1})
		}
	}
}

func (p *player) playCommand(c guest.Command, clock func() guest.Clock, signals <-chan int) {
	env := map[string]string{}
	for _, e := range c.Env {
		name, value, _ := strings.Cut(e, "=")
		env[name] = value
	}
	p.send(guest.TypeStart, guest.Start{PID: 2})
	exit := guest.Exit{Started: clock()}
	if p.opts.Program != nil {
		var status int
		env["OUT"], status = p.opts.Program(c)
		env["STATUS"] = strconv.Itoa(status)
	}
	for line := range strings.SplitAfterSeq(env["OUT"], "\n") {
		if name, ok := strings.CutPrefix(line, "\x16=== RUN   "); ok && c.Marks {
			p.send(guest.TypeTest, guest.Test{Action: "run", Name: strings.TrimSpace(name), Now: clock()})
		}
		p.send(guest.TypeStdout, []byte(line))
	}
	if n, _ := strconv.Atoi(env["FLOOD"]); n > 0 {
		for range n {
			p.send(guest.TypeStdout, bytes.Repeat([]byte{0xff}, 64<<10))
		}
	}
	exit.Status, _ = strconv.Atoi(env["STATUS"])
	switch env["THEN"] {
	case "die":
		p.die("guest-reset", 0)
	case "wait": // for the signal that ends it
		for sig := range signals {
			if sig == int(syscall.SIGQUIT) {
				p.send(guest.TypeStdout, []byte("SIGQUIT: quit\n\ngoroutine 1 [running]:\n"))
				if env["DUMP"] == "ends" {
					exit.Status = 2
					break
				}
				continue
			}
			exit.Status, exit.Signal = -1, syscall.Signal(sig)
			break
		}
	}
	exit.Ended = clock()
	p.send(guest.TypeExit, exit)
}
