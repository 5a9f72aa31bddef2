// SPDX-License-Identifier: Apache-2.0

package qmp

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	base "github.com/digitalocean/go-qemu/qmp"
	"github.com/digitalocean/go-qemu/qmp/raw"
)

const hello = `{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "v7.2.22"}, "capabilities": ["oob"]}}` + "\r\n"

// pair returns the two ends of a unix socket.
func pair(t testing.TB) (ours, theirs net.Conn) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]net.Conn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "pair")
		ends[i], err = net.FileConn(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { ends[1].Close() })
	return ends[0], ends[1]
}

// goroutines fails the test if it leaves any behind.
func goroutines(t *testing.T) {
	t.Helper()
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		for range 200 {
			if runtime.NumGoroutine() <= before {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		b := make([]byte, 1<<16)
		t.Errorf("%d goroutines left, %d before:\n%s", runtime.NumGoroutine(), before, b[:runtime.Stack(b, true)])
	})
}

// A command as the peer sees it.
type command struct {
	Execute   string
	Arguments json.RawMessage
	ID        json.RawMessage
}

// serve answers commands with what answer returns, after the greeting; "" answers nothing.
func serve(peer net.Conn, answer func(c command) string) {
	io.WriteString(peer, hello)
	dec := json.NewDecoder(bufio.NewReader(peer))
	for {
		var c command
		if dec.Decode(&c) != nil {
			return
		}
		if a := answer(c); a != "" {
			io.WriteString(peer, a+"\r\n")
		}
	}
}

// play says its parts, each after the first when a command has come.
func play(peer net.Conn, parts ...string) {
	io.WriteString(peer, parts[0])
	dec := json.NewDecoder(peer)
	for _, part := range parts[1:] {
		var c command
		if dec.Decode(&c) != nil {
			return
		}
		io.WriteString(peer, part)
	}
}

func returns(c command, v string) string { return fmt.Sprintf(`{"return": %s, "id": %s}`, v, c.ID) }

// connect returns a Monitor that is connected to a peer that answers.
func connect(t *testing.T, o Options, answer func(c command) string) (*Monitor, net.Conn) {
	t.Helper()
	goroutines(t)
	ours, theirs := pair(t)
	go serve(theirs, func(c command) string {
		if c.Execute == "qmp_capabilities" {
			return returns(c, "{}")
		}
		return answer(c)
	})
	m := New(ours, o)
	t.Cleanup(func() { m.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := m.ConnectContext(ctx); err != nil {
		t.Fatal(err)
	}
	return m, theirs
}

func TestExecute(t *testing.T) {
	var log strings.Builder
	m, _ := connect(t, Options{Log: &log}, func(c command) string {
		switch c.Execute {
		case "query-status":
			return returns(c, `{"running": true, "singlestep": false, "status": "running"}`)
		case "qom-get":
			return returns(c, string(c.Arguments))
		}
		return fmt.Sprintf(`{"error": {"class": "CommandNotFound", "desc": "The command %s has not been found"}, "id": %s}`, c.Execute, c.ID)
	})
	if v := m.Version(); v.String() != "7.2.22" {
		t.Errorf("version %v, want 7.2.22", v)
	}
	// go-qemu's types work on it.
	var monitor base.Monitor = m.With(t.Context())
	status, err := raw.NewMonitor(monitor).QueryStatus()
	if err != nil || !status.Running || status.Status != raw.RunStateRunning {
		t.Errorf("QueryStatus = %+v, %v", status, err)
	}
	var back map[string]string
	if err := m.Execute(t.Context(), "qom-get", map[string]string{"path": "/machine"}, &back); err != nil || back["path"] != "/machine" {
		t.Errorf("Execute = %v, %v", back, err)
	}
	var ce *CommandError
	if err := m.Execute(t.Context(), "nonsense", nil, nil); !errors.As(err, &ce) || ce.Class != "CommandNotFound" || ce.Command != "nonsense" {
		t.Errorf("Execute(nonsense) = %v, want a *CommandError", err)
	}
	for _, bad := range []string{"", "{", "[]", "{}", `{"execute": 1}`} {
		if _, err := m.Run([]byte(bad)); err == nil {
			t.Errorf("Run(%q): no error", bad)
		}
	}
	m.Close()
	for _, want := range []string{"< {\"QMP\"", `> {"execute":"qmp_capabilities","id":1}`, `"query-status"`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("log has no %q:\n%s", want, log.String())
		}
	}
	if err := m.Execute(t.Context(), "x", nil, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("Execute after Close = %v, want ErrClosed", err)
	}
	if err := m.Close(); err != nil {
		t.Errorf("second Close = %v", err)
	}
	if err := m.Connect(); err == nil {
		t.Error("second Connect: no error")
	}
}

// Replies may come in any order, between events, and be of any size.
func TestConcurrent(t *testing.T) {
	var mu sync.Mutex
	var held []string
	big := strings.Repeat("x", 1<<20)
	m, peer := connect(t, Options{}, func(c command) string {
		mu.Lock()
		defer mu.Unlock()
		held = append([]string{returns(c, fmt.Sprintf(`{"echo": %s, "big": %q}`, c.Arguments, big))}, held...)
		if len(held) < 20 {
			return ""
		}
		return strings.Join(held, `{"event": "RTC_CHANGE", "timestamp": {"seconds": 1, "microseconds": 1}}`)
	})
	_ = peer
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			var r struct {
				Echo int
				Big  string
			}
			if err := m.Execute(t.Context(), "x", i, &r); err != nil || r.Echo != i || len(r.Big) != 1<<20 {
				t.Errorf("Execute(%d) = %d, %d bytes, %v", i, r.Echo, len(r.Big), err)
			}
		})
	}
	wg.Wait()
}

