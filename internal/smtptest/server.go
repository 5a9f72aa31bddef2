// SPDX-License-Identifier: Apache-2.0

// Package smtptest is an SMTP server for tests: it keeps what it takes, and does the wrong thing where it is told to.
package smtptest

import (
	"bufio"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"strings"
	"sync"
	"time"
)

// A Step is where a fault can be.
type Step string

// The steps of a session, in order. End is the answer to a message.
const (
	Greeting Step = "greeting"
	Ehlo     Step = "EHLO"
	StartTLS Step = "STARTTLS"
	Auth     Step = "AUTH"
	Mail     Step = "MAIL"
	Rcpt     Step = "RCPT"
	Data     Step = "DATA"
	Body     Step = "body" // within the message
	End      Step = "end"
	Quit     Step = "QUIT"
)

// A Kind is what goes wrong.
type Kind string

// The kinds of faults.
const (
	Drop    Kind = "drop"    // the connection ends instead of an answer, and nothing has been done
	Lose    Kind = "lose"    // it has been done, and the connection ends instead of the answer
	Busy    Kind = "busy"    // 451
	Refuse  Kind = "refuse"  // 554
	Closing Kind = "closing" // 421, and the connection ends
	Garbage Kind = "garbage" // an answer that is none
	Stall   Kind = "stall"   // no answer
)

// Kinds are all of them.
var Kinds = []Kind{Drop, Lose, Busy, Refuse, Closing, Garbage, Stall}

// A Fault is one thing that goes wrong, once: at the Nth time (1 is the first) that the server gets to a step.
type Fault struct {
	Step Step
	Nth  int
	Kind Kind
}

// A Message is one that the server has taken.
type Message struct {
	From string
	Rcpt []string
	Data []byte // with CR LF, and single dots
	TLS  bool
	User string
}

// A Server takes mail on a port of 127.0.0.1. Its fields must not be changed once it runs.
type Server struct {
	Fault Fault
	// User and Password are asked for where they are set.
	User, Password string
	// Plain hides STARTTLS, and SevenBit the extension 8BITMIME. Implicit encrypts from the first byte.
	Plain, SevenBit, Implicit bool
	// Reply, where set, is what is said when a message has been taken.
	Reply string

	mu       sync.Mutex
	listener net.Listener
	messages []Message
	seen     map[Step]int
	sessions int
	cert     tls.Certificate
	pem      []byte
	conns    map[net.Conn]bool
	done     sync.WaitGroup
}

// Start makes the server listen. Close it.
func (s *Server) Start() error {
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	cert, key, err := Certificate(signer)
	if err != nil {
		return err
	}
	if s.cert, err = tls.X509KeyPair(cert, key); err != nil {
		return err
	}
	s.pem = cert
	s.seen, s.conns = map[Step]int{}, map[net.Conn]bool{}
	if s.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return err
	}
	s.done.Go(func() {
		for {
			c, err := s.listener.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns[c] = true
			s.sessions++
			s.mu.Unlock()
			s.done.Go(func() {
				defer c.Close()
				x := &session{s: s, conn: c}
				if s.Implicit {
					x.conn, x.tls = tls.Server(c, &tls.Config{Certificates: []tls.Certificate{s.cert}}), true
				}
				x.r = bufio.NewReader(x.conn)
				x.serve()
			})
		}
	})
	return nil
}

// Close ends the server and all its connections.
func (s *Server) Close() {
	s.listener.Close()
	s.mu.Lock()
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.done.Wait()
}

// Port is where it listens.
func (s *Server) Port() int { return s.listener.Addr().(*net.TCPAddr).Port }

// Messages returns what was taken so far.
func (s *Server) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Message(nil), s.messages...)
}

// Sessions returns how many connections there were.
func (s *Server) Sessions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions
}

// Reached tells whether the fault's place was reached.
func (s *Server) Reached() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen[s.Fault.Step] >= s.Fault.Nth
}

// WriteCert writes the certificate that a client has to trust.
func (s *Server) WriteCert(path string) error { return os.WriteFile(path, s.pem, 0o644) }

// Certificate makes a certificate for 127.0.0.1 and localhost that vouches for itself, and the key, in PEM.
func Certificate(k crypto.Signer) (cert, key []byte, err error) {
	t := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "smtptest"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, t, t, k.Public(), k)
	if err != nil {
		return nil, nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), nil
}

// A session is one connection.
type session struct {
	s    *Server
	conn net.Conn
	r    *bufio.Reader
	tls  bool
	user string
	mail Message
	over bool
}

