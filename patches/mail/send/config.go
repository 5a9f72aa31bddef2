// SPDX-License-Identifier: Apache-2.0

package send

import (
	"context"
	"errors"
	"fmt"
	"net"
	netmail "net/mail"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seriesrig/series/internal/run"
)

// A Config is what git's sendemail.* says (git-send-email(1)), checked.
type Config struct {
	Host       string
	Port       int
	PortSet    bool // the port is of the settings, and not the usual one
	Encryption Encryption
	Hello      string // the name for EHLO; "" means localhost.localdomain
	User, Pass string // Pass "" with a User means that it is asked for
	Auth       []string
	CertPath   string // file or folder with the certificates that are trusted; "" means the system's

	From         *netmail.Address // who must be the sender; nil means whoever the thread is from
	EnvelopeFrom string           // "" means the thread's From
	To, Cc       []netmail.Address

	Batch int           // messages for each connection; 0 means all
	Delay time.Duration // between two connections
}

// An Encryption says how a connection is encrypted.
type Encryption string

// The encryptions, by git's names.
const (
	Plain    Encryption = "none"
	StartTLS Encryption = "tls"
	Implicit Encryption = "ssl"
)

// Address returns host and port.
func (c *Config) Address() string { return net.JoinHostPort(c.Host, strconv.Itoa(c.Port)) }

// A ConfigError is about a setting that has to be mended.
type ConfigError struct{ Key, Msg string }

func (e *ConfigError) Error() string { return e.Key + ": " + e.Msg }

// mechanisms are the ways to authenticate, the best first.
var mechanisms = []string{"SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5", "PLAIN", "LOGIN"}

// GitConfig reads git's sendemail settings. identity names a section sendemail.IDENTITY.* that goes before; "" means the one
// that sendemail.identity names.
func GitConfig(ctx context.Context, dir, identity string) (*Config, error) {
	out, err := run.Cmd{Name: "git", Args: []string{"config", "-z", "--get-regexp", `^sendemail\.`}, Dir: dir, Env: run.CleanEnv("GIT_TERMINAL_PROMPT=0")}.Output(ctx)
	var exit *run.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.Code != 1) { // 1: there are none
		return nil, fmt.Errorf("read git's configuration: %w", err)
	}
	return ParseConfig(string(out), identity)
}