func TestNoReply(t *testing.T) {
	late := make(chan command, 1)
	m, peer := connect(t, Options{Timeout: 50 * time.Millisecond}, func(c command) string {
		if c.Execute == "slow" {
			late <- c
			return ""
		}
		return returns(c, "{}")
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var nr *NoReplyError
	if err := m.Execute(ctx, "slow", nil, nil); !errors.As(err, &nr) || nr.Command != "slow" || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Execute = %v, want a *NoReplyError", err)
	}
	// The reply that comes too late is for nobody, and does no harm.
	io.WriteString(peer, returns(<-late, "{}"))
	if err := m.Execute(t.Context(), "next", nil, nil); err != nil {
		t.Errorf("Execute after a late reply = %v", err)
	}
	if _, err := m.Run([]byte(`{"execute": "slow"}`)); !errors.As(err, &nr) {
		t.Errorf("Run = %v, want a *NoReplyError after Options.Timeout", err)
	}
	// A second reply to the same command is none to anything.
	c := <-late
	io.WriteString(peer, returns(c, "{}")+returns(c, "{}"))
	<-m.Done()
	if err := m.Err(); !errors.Is(err, ErrUnexpected) {
		t.Errorf("after two replies: %v, want ErrUnexpected", err)
	}
}

// A peer that does not take what is sent holds nobody.
func TestBlockedWrite(t *testing.T) {
	goroutines(t)
	ours, theirs := pair(t)
	go play(theirs, hello, `{"return": {}, "id": 1}`)
	m := New(ours, Options{})
	defer m.Close()
	if err := m.ConnectContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	err := m.Execute(ctx, "x", strings.Repeat("x", 2<<20), nil)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Execute = %v, want the deadline", err)
	}
	// Half a command was sent: the connection is of no more use, and says so.
	again, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	start := time.Now()
	if err := m.Execute(again, "y", nil, nil); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 10*time.Second {
		t.Errorf("Execute after half a command = %v", err)
	}
}

