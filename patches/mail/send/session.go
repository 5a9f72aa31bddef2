// SPDX-License-Identifier: Apache-2.0

package send

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/wneessen/go-mail/smtp"
)

// A StepError says at which step of a session something went wrong. The message of that step was not taken.
type StepError struct {
	Step string // connect, greeting, EHLO, STARTTLS, AUTH, MAIL, RCPT, DATA or end
	Who  string // the recipient, for RCPT
	Err  error
}

func (e *StepError) Error() string {
	step := e.Step
	if e.Who != "" {
		step += " " + e.Who
	}
	return fmt.Sprintf("%s: %s", step, said(e.Err))
}

// said is an error as one clean line; an answer of the server is as the server gave it.
func said(err error) string {
	var answer *textproto.Error
	if errors.As(err, &answer) {
		return fmt.Sprintf("%d %s", answer.Code, Clean(answer.Msg))
	}
	return Clean(err.Error())
}

func (e *StepError) Unwrap() error { return e.Err }

// answered tells whether the error is the server's answer, and not the lack of one.
func (e *StepError) answered() bool { return errors.As(e.Err, new(*textproto.Error)) }

// Clean makes one line of what a server or a mail says, which a terminal can show: control characters and what changes
// the direction of text become question marks, and it is at most 300 characters.
func Clean(s string) string {
	var b strings.Builder
	n := 0
	for _, c := range s {
		if n++; n > 300 {
			b.WriteString("...")
			break
		}
		switch {
		case c == '\n' || c == '\t' || c == '\r':
			b.WriteByte(' ')
		case c == utf8.RuneError, unicode.IsControl(c), unicode.Is(unicode.Bidi_Control, c), c == '\u2028', c == '\u2029':
			b.WriteByte('?')
		default:
			b.WriteRune(c)
		}
	}
	return strings.TrimSpace(b.String())
}

// Limits on a session.
const (
	stepTimeout = 5 * time.Minute  // RFC 5321, section 4.5.3.2
	endTimeout  = 10 * time.Minute // for the answer to a message
	endGrace    = 10 * time.Second // for the same, once somebody wants to stop
	maxReply    = 1 << 20          // bytes that a server may send for one step
)

// A conn bounds each step of a session in time and in what the server may say, and ends it with its context; but while a
// message's answer is waited for an end of the context leaves a while for it to come.
type conn struct {
	net.Conn
	mu      sync.Mutex
	ctx     context.Context
	stop    func() bool
	waiting bool
	left    int
}

func newConn(ctx context.Context, c net.Conn) *conn {
	k := &conn{Conn: c, ctx: ctx}
	k.stop = context.AfterFunc(ctx, func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		grace := time.Duration(0)
		if k.waiting {
			grace = endGrace
		}
		k.Conn.SetDeadline(time.Now().Add(grace))
	})
	return k
}

// step begins a step.
func (k *conn) step(limit time.Duration, waiting bool) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.waiting, k.left = waiting, maxReply
	if err := k.ctx.Err(); err != nil {
		return err
	}
	return k.Conn.SetDeadline(time.Now().Add(limit))
}

// Read implements net.Conn.
func (k *conn) Read(b []byte) (int, error) {
	n, err := k.Conn.Read(b)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.left -= n; k.left < 0 {
		return n, errors.New("the server says more than anybody would read")
	}
	return n, err
}

// Close implements net.Conn.
func (k *conn) Close() error {
	k.stop()
	return k.Conn.Close()
}

// A session is a connection to a server that messages can be given to.
type session struct {
	conn   *conn
	client *smtp.Client
	limit  time.Duration
	end    time.Duration
	taken  int
	// broken means that nothing more may be said: the server may be reading a message, and the end of the session would
	// also be the end of the message.
	broken bool
}

