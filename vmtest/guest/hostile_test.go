// SPDX-License-Identifier: Apache-2.0

package guest_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/seriesrig/series/vmtest/guest"
)

// A liar plays a guest that says what it likes.
type liar struct {
	t *testing.T
	net.Conn
	enc *guest.Encoder
}

func (l *liar) say(t guest.Type, v any) {
	b, raw := v.([]byte)
	if !raw && v != nil {
		var err error
		if b, err = json.Marshal(v); err != nil {
			l.t.Error(err)
		}
	}
	l.enc.Encode(t, b) // an error is that the host has had enough
}

func (l *liar) hello() { l.say(guest.TypeHello, guest.Hello{Version: guest.Version}) }

// started answers a run with a start.
func (l *liar) started() {
	l.hello()
	dec := guest.NewHostDecoder(l)
	if f, err := dec.Decode(); err != nil || f.Type != guest.TypeRun {
		l.t.Errorf("host says %v, %v, want run", f.Type, err)
	}
	go func() { // a guest that lies may still listen
		for {
			if _, err := dec.Decode(); err != nil {
				return
			}
		}
	}()
	l.say(guest.TypeStart, guest.Start{PID: 7})
}

// frame is a good frame's bytes, for spoiling.
func frame(t testing.TB, f guest.Frame) []byte {
	t.Helper()
	b, err := guest.AppendFrame(nil, f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestHostileGuest(t *testing.T) {
	beat := guest.Heartbeat{}
	file := guest.File{Path: "/out/a"}
	for _, c := range []struct {
		name string
		say  func(*liar)
		want error
	}{
		{"nothing", func(l *liar) {}, guest.ErrEarlyEnd},
		{"hello alone", func(l *liar) { l.hello() }, guest.ErrEarlyEnd},
		{"end while a command runs", func(l *liar) { l.started() }, guest.ErrEarlyEnd},
		{"console text", func(l *liar) { l.Write([]byte("[    0.000000] Linux version 6.12.117")) }, guest.ErrMagic},
		{"half a frame", func(l *liar) { l.Write(frame(t, guest.Frame{Type: guest.TypeHello, Payload: []byte("{}")})[:21]) }, guest.ErrTruncated},
		{"half a header", func(l *liar) { l.Write(frame(t, guest.Frame{Type: guest.TypeHello})[:9]) }, guest.ErrTruncated},
		{"flipped bit", func(l *liar) {
			b := frame(t, guest.Frame{Type: guest.TypeHello, Payload: []byte(`{"version":1}`)})
			b[25] ^= 1
			l.Write(b)
		}, guest.ErrChecksum},
		{"oversize", func(l *liar) {
			b := frame(t, guest.Frame{Type: guest.TypeHello})
			binary.BigEndian.PutUint32(b[12:], guest.MaxPayload+1)
			l.Write(b)
		}, guest.ErrOversize},
		{"unknown type", func(l *liar) { l.Write(frame(t, guest.Frame{Type: 200})) }, guest.ErrType},
		{"a host's type", func(l *liar) { l.say(guest.TypeRun, guest.Command{}) }, guest.ErrType},
		{"lost frame", func(l *liar) {
			l.hello()
			l.Write(frame(t, guest.Frame{Type: guest.TypeHeartbeat, Seq: 2, Payload: []byte("{}")}))
		}, guest.ErrSequence},
		{"repeated frame", func(l *liar) {
			l.hello()
			l.Write(frame(t, guest.Frame{Type: guest.TypeHeartbeat, Seq: 1, Payload: []byte("{}")}))
			l.Write(frame(t, guest.Frame{Type: guest.TypeHeartbeat, Seq: 1, Payload: []byte("{}")}))
		}, guest.ErrSequence},
		{"not json", func(l *liar) { l.say(guest.TypeHello, []byte("hello")) }, guest.ErrPayload},
		{"wrong json", func(l *liar) { l.say(guest.TypeHello, []byte(`{"version":"one"}`)) }, guest.ErrPayload},
		{"other version", func(l *liar) { l.say(guest.TypeHello, guest.Hello{Version: 99}) }, guest.ErrVersion},
		{"before hello", func(l *liar) { l.say(guest.TypeHeartbeat, beat) }, guest.ErrState},
		{"second hello", func(l *liar) { l.hello(); l.hello() }, guest.ErrState},
		{"output of nothing", func(l *liar) { l.hello(); l.say(guest.TypeStdout, []byte("x")) }, guest.ErrState},
		{"ack of nothing", func(l *liar) { l.hello(); l.say(guest.TypeAck, guest.Ack{Of: guest.TypePut}) }, guest.ErrState},
		{"after done", func(l *liar) {
			l.hello()
			l.say(guest.TypeDone, guest.Done{})
			l.say(guest.TypeHeartbeat, beat)
		}, guest.ErrState},
		{"second start", func(l *liar) { l.started(); l.say(guest.TypeStart, guest.Start{}) }, guest.ErrState},
		{"done while a command runs", func(l *liar) { l.started(); l.say(guest.TypeDone, guest.Done{}) }, guest.ErrState},
		{"endless credit", func(l *liar) { l.started(); l.say(guest.TypeCredit, guest.Credit{Bytes: 1 << 30}) }, guest.ErrPayload},
		{"credit for nothing", func(l *liar) {
			l.started()
			l.say(guest.TypeCredit, guest.Credit{Bytes: guest.StdinWindow})
			l.say(guest.TypeCredit, guest.Credit{Bytes: 1})
		}, guest.ErrState},
		{"file data of no file", func(l *liar) { l.started(); l.say(guest.TypeFileData, []byte("x")) }, guest.ErrState},
		{"file not asked for", func(l *liar) { l.started(); l.say(guest.TypeFile, guest.File{Path: "/etc/passwd"}) }, guest.ErrPath},
		{"file beside", func(l *liar) { l.started(); l.say(guest.TypeFile, guest.File{Path: "/outer"}) }, guest.ErrPath},
		{"file by dots", func(l *liar) { l.started(); l.say(guest.TypeFile, guest.File{Path: "/out/../etc/passwd"}) }, guest.ErrPath},
		{"file inside a file", func(l *liar) { l.started(); l.say(guest.TypeFile, file); l.say(guest.TypeFile, file) }, guest.ErrState},
		{"exit inside a file", func(l *liar) { l.started(); l.say(guest.TypeFile, file); l.say(guest.TypeExit, guest.Exit{}) }, guest.ErrState},
		{"endless file", func(l *liar) {
			l.started()
			l.say(guest.TypeFile, file)
			for range 3 {
				l.say(guest.TypeFileData, make([]byte, 400))
			}
		}, guest.ErrTooMuch},
	} {
		t.Run(c.name, func(t *testing.T) {
			checkLeaks(t)
			host, theirs := net.Pipe()
			conn := guest.NewConn(host)
			defer conn.Close()
			lied := make(chan struct{})
			go func() {
				defer close(lied)
				l := &liar{t: t, Conn: theirs, enc: guest.NewEncoder(theirs)}
				c.say(l)
				theirs.Close()
			}()
			cmd := guest.Command{Argv: []string{"x"}, Collect: []string{"/out"}, CollectLimit: 1000}
			exit, err := conn.Run(testContext(t), cmd, guest.Stdio{File: new(sink).take})
			<-conn.Ended()
			<-lied
			if exit != nil || err == nil {
				t.Errorf("Run = %v, %v: a guest passed that never did", exit, err)
			}
			var p *guest.ProtocolError
			got := conn.Err()
			if !errors.Is(got, c.want) || errors.As(got, &p) == errors.Is(got, guest.ErrEarlyEnd) {
				t.Errorf("Err = %v, want %v", got, c.want)
			}
		})
	}
}

// Who has waited for a hello finds when the guest has last said something.
func TestLastFrame(t *testing.T) {
	checkLeaks(t)
	for range 2000 {
		host, theirs := net.Pipe()
		conn := guest.NewConn(host)
		if !conn.LastFrame().IsZero() {
			t.Fatal("a time of the last frame before hello")
		}
		l := &liar{t: t, Conn: theirs, enc: guest.NewEncoder(theirs)}
		l.hello()
		if _, err := conn.Hello(testContext(t)); err != nil {
			t.Fatal(err)
		}
		if conn.LastFrame().IsZero() {
			t.Fatal("no time of the last frame after hello")
		}
		theirs.Close()
		conn.Close()
	}
}

// A guest that says more than the host takes is held up, and costs no memory.
func TestFlood(t *testing.T) {
	checkLeaks(t)
	host, theirs := socketpair(t)
	conn := guest.NewConn(host)
	out, err := net.FileConn(theirs)
	if err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	sent := make(chan int, 1)
	go func() {
		l := &liar{t: t, Conn: out, enc: guest.NewEncoder(out)}
		l.started()
		n, chunk := 0, make([]byte, 64<<10)
		for l.enc.Encode(guest.TypeStdout, chunk) == nil {
			n += len(chunk)
		}
		sent <- n
	}()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	stuck := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		_, err := conn.Run(testContext(t), guest.Command{Argv: []string{"yes"}}, guest.Stdio{
			Stdout: writerFunc(func(b []byte) (int, error) { <-stuck; return len(b), nil })})
		done <- err
	}()
	time.Sleep(300 * time.Millisecond)
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 4<<20 {
		t.Errorf("heap grew by %d bytes", grown)
	}
	out.Close() // the guest ends, and only then does the host take what it said
	n := <-sent
	close(stuck)
	if err := <-done; !errors.Is(err, guest.ErrEarlyEnd) {
		t.Errorf("Run = %v", err)
	}
	if n == 0 || n > 4<<20 {
		t.Errorf("the guest got rid of %d bytes", n)
	}
	conn.Close()
}

func TestEncodeOversize(t *testing.T) {
	e := guest.NewEncoder(io.Discard)
	if err := e.Encode(guest.TypeStdout, make([]byte, guest.MaxPayload+1)); !errors.Is(err, guest.ErrOversize) {
		t.Errorf("Encode = %v, want ErrOversize", err)
	}
	if err := e.Encode(guest.TypeStdout, make([]byte, guest.MaxPayload)); err != nil {
		t.Errorf("Encode of the largest = %v", err)
	}
}

// A command too large for a frame is refused, and the connection lives.
func TestRunOversize(t *testing.T) {
	r := startAgent(t)
	_, err := r.Run(testContext(t), guest.Command{Argv: []string{"echo", strings.Repeat("x", guest.MaxPayload)}}, guest.Stdio{})
	if !errors.Is(err, guest.ErrOversize) {
		t.Errorf("Run = %v, want ErrOversize", err)
	}
	r.run(t, "true")
}

func FuzzDecode(f *testing.F) {
	var e bytes.Buffer
	enc := guest.NewEncoder(&e)
	for _, s := range []struct {
		t guest.Type
		p string
	}{{guest.TypeHello, `{"version":1}`}, {guest.TypeStart, `{"pid":2}`}, {guest.TypeStdout, "x\n"}, {guest.TypeFileData, ""},
		{guest.TypeExit, `{"status":1}`}, {guest.TypeDone, `{}`}} {
		if err := enc.Encode(s.t, []byte(s.p)); err != nil {
			f.Fatal(err)
		}
		f.Add(bytes.Clone(e.Bytes()))
	}
	f.Add(e.Bytes()[:30])
	f.Add([]byte("SRG1 and so on, and so on"))
	f.Add(frame(f, guest.Frame{Type: guest.TypeHello, Seq: 1}))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bytes.NewReader(in)
		d := guest.NewGuestDecoder(r)
		for at := 0; ; {
			g, err := d.Decode()
			if err != nil {
				var p *guest.ProtocolError
				if !errors.Is(err, io.EOF) && !errors.As(err, &p) {
					t.Fatalf("Decode = %v, want io.EOF or a *ProtocolError", err)
				}
				if errors.Is(err, io.EOF) && at != len(in) {
					t.Fatalf("end after %d of %d bytes", at, len(in))
				}
				return
			}
			// What was taken is what encodes to these bytes, and nothing else.
			if len(g.Payload) > guest.MaxPayload {
				t.Fatalf("payload of %d bytes", len(g.Payload))
			}
			b := frame(t, g)
			if !bytes.Equal(b, in[at:at+len(b)]) {
				t.Fatalf("%+v encodes to %q, was %q", g, b, in[at:at+len(b)])
			}
			at += len(b)
		}
	})
}