var hostForm = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$`)

// ParseConfig reads what git config -z --get-regexp prints.
func ParseConfig(text, identity string) (*Config, error) {
	s := settings{}
	for _, entry := range strings.Split(text, "\x00") {
		key, value, ok := strings.Cut(entry, "\n")
		if !ok {
			value = "true" // a key alone
		}
		if i := strings.LastIndexByte(key, '.'); i >= 0 {
			section := strings.TrimPrefix(strings.TrimPrefix(key[:i], "sendemail"), ".")
			s[section+"."+strings.ToLower(key[i+1:])] = append(s[section+"."+strings.ToLower(key[i+1:])], value)
		}
	}
	if identity == "" {
		identity = s.last("identity")
	} else if !s.has(identity) {
		return nil, &ConfigError{"sendemail." + identity, "git has no such identity"}
	}
	s.identity(identity)
	for key, values := range s {
		for _, v := range values {
			if strings.ContainsFunc(v, func(c rune) bool { return c < ' ' || c == 0x7f }) {
				return nil, &ConfigError{"sendemail" + key, "has a control character"}
			}
		}
	}
	return s.config()
}

// settings are values by ".key" or "IDENTITY.key".
type settings map[string][]string

func (s settings) has(identity string) bool {
	for key := range s {
		if strings.HasPrefix(key, identity+".") {
			return true
		}
	}
	return false
}

// identity puts the settings of an identity before the others.
func (s settings) identity(name string) {
	if name == "" {
		return
	}
	for key, values := range s {
		if rest, ok := strings.CutPrefix(key, name+"."); ok && !strings.Contains(rest, ".") {
			s["."+rest] = values
		}
	}
}

func (s settings) last(key string) string {
	if v := s["."+key]; len(v) > 0 {
		return v[len(v)-1]
	}
	return ""
}

func (s settings) config() (*Config, error) {
	c := &Config{Host: s.last("smtpserver"), Hello: s.last("smtpdomain"), User: s.last("smtpuser"), Pass: s.last("smtppass")}
	bad := func(key, format string, args ...any) error {
		return &ConfigError{"sendemail." + key, fmt.Sprintf(format, args...)}
	}
	switch {
	case s.last("sendmailcmd") != "" || strings.HasPrefix(c.Host, "/"):
		return nil, bad("smtpServer", "names a program; series sends by SMTP alone, so that it knows what was taken: set it to a host's name")
	case c.Host == "":
		return nil, bad("smtpServer", "is not set; set the server that takes your mail with `git config --global sendemail.smtpServer HOST`")
	case !hostForm.MatchString(c.Host) && net.ParseIP(c.Host) == nil:
		return nil, bad("smtpServer", "%q is no name of a host", c.Host)
	case c.Hello != "" && !hostForm.MatchString(c.Hello):
		return nil, bad("smtpDomain", "%q is no name of a host", c.Hello)
	}
	switch e := strings.ToLower(s.last("smtpencryption")); e {
	case "", "none":
		c.Encryption = Plain
	case "tls", "ssl":
		c.Encryption = Encryption(e)
	default:
		return nil, bad("smtpEncryption", "%q is neither tls nor ssl", e)
	}
	if err := s.port(c); err != nil {
		return nil, err
	}
	if paths, ok := s[".smtpsslcertpath"]; ok {
		if c.CertPath = paths[len(paths)-1]; c.CertPath == "" {
			return nil, bad("smtpSSLCertPath", "is empty, which for git means not to look whose certificate it is; name a file or a folder of certificates")
		}
	}
	for _, m := range strings.Fields(s.last("smtpauth")) {
		if m = strings.ToUpper(m); !slices.Contains(mechanisms, m) {
			return nil, bad("smtpAuth", "%q is not one of %s", m, strings.Join(mechanisms, ", "))
		}
		c.Auth = append(c.Auth, m)
	}
	if err := s.people(c); err != nil {
		return nil, err
	}
	if v := s.last("smtpbatchsize"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 0 || n > 10_000 {
			return nil, bad("smtpBatchSize", "%q is no number of messages", v)
		}
		c.Batch = n
	}
	if v := s.last("smtprelogindelay"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 0 || n > 24*3600 {
			return nil, bad("smtpReloginDelay", "%q is no number of seconds, up to a day", v)
		}
		c.Delay = time.Duration(n) * time.Second
	}
	return c, nil
}

func (s settings) port(c *Config) error {
	v := s.last("smtpserverport")
	c.PortSet = v != ""
	switch {
	case v == "" && c.Encryption == Implicit:
		v = "465"
	case v == "":
		v = "25"
	}
	port, err := net.LookupPort("tcp", v)
	if err != nil || port == 0 {
		return &ConfigError{"sendemail.smtpServerPort", fmt.Sprintf("%q is no port", v)}
	}
	c.Port = port
	return nil
}

// people reads the addresses.
func (s settings) people(c *Config) error {
	for key, to := range map[string]*[]netmail.Address{"to": &c.To, "cc": &c.Cc} {
		for _, text := range s["."+key] {
			list, err := netmail.ParseAddressList(text)
			if err != nil {
				return &ConfigError{"sendemail." + key, fmt.Sprintf("%q is no list of addresses", text)}
			}
			for _, a := range list {
				if err := CheckAddress(a.Address); err != nil {
					return &ConfigError{"sendemail." + key, err.Error()}
				}
				*to = append(*to, *a)
			}
		}
	}
	if len(s[".bcc"]) > 0 {
		return &ConfigError{"sendemail.bcc", "series sends nobody a copy that the header does not show; unset it"}
	}
	if v := s.last("from"); v != "" {
		a, err := netmail.ParseAddress(v)
		if err != nil || CheckAddress(a.Address) != nil {
			return &ConfigError{"sendemail.from", fmt.Sprintf("%q is no address", v)}
		}
		c.From = a
	}
	if v := s.last("envelopesender"); v != "" && v != "auto" {
		a, err := netmail.ParseAddress(v)
		if err != nil || CheckAddress(a.Address) != nil {
			return &ConfigError{"sendemail.envelopeSender", fmt.Sprintf("%q is no address", v)}
		}
		c.EnvelopeFrom = a.Address
	}
	return nil
}

// A Credential is a password that git's credential helpers know.
type Credential struct{ c *Config }

func (c Credential) describe(pass string) string {
	host := c.c.Host // as git send-email names it, so that both find the same password
	if c.c.PortSet {
		host = c.c.Address()
	}
	text := fmt.Sprintf("protocol=smtp\nhost=%s\nusername=%s\n", host, c.c.User)
	if pass != "" {
		text += "password=" + pass + "\n"
	}
	return text + "\n"
}

func (c Credential) git(ctx context.Context, verb, pass string) (string, error) {
	out, err := run.Cmd{Name: "git", Args: []string{"credential", verb}, Stdin: strings.NewReader(c.describe(pass)),
		Env: run.CleanEnv("GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=", "SSH_ASKPASS=")}.Output(ctx)
	return string(out), err
}

// Fill asks git's credential helpers; "" means that none knows the password.
func (c Credential) Fill(ctx context.Context) (string, error) {
	out, err := c.git(ctx, "fill", "")
	if err != nil {
		if ctx.Err() != nil {
			return "", err
		}
		return "", nil
	}
	for line := range strings.Lines(out) {
		if pass, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "password="); ok {
			return pass, nil
		}
	}
	return "", nil
}

// Approve and Reject tell the helpers whether the password was right.
func (c Credential) Approve(ctx context.Context, pass string) { c.git(ctx, "approve", pass) }
func (c Credential) Reject(ctx context.Context, pass string)  { c.git(ctx, "reject", pass) }

// NewCredential returns the credential for a configuration's server and user.
func NewCredential(c *Config) Credential { return Credential{c} }