// connect makes a session: connection, greeting, encryption and authentication.
func (s *Sender) connect(ctx context.Context) (*session, error) {
	c := s.Config
	limit, end := stepTimeout, endTimeout
	if s.Timeout > 0 {
		limit, end = s.Timeout, s.Timeout
	}
	tlsConfig, err := s.tlsConfig()
	if err != nil {
		return nil, err
	}
	d := net.Dialer{Timeout: min(limit, 30*time.Second)}
	raw, err := d.DialContext(ctx, "tcp", c.Address())
	if err != nil {
		return nil, &StepError{Step: "connect", Err: err}
	}
	x := &session{conn: newConn(ctx, raw), limit: limit, end: end}
	if err := x.open(c, tlsConfig); err != nil {
		x.conn.Close()
		return nil, x.cause(err)
	}
	if err := s.auth(ctx, x); err != nil {
		x.conn.Close()
		return nil, x.cause(err)
	}
	return x, nil
}

// cause names the interruption where that is what broke the connection.
func (x *session) cause(err error) error {
	if cause := x.conn.ctx.Err(); cause != nil && !errors.Is(err, cause) {
		return fmt.Errorf("%w (%w)", err, cause)
	}
	return err
}

func (x *session) step(name string, do func() error) error {
	if err := x.conn.step(x.limit, false); err != nil {
		return err
	}
	if err := do(); err != nil {
		e := &StepError{Step: name, Err: err}
		x.broken = x.broken || !e.answered()
		return e
	}
	return nil
}

func (x *session) open(c *Config, tlsConfig *tls.Config) error {
	var under net.Conn = x.conn
	if c.Encryption == Implicit {
		t := tls.Client(x.conn, tlsConfig)
		if err := x.step("TLS", t.Handshake); err != nil {
			return err
		}
		under = t
	}
	if err := x.step("greeting", func() (err error) {
		x.client, err = smtp.NewClient(under, c.Host)
		return err
	}); err != nil {
		return err
	}
	x.client.SkipSMTPUTF8(true) // no address or header of ours needs it
	hello := c.Hello
	if hello == "" {
		hello = "localhost.localdomain"
	}
	if err := x.step("EHLO", func() error { return x.client.Hello(hello) }); err != nil {
		return err
	}
	if c.Encryption != StartTLS {
		return nil
	}
	if ok, _ := x.client.Extension("STARTTLS"); !ok {
		return &StepError{Step: "STARTTLS", Err: errors.New("the server does not offer it, and sendemail.smtpEncryption asks for it")}
	}
	return x.step("STARTTLS", func() error { return x.client.StartTLS(tlsConfig) })
}

func (s *Sender) tlsConfig() (*tls.Config, error) {
	c := &tls.Config{ServerName: s.Config.Host, MinVersion: tls.VersionTLS12}
	if s.Config.CertPath == "" {
		return c, nil
	}
	files := []string{s.Config.CertPath}
	if fi, err := os.Stat(s.Config.CertPath); err != nil {
		return nil, &ConfigError{"sendemail.smtpSSLCertPath", err.Error()}
	} else if fi.IsDir() {
		if files, err = filepath.Glob(filepath.Join(s.Config.CertPath, "*")); err != nil {
			return nil, &ConfigError{"sendemail.smtpSSLCertPath", err.Error()}
		}
	}
	c.RootCAs = x509.NewCertPool()
	found := false
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		found = c.RootCAs.AppendCertsFromPEM(data) || found
	}
	if !found {
		return nil, &ConfigError{"sendemail.smtpSSLCertPath", fmt.Sprintf("%s has no certificate", s.Config.CertPath)}
	}
	return c, nil
}