// at counts a step, does what is to be done there, and answers, unless the fault is there. do may be nil.
func (x *session) at(step Step, answer string, do func()) (ok bool) {
	s := x.s
	s.mu.Lock()
	s.seen[step]++
	hit := s.Fault.Step == step && s.Fault.Nth == s.seen[step]
	s.mu.Unlock()
	if !hit {
		if do != nil {
			do()
		}
		x.say(answer)
		return true
	}
	switch s.Fault.Kind {
	case Drop:
		x.over = true
	case Lose:
		if do != nil {
			do()
		}
		x.over = true
	case Busy:
		x.say("451 4.3.0 busy \x1b[31mred")
	case Refuse:
		x.say("554 5.7.1 refused")
	case Closing:
		x.say("421 4.3.2 closing")
		x.over = true
	case Garbage:
		x.say("what?")
		x.over = true
	case Stall:
		x.r.ReadByte() // until the client gives up
		x.over = true
	}
	return false
}

func (x *session) say(line string) {
	if line != "" {
		fmt.Fprintf(x.conn, "%s\r\n", line)
	}
}

func (x *session) serve() {
	if !x.at(Greeting, "220 smtptest ESMTP", nil) {
		return
	}
	for !x.over {
		line, err := x.r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		verb, rest, _ := strings.Cut(line, " ")
		x.command(strings.ToUpper(verb), rest)
	}
}

func (x *session) command(verb, rest string) {
	switch verb {
	case "EHLO":
		x.at(Ehlo, x.extensions(), nil)
	case "HELO":
		x.at(Ehlo, "250 smtptest", nil)
	case "STARTTLS":
		if x.at(StartTLS, "220 go ahead", nil) {
			t := tls.Server(x.conn, &tls.Config{Certificates: []tls.Certificate{x.s.cert}})
			x.conn, x.r, x.tls = t, bufio.NewReader(t), true
		}
	case "AUTH":
		x.auth(rest)
	case "MAIL":
		if x.s.User != "" && x.user == "" {
			x.say("530 5.7.0 authenticate first")
			return
		}
		x.at(Mail, "250 2.1.0 ok", func() { x.mail = Message{From: inside(rest), TLS: x.tls, User: x.user} })
	case "RCPT":
		x.at(Rcpt, "250 2.1.5 ok", func() { x.mail.Rcpt = append(x.mail.Rcpt, inside(rest)) })
	case "DATA":
		if x.at(Data, "354 go ahead", nil) {
			x.data()
		}
	case "RSET", "NOOP":
		x.say("250 ok")
	case "QUIT":
		x.at(Quit, "221 bye", nil)
		x.over = true
	default:
		x.say("500 5.5.1 what is " + verb)
	}
}

func (x *session) extensions() string {
	lines := []string{"250-smtptest"}
	if !x.s.SevenBit {
		lines = append(lines, "250-8BITMIME")
	}
	if !x.s.Plain && !x.tls {
		lines = append(lines, "250-STARTTLS")
	}
	if x.s.User != "" {
		lines = append(lines, "250-AUTH PLAIN")
	}
	return strings.Join(append(lines, "250 SIZE 10000000"), "\r\n")
}

func (x *session) auth(rest string) {
	got, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(rest, "PLAIN "))
	if string(got) != "\x00"+x.s.User+"\x00"+x.s.Password {
		x.say("535 5.7.8 wrong")
		return
	}
	x.at(Auth, "235 2.7.0 ok", func() { x.user = x.s.User })
}

// data reads a message.
func (x *session) data() {
	var body strings.Builder
	for n := 0; ; n++ {
		line, err := x.r.ReadString('\n')
		if err != nil {
			return // without its end it is not taken
		}
		if n == 3 && !x.at(Body, "", nil) {
			x.over = true
			return
		}
		if line == ".\r\n" {
			break
		}
		body.WriteString(strings.TrimPrefix(line, "."))
	}
	x.mail.Data = []byte(body.String())
	reply := x.s.Reply
	if reply == "" {
		reply = "250 2.0.0 taken"
	}
	x.at(End, reply, func() {
		x.s.mu.Lock()
		defer x.s.mu.Unlock()
		x.s.messages = append(x.s.messages, x.mail)
	})
}

// inside returns what stands in angle brackets.
func inside(s string) string {
	_, s, _ = strings.Cut(s, "<")
	s, _, _ = strings.Cut(s, ">")
	return s
}
