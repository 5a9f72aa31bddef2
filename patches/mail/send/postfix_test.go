// SPDX-License-Identifier: Apache-2.0

package send_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seriesrig/series/internal/need"
	"github.com/seriesrig/series/internal/run"
	"github.com/seriesrig/series/internal/smtptest"
	"github.com/seriesrig/series/patches/mail/send"
)

const mainCf = `compatibility_level = 3.6
queue_directory = DIR/queue
data_directory = DIR/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file = DIR/log
maillog_file_prefixes = DIR
myhostname = localhost
mydestination =
mynetworks =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
relayhost = [127.0.0.1]:NEXT
disable_dns_lookups = yes
smtp_connection_cache_on_demand = no
smtpd_client_connection_rate_limit = 0
smtpd_tls_cert_file = DIR/cert.pem
smtpd_tls_key_file = DIR/key.pem
smtpd_tls_security_level = encrypt
smtpd_tls_auth_only = yes
smtpd_sasl_auth_enable = yes
smtpd_sasl_local_domain = localhost
cyrus_sasl_config_path = DIR/sasl
smtpd_recipient_restrictions = check_recipient_access inline:{{elsewhere.org = 550 5.7.1 not here}}, permit_sasl_authenticated, reject
alias_maps =
alias_database =
smtputf8_enable = no
`

const masterCf = `127.0.0.1:PORT inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
`