// auth authenticates where the configuration names a user.
func (s *Sender) auth(ctx context.Context, x *session) error {
	c := s.Config
	if c.User == "" {
		return nil
	}
	if c.Encryption == Plain && !loopback(c.Host) {
		return &ConfigError{"sendemail.smtpEncryption", "is not set, and a password must not go over the network as it is; set it to tls or ssl"}
	}
	ok, offered := x.client.Extension("AUTH")
	if !ok {
		return &StepError{Step: "AUTH", Err: errors.New("the server does not offer it")}
	}
	want := c.Auth
	if want == nil {
		want = mechanisms
	}
	i := slices.IndexFunc(want, func(m string) bool { return slices.Contains(strings.Fields(strings.ToUpper(offered)), m) })
	if i < 0 {
		return &StepError{Step: "AUTH", Err: fmt.Errorf("the server offers %s, none of which is known or allowed", offered)}
	}
	pass, err := s.password(ctx)
	if err != nil {
		return err
	}
	var a smtp.Auth
	switch want[i] {
	case "SCRAM-SHA-256":
		a = smtp.ScramSHA256Auth(c.User, pass)
	case "SCRAM-SHA-1":
		a = smtp.ScramSHA1Auth(c.User, pass)
	case "CRAM-MD5":
		a = smtp.CRAMMD5Auth(c.User, pass)
	case "PLAIN":
		a = smtp.PlainAuth("", c.User, pass, c.Host, true)
	default:
		a = smtp.LoginAuth(c.User, pass, c.Host, true)
	}
	err = x.step("AUTH", func() error { return x.client.Auth(a) })
	if s.Authenticated != nil {
		var step *StepError
		if err == nil || errors.As(err, &step) && step.answered() {
			s.Authenticated(ctx, pass, err == nil)
		}
	}
	return err
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// deliver gives a message to the server. After an error that is no *StepError nothing is known of the message.
func (x *session) deliver(from string, m *Message, j *Journal, server string) (reply string, err error) {
	if ok, size := x.client.Extension("SIZE"); ok {
		if n, err := strconv.ParseInt(strings.TrimSpace(size), 10, 64); err == nil && n > 0 && n < int64(len(m.Data)) {
			return "", &StepError{Step: "MAIL", Err: fmt.Errorf("the message has %d bytes, and the server takes %d at most", len(m.Data), n)}
		}
	}
	if ok, _ := x.client.Extension("8BITMIME"); !ok && slices.ContainsFunc(m.Data, func(c byte) bool { return c >= 0x80 }) {
		return "", &StepError{Step: "MAIL", Err: errors.New("the message has 8-bit characters, which the server does not take")}
	}
	if err := x.step("MAIL", func() error { return x.client.Mail("<" + from + ">") }); err != nil {
		return "", err
	}
	for _, to := range m.Rcpt {
		if err := x.step("RCPT", func() error { return x.client.Rcpt("<" + to + ">") }); err != nil {
			if step := new(StepError); errors.As(err, &step) {
				step.Who = to
			}
			return "", err
		}
	}
	var w io.WriteCloser
	if err := x.step("DATA", func() (err error) { w, err = x.client.Data(); return err }); err != nil {
		return "", err
	}
	x.broken = true
	// Without its end a message is not taken (RFC 5321, section 4.1.1.4): up to here everything can be repeated.
	if err := x.step("DATA", func() error {
		if _, err := w.Write(m.Data); err != nil {
			return err
		}
		return x.client.Text.W.Flush()
	}); err != nil {
		return "", err
	}
	if err := x.conn.step(x.end, true); err != nil {
		return "", err
	}
	if err := j.add(Entry{Message: m.Number, Event: eventEnd, Server: server}); err != nil {
		return "", err
	}
	return x.finish(w)
}

// finish sends the end of a message and takes the answer.
func (x *session) finish(w io.WriteCloser) (string, error) {
	err := w.Close()
	var answer *textproto.Error
	x.broken = err != nil && !errors.As(err, &answer)
	switch {
	case err == nil:
		x.taken++
		if d, ok := w.(*smtp.DataCloser); ok {
			return Clean(d.ServerResponse()), nil
		}
		return "", nil
	case errors.As(err, &answer) && answer.Code >= 200 && answer.Code < 300:
		x.taken++
		return said(answer), nil
	case errors.As(err, &answer) && answer.Code >= 400 && answer.Code < 600:
		return "", &StepError{Step: "end", Err: err}
	}
	return "", fmt.Errorf("%w: %s", errLost, Clean(err.Error()))
}

// errLost says that no answer came.
var errLost = errors.New("the server's answer was lost")

// quit ends a session. Whatever was taken stays taken, so it does not matter how the server ends.
func (x *session) quit() {
	if !x.broken && x.conn.step(min(x.limit, 10*time.Second), false) == nil {
		x.client.Quit()
	}
	x.conn.Close()
}
