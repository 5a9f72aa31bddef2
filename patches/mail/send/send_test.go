// SPDX-License-Identifier: Apache-2.0

package send_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seriesrig/series/internal/smtptest"
	"github.com/seriesrig/series/patches/mail/send"
)

// thread is an mbox of n messages, with what a body may have that SMTP could spoil.
func thread(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "From series Mon Sep 17 00:00:00 2001\nFrom: Ann Bell <ann@example.org>\nTo: \"Max, M\" <max@example.org>,\n list@example.org\nCc: max@example.org\n"+
			"Subject: [PATCH %d/%d] audit: größe %d\nDate: Sat, 21 Nov 2026 10:00:0%d +0000\nMessage-Id: <t-v1-%d-0123456789@example.org>\n", i, n-1, i, i, i)
		if i > 0 {
			b.WriteString("In-Reply-To: <t-v1-0-0123456789@example.org>\nReferences: <t-v1-0-0123456789@example.org>\n")
		}
		fmt.Fprintf(&b, "MIME-Version: 1.0\nContent-Type: text/plain; charset=UTF-8\nContent-Transfer-Encoding: 8bit\n\n.\n..two dots\nQUIT\n\ttrailing blanks  \nü %d\n.\n%s\n-- \nseries\n\n", i, strings.Repeat("x", 900))
	}
	return strings.ReplaceAll(b.String(), "größe", "groesse")
}

