// SPDX-License-Identifier: Apache-2.0

package send_test

import (
	"errors"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seriesrig/series/internal/run"
	"github.com/seriesrig/series/patches/mail/send"
)

// printed is what git config -z --get-regexp prints of the settings, which stand in lines of "key value".
func printed(lines string) string {
	var b strings.Builder
	for line := range strings.Lines(lines) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		b.WriteString("sendemail." + key + "\n" + value + "\x00")
	}
	return b.String()
}

func TestParseConfig(t *testing.T) {
	const some = "smtpserver mail.example.org\nto A <a@example.org>, b@example.org\nto c@example.org\n"
	to := []mail.Address{{Name: "A", Address: "a@example.org"}, {Address: "b@example.org"}, {Address: "c@example.org"}}
	for text, want := range map[string]*send.Config{
		"smtpserver ::1\n":            {Host: "::1", Port: 25, Encryption: send.Plain},
		some:                          {Host: "mail.example.org", Port: 25, Encryption: send.Plain, To: to},
		some + "smtpencryption ssl\n": {Host: "mail.example.org", Port: 465, Encryption: send.Implicit, To: to},
		some + "smtpserverport submission\ncc d@e.f\n": {Host: "mail.example.org", Port: 587, PortSet: true, Encryption: send.Plain, To: to, Cc: []mail.Address{{Address: "d@e.f"}}},
		"smtpserver a\nsmtpserver b\nsmtpserverport 2525\nsmtpencryption TLS\nsmtpuser u\nsmtppass p w\nsmtpauth plain LOGIN\nsmtpdomain me.example.org\nsmtpsslcertpath /x y\nsmtpbatchsize 10\nsmtprelogindelay 60\nfrom X <x@y.z>\nenvelopesender auto\nconfirm always\n": {
			Host: "b", Port: 2525, PortSet: true, Encryption: send.StartTLS, User: "u", Pass: "p w", Auth: []string{"PLAIN", "LOGIN"}, Hello: "me.example.org", CertPath: "/x y",
			Batch: 10, Delay: time.Minute, From: &mail.Address{Name: "X", Address: "x@y.z"}},
		"smtpserver a\nidentity work.two\nwork.two.smtpserver w\nwork.two.smtpuser wu\nwork.smtpserver no\nenvelopesender <e@f.g>\n": {Host: "w", Port: 25, Encryption: send.Plain, User: "wu", EnvelopeFrom: "e@f.g"},
	} {
		got, err := send.ParseConfig(printed(text), "")
		if err != nil {
			t.Errorf("%q: %v", text, err)
		} else if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%q (-want +got):\n%s", text, d)
		}
	}
	c, err := send.ParseConfig(printed("smtpserver a\nidentity one\none.smtpserver b\ntwo.smtpserver c\n"), "two")
	if err != nil || c.Host != "c" {
		t.Errorf("an identity that is asked for: %+v, %v", c, err)
	}
}

// Each setting has a value that is refused, by its name.
func TestParseConfigRejects(t *testing.T) {
	for text, want := range map[string]string{
		"":                                   "sendemail.smtpServer: is not set",
		"smtpserver /usr/sbin/sendmail":      "sendemail.smtpServer: names a program",
		"sendmailcmd msmtp":                  "sendemail.smtpServer: names a program",
		"smtpserver -oProxyCommand=x":        "sendemail.smtpServer: ",
		"smtpserver a b":                     "sendemail.smtpServer: ",
		"smtpserver a\nsmtpserverport 0":     "sendemail.smtpServerPort",
		"smtpserver a\nsmtpserverport -1":    "sendemail.smtpServerPort",
		"smtpserver a\nsmtpserverport 99999": "sendemail.smtpServerPort",
		"smtpserver a\nsmtpencryption maybe": "sendemail.smtpEncryption",
		"smtpserver a\nsmtpdomain x\ty":      "has a control character",
		"smtpserver a\nsmtpdomain x y":       "sendemail.smtpDomain",
		"smtpserver a\nsmtpsslcertpath ":     "sendemail.smtpSSLCertPath: is empty",
		"smtpserver a\nsmtpauth PLAIN NTLM":  "sendemail.smtpAuth",
		"smtpserver a\nto nobody":            "sendemail.to",
		"smtpserver a\ncc \"a b\"@c.d":       "sendemail.cc",
		"smtpserver a\nbcc a@b.c":            "sendemail.bcc",
		"smtpserver a\nfrom me":              "sendemail.from",
		"smtpserver a\nenvelopesender me":    "sendemail.envelopeSender",
		"smtpserver a\nsmtpbatchsize many":   "sendemail.smtpBatchSize",
		"smtpserver a\nsmtprelogindelay -1":  "sendemail.smtpReloginDelay",
		"smtpserver a\nsmtppass x\x1by":      "has a control character",
	} {
		_, err := send.ParseConfig(printed(text), "")
		var bad *send.ConfigError
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	if _, err := send.ParseConfig(printed("smtpserver a"), "none"); err == nil {
		t.Error("an identity that git does not have is accepted")
	}
}

// The settings come from git as git reads them, and the password from a credential helper.
func TestGitConfig(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CONFIG_HOME", home)
	t.Setenv("GIT_DIR", "/nonexistent") // must not reach git
	dir := t.TempDir()
	helper := filepath.Join(home, "helper")
	config := "[sendemail]\n\tsmtpServer = mail.example.org\n\tsmtpUser = ann\n\tsmtpServerPort = 587\n\tto = \"A, B <ab@example.org>\"\n[credential]\n\thelper = \"!f() { cat >" + helper + ".$1; echo password=ge heim=; }; f\"\n"
	if err := os.WriteFile(filepath.Join(home, ".gitconfig"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := send.GitConfig(t.Context(), dir, "")
	if bad := new(send.ConfigError); !errors.As(err, &bad) {
		t.Errorf("a list of addresses that is none: %v", err)
	}
	if err := (run.Cmd{Name: "git", Args: []string{"config", "--global", "sendemail.to", "ab@example.org"}}).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	c, err := send.GitConfig(t.Context(), dir, "")
	if err != nil || c.Address() != "mail.example.org:587" || c.User != "ann" || len(c.To) != 1 {
		t.Fatalf("GitConfig = %+v, %v", c, err)
	}
	pass, err := send.NewCredential(c).Fill(t.Context())
	if err != nil || pass != "ge heim=" {
		t.Errorf("Fill = %q, %v", pass, err)
	}
	send.NewCredential(c).Approve(t.Context(), pass)
	asked, err := os.ReadFile(helper + ".store")
	if want := "protocol=smtp\nhost=mail.example.org:587\nusername=ann\npassword=ge heim=\n"; err != nil || string(asked) != want {
		t.Errorf("the helper was told %q, %v; want %q", asked, err, want)
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add(printed("smtpserver a\nto x@y.z\nidentity w\nw.smtpuser u\n"), "")
	f.Add("sendemail.smtpserver\na\x00sendemail.x.y.smtppass\x00\x00\n", "x.y")
	f.Fuzz(func(t *testing.T, text, identity string) {
		c, err := send.ParseConfig(text, identity)
		if err != nil {
			return
		}
		for _, s := range []string{c.Host, c.Hello, c.EnvelopeFrom, c.User, c.Pass} {
			if strings.ContainsAny(s, "\r\n\x00") {
				t.Errorf("%q has the end of a line", s)
			}
		}
		if strings.HasPrefix(c.Host, "-") || strings.ContainsAny(c.Hello+c.EnvelopeFrom, " <>") || c.Port < 1 || c.Port > 65535 {
			t.Errorf("%+v", c)
		}
	})
}