// What a peer may do wrong, and how each is told.
func TestBadPeers(t *testing.T) {
	caps := hello + `{"return": {}, "id": 1}`
	for _, tt := range []struct {
		name, says string
		want       error
	}{
		{"nothing", "", ErrNoGreeting},
		{"no greeting", `{"return": {}}`, ErrNoGreeting},
		{"an event first", `{"event": "STOP", "timestamp": {"seconds": 1, "microseconds": 1}}`, ErrNoGreeting},
		{"garbage", "}}}}", ErrMalformed},
		{"HTTP", "HTTP/1.1 400 Bad Request\r\n\r\n", ErrMalformed},
		{"half a greeting", hello[:40], ErrTruncated},
		{"an array", caps + "[1, 2]", ErrMalformed},
		{"a number", caps + "12 ", ErrMalformed},
		{"null", caps + "null ", ErrMalformed},
		{"an empty object", caps + "{}", ErrMalformed},
		{"garbage later", caps + "\x00\x01", ErrMalformed},
		{"a second greeting", caps + hello, ErrMalformed},
		{"a reply to nothing", caps + `{"return": {}, "id": 99}`, ErrUnexpected},
		{"a reply without id", caps + `{"return": {}}`, ErrUnexpected},
		{"an error without id", caps + `{"error": {"class": "GenericError", "desc": "JSON parse error"}}`, ErrUnexpected},
		{"a reply with a bad id", caps + `{"return": {}, "id": "x"}`, ErrUnexpected},
		{"a bad event", caps + `{"event": "STOP", "data": 7}`, ErrMalformed},
		{"a bad type", caps + `{"event": 7}`, ErrMalformed},
		{"half a reply", caps + `{"return": {"a": `, ErrTruncated},
		{"a huge reply", caps + `{"return": "` + strings.Repeat("x", 100_000), ErrTooLarge},
		{"a deep reply", caps + `{"return": ` + strings.Repeat("[", 20_000), ErrMalformed},
		{"the end", caps, ErrEnded},
		{"a flood of what must be kept", caps + strings.Repeat(`{"event": "RESET", "timestamp": {}}`, 100), ErrEventFlood},
	} {
		t.Run(tt.name, func(t *testing.T) {
			goroutines(t)
			ours, theirs := pair(t)
			go func() {
				if after, ok := strings.CutPrefix(tt.says, hello); ok {
					play(theirs, hello, after)
				} else {
					play(theirs, tt.says)
				}
				theirs.(*net.UnixConn).CloseWrite()
				io.Copy(io.Discard, theirs)
			}()
			m := New(ours, Options{MaxMessage: 50_000, MaxEvents: 10})
			defer m.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if err := m.ConnectContext(ctx); err != nil && !errors.Is(err, tt.want) {
				t.Errorf("Connect = %v, want %v", err, tt.want)
			}
			<-m.Done()
			if err := m.Err(); !errors.Is(err, tt.want) {
				t.Errorf("Err = %v, want %v", err, tt.want)
			}
			var pe *ProtocolError
			if tt.want != ErrEnded && !errors.As(m.Err(), &pe) {
				t.Errorf("Err = %v, want a *ProtocolError", m.Err())
			}
			if err := m.Execute(ctx, "x", nil, nil); !errors.Is(err, tt.want) {
				t.Errorf("Execute = %v, want %v", err, tt.want)
			}
		})
	}
}

func TestHandshakeRefused(t *testing.T) {
	goroutines(t)
	ours, theirs := pair(t)
	go play(theirs, hello, `{"error": {"class": "GenericError", "desc": "no"}, "id": 1}`)
	m := New(ours, Options{})
	defer m.Close()
	var ce *CommandError
	if err := m.Connect(); !errors.As(err, &ce) {
		t.Errorf("Connect = %v, want a *CommandError", err)
	}
}

func TestSilentPeer(t *testing.T) {
	goroutines(t)
	ours, _ := pair(t)
	m := New(ours, Options{Timeout: 50 * time.Millisecond})
	defer m.Close()
	var nr *NoReplyError
	if err := m.Connect(); !errors.As(err, &nr) || nr.Command != "greeting" {
		t.Errorf("Connect = %v, want a *NoReplyError", err)
	}
	if err := m.Execute(t.Context(), "x", nil, nil); !errors.As(err, &nr) {
		t.Errorf("Execute = %v, want a *NoReplyError", err)
	}
}

func TestExecuteBeforeConnect(t *testing.T) {
	goroutines(t)
	ours, _ := pair(t)
	m := New(ours, Options{})
	if err := m.Execute(t.Context(), "x", nil, nil); err == nil {
		t.Error("Execute before Connect: no error")
	}
	m.Close()
	if err := m.Connect(); !errors.Is(err, ErrClosed) {
		t.Errorf("Connect after Close = %v, want ErrClosed", err)
	}
}