func freeze(t testing.TB, mbox string, o send.FreezeOptions) []*send.Message {
	t.Helper()
	m, err := send.Freeze(strings.NewReader(mbox), o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func start(t testing.TB, s *smtptest.Server) *send.Config {
	t.Helper()
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	cert := filepath.Join(t.TempDir(), "cert.pem")
	if err := s.WriteCert(cert); err != nil {
		t.Fatal(err)
	}
	return &send.Config{Host: "127.0.0.1", Port: s.Port(), Encryption: send.StartTLS, CertPath: cert, User: s.User, Pass: s.Password}
}

// attempt opens the journal and sends, as one run of the command does.
func attempt(t testing.TB, dir string, c *send.Config, limit time.Duration, messages []*send.Message) error {
	t.Helper()
	j, err := send.OpenJournal(dir, "", messages)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	return (&send.Sender{Config: c, Timeout: limit}).Send(t.Context(), j)
}

// decide does what a person does: look whether the messages of which nothing is known have arrived.
func decide(t testing.TB, dir string, messages []*send.Message, u *send.UnknownError, arrived []smtptest.Message) {
	t.Helper()
	j, err := send.OpenJournal(dir, "", messages)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if len(u.Messages) != 1 {
		t.Errorf("messages %d are unknown, want one", u.Messages)
	}
	want := messages[u.Messages[0]-1]
	sent := false
	for _, m := range arrived {
		sent = sent || bytes.Contains(m.Data, []byte("<"+want.ID+">\r\nMIME-Version"))
		sent = sent || bytes.Contains(m.Data, []byte("Message-Id: <"+want.ID+">"))
	}
	if err := j.Resolve(sent); err != nil {
		t.Fatal(err)
	}
}

// arrived compares what a server has with the frozen messages: each once, in order, byte for byte.
func arrived(t testing.TB, s *smtptest.Server, messages []*send.Message) {
	t.Helper()
	got := s.Messages()
	if len(got) != len(messages) {
		t.Errorf("%d messages arrived, want %d", len(got), len(messages))
		return
	}
	for i, m := range messages {
		g := got[i]
		if !bytes.Equal(g.Data, m.Data) {
			t.Errorf("message %d arrived as\n%q\nwant\n%q", i+1, g.Data, m.Data)
		}
		if g.From != "ann@example.org" || strings.Join(g.Rcpt, " ") != "max@example.org list@example.org" || !g.TLS || g.User != s.User {
			t.Errorf("message %d: envelope %q to %q, TLS %v, user %q", i+1, g.From, g.Rcpt, g.TLS, g.User)
		}
	}
}

// Whatever goes wrong at whatever step of whatever message: after as many runs as it takes each message has arrived once,
// and only where an answer was lost did anybody have to decide.
func TestFaults(t *testing.T) {
	messages := freeze(t, thread(3), send.FreezeOptions{})
	// The steps of a connection come up three times only where there are three connections.
	for batch, steps := range [][]smtptest.Step{
		{smtptest.Mail, smtptest.Rcpt, smtptest.Data, smtptest.Body, smtptest.End},
		{smtptest.Greeting, smtptest.Ehlo, smtptest.StartTLS, smtptest.Auth, smtptest.Quit},
	} {
		for _, step := range steps {
			for _, kind := range smtptest.Kinds {
				for nth := 1; nth <= 3; nth++ {
					if kind == smtptest.Stall && nth != 2 {
						continue
					}
					t.Run(fmt.Sprintf("%s/%s/%d", step, kind, nth), func(t *testing.T) {
						t.Parallel()
						s := &smtptest.Server{Fault: smtptest.Fault{Step: step, Nth: nth, Kind: kind}, User: "ann", Password: "geheim"}
						c := start(t, s)
						c.Batch = batch
						limit := 20 * time.Second
						if kind == smtptest.Stall {
							limit = 400 * time.Millisecond
						}
						dir := t.TempDir()
						runs, unknown := 0, 0
						for {
							if runs++; runs > 8 {
								t.Fatal("no end after 8 runs")
							}
							err := attempt(t, dir, c, limit, messages)
							if err == nil {
								break
							}
							if strings.ContainsRune(err.Error(), '\x1b') {
								t.Errorf("an escape goes through: %q", err)
							}
							var u *send.UnknownError
							var n *send.NotSentError
							switch {
							case errors.As(err, &u):
								unknown++
								if again := attempt(t, dir, c, limit, messages); !errors.As(again, &u) {
									t.Fatalf("without a decision the next run says %v", again)
								}
								decide(t, dir, messages, u, s.Messages())
							case !errors.As(err, &n):
								t.Fatal(err)
							}
						}
						arrived(t, s, messages)
						// A connection that ends within a message may still have taken the end of it.
						gone := kind == smtptest.Drop || kind == smtptest.Lose || kind == smtptest.Garbage
						if lost := step == smtptest.End && gone; step != smtptest.Body && kind != smtptest.Stall && (unknown > 0) != lost {
							t.Errorf("%d times nothing was known, want that only where the answer to a message is lost", unknown)
						}
						if !s.Reached() {
							t.Error("the fault was not reached")
						}
					})
				}
			}
		}
	}
}

// A dead server, and an interruption: nothing is lost and nothing is doubled.
func TestConnect(t *testing.T) {
	messages := freeze(t, thread(2), send.FreezeOptions{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	dir := t.TempDir()
	var n *send.NotSentError
	if err := attempt(t, dir, &send.Config{Host: "127.0.0.1", Port: port}, 0, messages); !errors.As(err, &n) || n.Message != 1 {
		t.Errorf("no server: %v", err)
	}
	s := &smtptest.Server{}
	c := start(t, s)
	if err := attempt(t, dir, c, 0, messages); err != nil {
		t.Fatal(err)
	}
	arrived(t, s, messages)
	if err := attempt(t, dir, c, 0, messages); err != nil {
		t.Fatal(err)
	}
	if len(s.Messages()) != 2 || s.Sessions() != 1 {
		t.Errorf("a thread that is out was sent again: %d messages, %d sessions", len(s.Messages()), s.Sessions())
	}
}

// Who stops the program while an answer is awaited gets the answer, where it comes soon; before that nothing is sent.
func TestInterrupt(t *testing.T) {
	messages := freeze(t, thread(2), send.FreezeOptions{})
	s := &smtptest.Server{Fault: smtptest.Fault{Step: smtptest.Rcpt, Nth: 4, Kind: smtptest.Stall}}
	c := start(t, s)
	j, err := send.OpenJournal(t.TempDir(), "", messages)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	ctx, cancel := context.WithCancel(t.Context())
	sender := &send.Sender{Config: c, Progress: func(m *send.Message, reply string) {
		time.AfterFunc(200*time.Millisecond, cancel)
	}}
	err = sender.Send(ctx, j)
	if !errors.Is(err, context.Canceled) || j.Count(send.Sent) != 1 || j.Count(send.Unknown) != 0 {
		t.Errorf("Send = %v with %d sent and %d unknown, want an interruption, 1 and 0", err, j.Count(send.Sent), j.Count(send.Unknown))
	}
}

// A journal that cannot be written keeps a message from being sent, and the end of the session does not send it.
func TestJournalFails(t *testing.T) {
	messages := freeze(t, thread(1), send.FreezeOptions{})
	s := &smtptest.Server{}
	c := start(t, s)
	j, err := send.OpenJournal(t.TempDir(), "", messages)
	if err != nil {
		t.Fatal(err)
	}
	j.Close()
	if err := (&send.Sender{Config: c}).Send(t.Context(), j); err == nil {
		t.Error("Send with a closed journal succeeds")
	}
	s.Close()
	if n := len(s.Messages()); n != 0 {
		t.Errorf("%d messages arrived, want none", n)
	}
}

func TestEncryption(t *testing.T) {
	messages := freeze(t, thread(1), send.FreezeOptions{})
	for name, x := range map[string]struct {
		server *smtptest.Server
		config func(c *send.Config)
		want   string
	}{
		"no-starttls":    {&smtptest.Server{Plain: true}, nil, "STARTTLS: the server does not offer it"},
		"unknown-cert":   {&smtptest.Server{}, func(c *send.Config) { c.CertPath = "" }, "certificate"},
		"other-name":     {&smtptest.Server{}, func(c *send.Config) { c.Host = "127.0.0.2" }, "127.0.0.2"},
		"wrong-password": {&smtptest.Server{User: "ann", Password: "x"}, func(c *send.Config) { c.Pass = "y" }, "AUTH: 535"},
		"no-auth":        {&smtptest.Server{}, func(c *send.Config) { c.User, c.Pass = "ann", "x" }, "AUTH: the server does not offer it"},
		"no-mechanism":   {&smtptest.Server{User: "ann", Password: "x"}, func(c *send.Config) { c.Auth = []string{"CRAM-MD5"} }, "AUTH: the server offers PLAIN"},
		"no-password":    {&smtptest.Server{User: "ann", Password: "x"}, func(c *send.Config) { c.Pass = "" }, "sendemail.smtpPass"},
		"no-cert":        {&smtptest.Server{}, func(c *send.Config) { c.CertPath = os.DevNull }, "has no certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			c := start(t, x.server)
			if x.config != nil {
				x.config(c)
			}
			err := attempt(t, t.TempDir(), c, 0, messages)
			if err == nil || !strings.Contains(err.Error(), x.want) {
				t.Errorf("Send = %v, want %q", err, x.want)
			}
			if n := len(x.server.Messages()); n != 0 {
				t.Errorf("%d messages arrived", n)
			}
		})
	}
}

func TestImplicitTLS(t *testing.T) {
	messages := freeze(t, thread(2), send.FreezeOptions{})
	s := &smtptest.Server{Implicit: true, User: "ann", Password: "geheim"}
	c := start(t, s)
	c.Encryption = send.Implicit
	if err := attempt(t, t.TempDir(), c, 0, messages); err != nil {
		t.Fatal(err)
	}
	arrived(t, s, messages)
	c.CertPath = ""
	if err := attempt(t, t.TempDir(), c, 0, messages); err == nil || !strings.Contains(err.Error(), "TLS: ") || len(s.Messages()) != 2 {
		t.Errorf("with a certificate that nobody vouches for: %v, %d messages", err, len(s.Messages()))
	}
}

// What a server cannot carry does not go out in another form.
func TestServerLimits(t *testing.T) {
	mbox := strings.ReplaceAll(thread(1), "ü", "u")
	s := &smtptest.Server{SevenBit: true}
	c := start(t, s)
	if err := attempt(t, t.TempDir(), c, 0, freeze(t, thread(1), send.FreezeOptions{})); err == nil || !strings.Contains(err.Error(), "8-bit") {
		t.Errorf("8-bit to a 7-bit server: %v", err)
	}
	if err := attempt(t, t.TempDir(), c, 0, freeze(t, mbox, send.FreezeOptions{})); err != nil {
		t.Errorf("7-bit to a 7-bit server: %v", err)
	}
}

func TestBatch(t *testing.T) {
	messages := freeze(t, thread(5), send.FreezeOptions{})
	s := &smtptest.Server{}
	c := start(t, s)
	c.Batch, c.Delay = 2, 50*time.Millisecond
	began := time.Now()
	if err := attempt(t, t.TempDir(), c, 0, messages); err != nil {
		t.Fatal(err)
	}
	arrived(t, s, messages)
	if took := time.Since(began); s.Sessions() != 3 || took < 100*time.Millisecond {
		t.Errorf("%d sessions in %v, want 3 with 50ms between them", s.Sessions(), took)
	}
}
