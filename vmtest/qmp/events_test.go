// SPDX-License-Identifier: Apache-2.0

package qmp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

func eventJSON(name string, n int) string {
	return fmt.Sprintf(`{"event": %q, "data": {"n": %d}, "timestamp": {"seconds": 5, "microseconds": 7}}`+"\r\n", name, n)
}

// Events that come before the reply to qmp_capabilities, and before anybody listens, are there for the first who does.
func TestEarlyEvents(t *testing.T) {
	goroutines(t)
	ours, theirs := pair(t)
	go play(theirs, hello, eventJSON("RESUME", 1)+`{"return": {}, "id": 1}`+eventJSON("STOP", 2))
	m := New(ours, Options{})
	defer m.Close()
	if err := m.ConnectContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	time.Sleep(20 * time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	events, err := m.Events(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"RESUME", "STOP"} {
		e := <-events
		if e.Event != want || e.Data["n"] != float64(i+1) || e.Timestamp.Seconds != 5 || e.Timestamp.Microseconds != 7 {
			t.Errorf("event %d = %+v, want %s", i, e, want)
		}
	}
	// A second listener gets what comes from now on, and so does the first.
	second := m.Subscribe()
	io.WriteString(theirs, eventJSON("RESET", 3))
	if e := <-events; e.Event != "RESET" {
		t.Errorf("event %+v, want RESET", e)
	}
	if e, err := second.Next(ctx); err != nil || e.Event != "RESET" {
		t.Errorf("Next = %+v, %v; want RESET", e, err)
	}
	// What came before the end is still there after it.
	io.WriteString(theirs, eventJSON("SHUTDOWN", 4))
	theirs.Close()
	<-m.Done()
	if e := <-events; e.Event != "SHUTDOWN" {
		t.Errorf("event %+v, want SHUTDOWN", e)
	}
	if e, ok := <-events; ok {
		t.Errorf("event %+v after the end", e)
	}
	if e, err := second.Next(ctx); err != nil || e.Event != "SHUTDOWN" {
		t.Errorf("Next = %+v, %v; want SHUTDOWN", e, err)
	}
	if _, err := second.Next(ctx); !errors.Is(err, ErrEnded) {
		t.Errorf("Next after the end = %v, want ErrEnded", err)
	}
}

// A flood that nobody reads holds up no reply, and takes with it nothing that counts.
func TestEventFlood(t *testing.T) {
	goroutines(t)
	ours, theirs := pair(t)
	const flood = 20_000
	go func() {
		play(theirs, hello, `{"return": {}, "id": 1}`)
		for i := range flood {
			io.WriteString(theirs, eventJSON("RTC_CHANGE", i))
			if i%1000 == 500 {
				io.WriteString(theirs, eventJSON("STOP", i))
			}
		}
		play(theirs, eventJSON("GUEST_PANICKED", flood), `{"return": {}, "id": 2}`)
	}()
	m := New(ours, Options{MaxEvents: 100})
	defer m.Close()
	if err := m.ConnectContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := m.Execute(t.Context(), "query-status", nil, nil); err != nil {
		t.Fatal(err)
	}
	s := m.Subscribe()
	if d := s.Dropped(); d != flood+flood/1000+1-100 {
		t.Errorf("%d events dropped, want all but 100 of %d", d, flood+flood/1000+1)
	}
	var names []string
	last := -1
	for range 100 {
		e, err := s.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n := int(e.Data["n"].(float64)); n < last {
			t.Errorf("event %d after %d", n, last)
		} else {
			last = n
		}
		names = append(names, e.Event)
	}
	count := func(name string) (n int) {
		for _, x := range names {
			if x == name {
				n++
			}
		}
		return n
	}
	if count("STOP") != flood/1000 || names[99] != "GUEST_PANICKED" {
		t.Errorf("%d of %d STOP, last %s; want all, and GUEST_PANICKED", count("STOP"), flood/1000, names[99])
	}
	if !slices.Contains(names, "RTC_CHANGE") {
		t.Error("no other event is left, though there was room")
	}
}

// Whoever has an event on offer, or waits for one, goes when the Monitor is closed or the context ends.
func TestEventsEnd(t *testing.T) {
	m, peer := connect(t, Options{}, func(c command) string { return returns(c, "{}") })
	ctx, cancel := context.WithCancel(t.Context())
	first, _ := m.Events(ctx)
	second, _ := m.Events(t.Context())
	io.WriteString(peer, eventJSON("STOP", 1))
	time.Sleep(20 * time.Millisecond) // both have it on offer
	cancel()
	for range first {
	}
	third := m.Subscribe()
	m.Unsubscribe(third)
	if _, err := third.Next(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("Next after Unsubscribe = %v, want ErrClosed", err)
	}
	m.Close()
	for range second {
	}
	if _, err := m.Events(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("Events after Close = %v, want ErrClosed", err)
	}
	if _, err := m.Subscribe().Next(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("Next after Close = %v, want ErrClosed", err)
	}
}

// Whatever a peer says, the Monitor ends, and with an error that is one of ours.
func FuzzPeer(f *testing.F) {
	caps := hello + `{"return": {}, "id": 1}`
	for _, s := range []string{
		"", "}", hello, caps, caps + "null", caps + `{"return": {}, "id": 2}`, caps + eventJSON("STOP", 1),
		caps + eventJSON("RTC_CHANGE", 1) + `{"error": {"class": "x", "desc": "y"}, "id": 2}`,
		caps + `{"return": {"return": 1}, "id": 2, "event": null}`, caps + `{"event": "", "data": null, "timestamp": null}`,
		hello + `{"error": {}, "id": 1}`, caps + `{"return": [` + strings.Repeat("[", 300), "\xff\xfe", caps + `{"id":1e2,"return":0}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		ours, theirs := net.Pipe()
		go func() {
			if after, ok := bytes.CutPrefix(b, []byte(hello)); ok {
				play(theirs, hello, string(after))
			} else {
				theirs.Write(b)
			}
			theirs.Close()
		}()
		m := New(ours, Options{MaxMessage: 1 << 16, MaxEvents: 4})
		defer m.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if m.ConnectContext(ctx) == nil {
			m.RunContext(ctx, []byte(`{"execute": "x"}`))
		}
		<-m.Done()
		var pe *ProtocolError
		var ce *CommandError
		var nr *NoReplyError
		err := m.Err()
		if !errors.Is(err, ErrEnded) && !errors.As(err, &pe) && !errors.As(err, &ce) && !errors.As(err, &nr) {
			t.Errorf("Err = %v", err)
		}
		if errors.As(err, &nr) {
			t.Errorf("the peer has ended, and somebody waited: %v", err)
		}
	})
}