// postfix runs Debian's Postfix, all of it below a folder of the test, on a port of 127.0.0.1. It asks for STARTTLS and a
// password, and hands on what it takes to next.
func postfix(t *testing.T, next *smtptest.Server) *send.Config {
	t.Helper()
	need.Root(t) // its parts change to users of their own
	if _, err := os.Stat("/usr/sbin/sendmail"); err == nil {
		if _, err := run.Look("postfix"); err != nil {
			need.Unfit(t, "the machine has another mail server, whose place scripts/deps does not give to postfix")
		}
	}
	tool, passwd := need.Tool(t, "postfix"), need.Tool(t, "saslpasswd2")
	dir := t.TempDir()
	check := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	check(os.Chmod(filepath.Dir(dir), 0o755))
	for _, name := range []string{"queue", "data", "sasl"} {
		check(os.Mkdir(filepath.Join(dir, name), 0o755))
	}
	check(run.Cmd{Name: "chown", Args: []string{"postfix", filepath.Join(dir, "data")}}.Run(t.Context()))
	signer, err := rsa.GenerateKey(rand.Reader, 2048)
	check(err)
	cert, key, err := smtptest.Certificate(signer)
	check(err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	fill := strings.NewReplacer("DIR", dir, "NEXT", fmt.Sprint(next.Port()), "PORT", fmt.Sprint(port))
	for name, text := range map[string]string{"main.cf": fill.Replace(mainCf), "master.cf": fill.Replace(masterCf), "cert.pem": string(cert), "key.pem": string(key),
		"sasl/smtpd.conf": fill.Replace("pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: DIR/sasldb2\nmech_list: PLAIN LOGIN CRAM-MD5 SCRAM-SHA-1 SCRAM-SHA-256\n")} {
		check(os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	db := filepath.Join(dir, "sasldb2")
	check(run.Cmd{Name: passwd, Args: []string{"-p", "-c", "-f", db, "-u", "localhost", "ann"}, Stdin: strings.NewReader("ge heim")}.Run(t.Context()))
	check(os.Chmod(db, 0o644))
	check(run.Cmd{Name: tool, Args: []string{"-c", dir, "check"}}.Run(t.Context()))
	p, err := run.Cmd{Name: "/usr/lib/postfix/sbin/master", Args: []string{"-c", dir, "-d"}, Grace: time.Second}.Start(t.Context())
	check(err)
	t.Cleanup(func() {
		p.Stop()
		if log, err := os.ReadFile(filepath.Join(dir, "log")); t.Failed() && err == nil {
			t.Logf("postfix says:\n%s", log)
		}
	})
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			c.Close()
			break
		}
		if time.Since(began) > 20*time.Second {
			t.Fatalf("postfix does not listen: %v", err)
		}
	}
	return &send.Config{Host: "127.0.0.1", Port: port, Encryption: send.StartTLS, CertPath: filepath.Join(dir, "cert.pem"), User: "ann", Pass: "ge heim"}
}

// A thread goes through a real server, encrypted and with a password, byte for byte; what that server does not take is not
// sent; and however often the connection breaks, each message arrives once.
func TestPostfix(t *testing.T) {
	next := &smtptest.Server{Plain: true}
	if err := next.Start(); err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	c := postfix(t, next)

	t.Run("refused", func(t *testing.T) {
		wrong, clear := *c, *c
		wrong.Pass, clear.Encryption = "geheim", send.Plain
		foreign := strings.ReplaceAll(thread(1), "list@example.org", "list@elsewhere.org")
		for _, x := range []struct {
			config *send.Config
			mbox   string
			want   string
		}{{&wrong, thread(1), "AUTH: 535"}, {&clear, thread(1), "AUTH: the server does not offer it"}, {c, foreign, "RCPT list@elsewhere.org: 550 5.7.1"}} {
			var n *send.NotSentError
			if err := attempt(t, t.TempDir(), x.config, 0, freeze(t, x.mbox, send.FreezeOptions{})); !errors.As(err, &n) || !strings.Contains(err.Error(), x.want) {
				t.Errorf("Send = %v, want %q", err, x.want)
			}
		}
		if n := len(next.Messages()); n != 0 {
			t.Errorf("%d messages arrived, want none", n)
		}
	})
	for _, mechanism := range []string{"SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5", "PLAIN", "LOGIN"} {
		t.Run(mechanism, func(t *testing.T) {
			one := *c
			one.Auth = []string{mechanism}
			messages := freeze(t, strings.ReplaceAll(thread(1), "<t-v1-", "<"+mechanism+"-"), send.FreezeOptions{})
			if err := attempt(t, t.TempDir(), &one, 0, messages); err != nil {
				t.Fatal(err)
			}
			once(t, next, messages[0])
		})
	}
	t.Run("whole", func(t *testing.T) {
		messages := freeze(t, thread(4), send.FreezeOptions{})
		if err := attempt(t, t.TempDir(), c, 0, messages); err != nil {
			t.Fatal(err)
		}
		for _, m := range messages {
			once(t, next, m)
		}
	})
	t.Run("broken", func(t *testing.T) {
		unknown := 0
		for k := 1; ; k++ {
			if k > 60 {
				t.Fatal("the connection has no end")
			}
			p := newProxy(t, c.Port, k)
			broken := *c
			broken.Port = p.port
			messages := freeze(t, strings.ReplaceAll(thread(2), "<t-v1-", fmt.Sprintf("<cut%d-v1-", k)), send.FreezeOptions{})
			dir := t.TempDir()
			for {
				err := attempt(t, dir, &broken, 0, messages)
				if err == nil {
					break
				}
				var u *send.UnknownError
				var n *send.NotSentError
				switch {
				case errors.As(err, &u):
					unknown++
					j, err := send.OpenJournal(dir, "", messages)
					if err != nil {
						t.Fatal(err)
					}
					if err := j.Resolve(arrives(next, messages[u.Messages[0]-1], 3*time.Second)); err != nil {
						t.Fatal(err)
					}
					j.Close()
				case !errors.As(err, &n):
					t.Fatal(err)
				}
			}
			for _, m := range messages {
				once(t, next, m)
			}
			if !p.cut.Load() {
				t.Logf("the server answers %d times", k-1)
				break
			}
		}
		if unknown != 2 {
			t.Errorf("%d times nothing was known, want 2: once for each message", unknown)
		}
	})
}

// arrives tells whether a message is there, within a time.
func arrives(s *smtptest.Server, m *send.Message, limit time.Duration) bool {
	for began := time.Now(); time.Since(began) < limit; time.Sleep(20 * time.Millisecond) {
		for _, have := range s.Messages() {
			if bytes.Equal(withoutReceived(have.Data), m.Data) {
				return true
			}
		}
	}
	return false
}

// once checks that a message has arrived, once, as it was and for those whom it is for.
func once(t *testing.T, s *smtptest.Server, m *send.Message) {
	t.Helper()
	if !arrives(s, m, 20*time.Second) {
		t.Errorf("message %s did not arrive as it was", m.ID)
	}
	n, rcpt := 0, 0
	for _, have := range s.Messages() {
		if bytes.Contains(have.Data, []byte("Message-Id: <"+m.ID+">")) {
			n++
			rcpt += len(have.Rcpt)
		}
	}
	if n != 1 || rcpt != len(m.Rcpt) {
		t.Errorf("message %s arrived %d times, for %d recipients; want once for %d", m.ID, n, rcpt, len(m.Rcpt))
	}
}

// withoutReceived takes away what a server adds at the top.
func withoutReceived(data []byte) []byte {
	r := bytes.NewBuffer(data)
	for {
		line, err := r.ReadBytes('\n')
		if err == io.EOF {
			return data
		}
		if !bytes.HasPrefix(line, []byte("Received:")) && line[0] != '\t' && line[0] != ' ' {
			return append(line, r.Bytes()...)
		}
	}
}

// A proxy hands on a connection, and cuts it instead of the server's answer number n.
type proxy struct {
	port int
	cut  atomic.Bool
}

func newProxy(t *testing.T, target, n int) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	p := &proxy{port: l.Addr().(*net.TCPAddr).Port}
	var answers atomic.Int64
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", target))
			if err != nil {
				client.Close()
				continue
			}
			go func() {
				io.Copy(server, client)
				server.Close()
			}()
			go func() {
				defer client.Close()
				defer server.Close()
				b := make([]byte, 1<<16)
				for {
					got, err := server.Read(b)
					if err != nil {
						return
					}
					if answers.Add(1) == int64(n) {
						p.cut.Store(true)
						return
					}
					if _, err := client.Write(b[:got]); err != nil {
						return
					}
				}
			}()
		}
	}()
	return p
}
