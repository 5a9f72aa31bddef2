// SPDX-License-Identifier: Apache-2.0

// Package send sends a thread by SMTP, and keeps a journal of it.
//
// All messages are frozen before the first one goes out: their bytes and their recipients stand in the journal, and what
// is sent later, after whatever went wrong, are these. The journal has an entry before and after the end of each message,
// on disk before the next step. A message whose end was sent and whose answer did not come may have arrived or not, and
// nobody but the recipients can know: it is not sent again, nor taken for sent, unless a person says so.
package send

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	netmail "net/mail"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/seriesrig/series/patches/mail"
)

// A Message is frozen: nothing of it changes from here on.
type Message struct {
	Number  int    // its place in the thread; 1 is the first
	ID      string // the Message-Id, without angle brackets
	Subject string // decoded
	From    netmail.Address
	To, Cc  []netmail.Address
	// Rcpt are the addresses of the envelope, each once.
	Rcpt []string
	// Data is the message as it goes over the wire, with CR LF, before dots are doubled. Raw is the same with LF.
	Data []byte
	Raw  []byte
}

// Hash is the hash of what is sent and to whom.
func (m *Message) Hash() string {
	h := sha256.New()
	for _, r := range m.Rcpt {
		fmt.Fprintf(h, "%s\n", r)
	}
	h.Write(m.Data)
	return fmt.Sprintf("sha256:%x", h.Sum(nil))
}

// Limits on a message: what servers and lists take at most.
const (
	maxLine       = 998 // bytes, without the line's end (RFC 5321, section 4.5.3.1.6, less the CR LF)
	maxRecipients = 500 // a server has to take 100 (section 4.5.3.1.8), and most take some hundreds
)

var idForm = regexp.MustCompile(`^[!#-'*+\-/-9=?A-Z^-~.]+@[A-Za-z0-9.\-\[\]:]+$`)

// Options of Freeze.
type FreezeOptions struct {
	// To and Cc are added to each message, in its header too.
	To, Cc []netmail.Address
	// Only, where set, is the one recipient of all messages: their headers stay as they are.
	Only string
	// Now, where set, becomes the date of the first message, and that of each other is a second later than the one before:
	// a thread is of the day on which it goes out, or readers find it below what is older.
	Now time.Time
}

// Freeze reads a thread from an mbox and checks that each message can be sent as it is. Errors name the message.
func Freeze(r io.Reader, o FreezeOptions) ([]*Message, error) {
	parsed, err := mail.Parse(r)
	if err != nil {
		return nil, err
	}
	var out []*Message
	seen := map[string]int{}
	for i, p := range parsed {
		m, err := freeze(p, o, i)
		if err == nil && seen[m.ID] > 0 {
			err = fmt.Errorf("has the Message-Id of message %d", seen[m.ID])
		}
		if err != nil {
			return nil, fmt.Errorf("message %d (line %d): %w", i+1, p.Line, err)
		}
		m.Number = i + 1
		seen[m.ID] = m.Number
		out = append(out, m)
	}
	return out, nil
}

func freeze(p *mail.Message, o FreezeOptions, n int) (*Message, error) {
	raw, err := addRecipients(p.Raw, "To", p.To, o.To)
	if err != nil {
		return nil, err
	}
	if raw, err = addRecipients(raw, "Cc", p.Cc, o.Cc); err != nil {
		return nil, err
	}
	m := &Message{ID: p.ID, Subject: p.Subject, From: p.From, To: join(p.To, o.To), Cc: join(p.Cc, o.Cc), Raw: raw}
	if err := checkHeader(raw); err != nil {
		return nil, err
	}
	switch {
	case !idForm.MatchString(m.ID) || len(m.ID) > 250:
		return nil, fmt.Errorf("the Message-Id %q is none", m.ID)
	case CheckAddress(m.From.Address) != nil:
		return nil, fmt.Errorf("from: %w", CheckAddress(m.From.Address))
	case strings.TrimSpace(m.Subject) == "":
		return nil, errors.New("there is no subject")
	case p.Date.IsZero():
		return nil, errors.New("there is no Date")
	}
	list := slices.Concat(m.To, m.Cc)
	if o.Only != "" {
		list = []netmail.Address{{Address: o.Only}}
	}
	for _, a := range list {
		if err := CheckAddress(a.Address); err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(m.Rcpt, func(have string) bool { return strings.EqualFold(have, a.Address) }) {
			m.Rcpt = append(m.Rcpt, a.Address)
		}
	}
	switch {
	case len(m.Rcpt) == 0:
		return nil, errors.New("it has no recipient")
	case len(m.Rcpt) > maxRecipients:
		return nil, fmt.Errorf("it has %d recipients, and %d are the limit", len(m.Rcpt), maxRecipients)
	}
	if !o.Now.IsZero() {
		raw = redate(raw, "Date: "+o.Now.Add(time.Duration(n)*time.Second).Format("Mon, 2 Jan 2006 15:04:05 -0700"))
		m.Raw = raw
	}
	m.Data, err = wire(raw)
	return m, err
}

// dateField returns the field Date of a message, with the lines that it is folded into, and where it stands.
func dateField(raw []byte) (field string, at int) {
	head, _, _ := bytes.Cut(raw, []byte("\n\n"))
	for line := range strings.Lines(string(head) + "\n") {
		switch folded := strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t"); {
		case field != "" && !folded:
			return field, at
		case field != "", len(line) > 5 && strings.EqualFold(line[:5], "date:"):
			field += line
		default:
			at += len(line)
		}
	}
	return field, at
}

// redate gives a message another field Date, in one line.
func redate(raw []byte, field string) []byte {
	old, at := dateField(raw)
	return slices.Concat(raw[:at], []byte(strings.TrimSuffix(field, "\n")+"\n"), raw[at+len(old):])
}

// join appends those addresses that are not there yet.
func join(have, more []netmail.Address) []netmail.Address {
	out := slices.Clone(have)
	for _, a := range more {
		if !has(out, a) {
			out = append(out, a)
		}
	}
	return out
}

func has(list []netmail.Address, a netmail.Address) bool {
	return slices.ContainsFunc(list, func(h netmail.Address) bool { return strings.EqualFold(h.Address, a.Address) })
}

// CheckAddress refuses what cannot stand in an SMTP command as an address: it could end the command and begin another one.
func CheckAddress(a string) error {
	local, domain, ok := strings.Cut(a, "@")
	if !ok || local == "" || domain == "" || len(a) > 254 || strings.Contains(domain, "@") ||
		strings.ContainsFunc(a, func(c rune) bool { return c <= ' ' || c >= 0x7f || strings.ContainsRune("<>,;:\"()[]\\", c) }) {
		return fmt.Errorf("%q is no mail address", a)
	}
	return nil
}

// wire makes CR LF of the ends of lines, and refuses what mail cannot carry.
func wire(raw []byte) ([]byte, error) {
	if len(raw) == 0 || raw[len(raw)-1] != '\n' {
		raw = append(bytes.Clone(raw), '\n')
	}
	var b bytes.Buffer
	n := 0
	for line := range bytes.Lines(raw) {
		n++
		line = bytes.TrimSuffix(line, []byte("\n"))
		switch {
		case len(line) > maxLine:
			return nil, fmt.Errorf("line %d of it has %d bytes; mail carries %d", n, len(line), maxLine)
		case bytes.IndexByte(line, '\r') >= 0:
			return nil, fmt.Errorf("line %d of it has a carriage return", n)
		case bytes.IndexByte(line, 0) >= 0:
			return nil, fmt.Errorf("line %d of it has a NUL byte", n)
		}
		b.Write(line)
		b.WriteString("\r\n")
	}
	return b.Bytes(), nil
}

// Fields that a message must have at most once: a second one could be another reader's first.
var single = []string{"from", "sender", "reply-to", "to", "cc", "message-id", "in-reply-to", "references", "subject", "date", "content-type", "content-transfer-encoding", "mime-version"}

var fieldForm = regexp.MustCompile(`^([!-9;-~]+):`)

// checkHeader reads the header as a server would.
func checkHeader(raw []byte) error {
	head, _, ok := bytes.Cut(raw, []byte("\n\n"))
	if !ok {
		return errors.New("there is no empty line after the header")
	}
	seen := map[string]bool{}
	for i, line := range strings.Split(string(head), "\n") {
		if strings.ContainsFunc(line, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) {
			return fmt.Errorf("header line %d has a control character", i+1)
		}
		if i > 0 && (strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t")) {
			continue
		}
		m := fieldForm.FindStringSubmatch(line)
		if m == nil {
			return fmt.Errorf("header line %d is no field", i+1)
		}
		name := strings.ToLower(m[1])
		switch {
		case name == "bcc" || strings.HasPrefix(name, "resent-"):
			return fmt.Errorf("it has a field %s, which is not for a posted message", m[1])
		case seen[name] && slices.Contains(single, name):
			return fmt.Errorf("it has two fields %s", m[1])
		}
		seen[name] = true
	}
	return nil
}

// addRecipients adds addresses to the field To or Cc of a message, at its end.
func addRecipients(raw []byte, field string, have, more []netmail.Address) ([]byte, error) {
	var text []string
	for _, a := range more {
		if err := CheckAddress(a.Address); err != nil {
			return nil, err
		}
		if !has(have, a) {
			have = append(slices.Clone(have), a)
			if one := a.String(); a.Name != "" {
				text = append(text, one)
			} else {
				text = append(text, a.Address)
			}
		}
	}
	if len(text) == 0 {
		return raw, nil
	}
	lines := strings.Join(text, ",\n ")
	head, body, _ := bytes.Cut(raw, []byte("\n\n"))
	all := strings.Split(string(head), "\n")
	for i, line := range all {
		if len(line) <= len(field) || !strings.EqualFold(line[:len(field)+1], field+":") {
			continue
		}
		last := i
		for last+1 < len(all) && strings.HasPrefix(all[last+1], " ") || last+1 < len(all) && strings.HasPrefix(all[last+1], "\t") {
			last++
		}
		all[last] += ",\n " + lines
		return []byte(strings.Join(all, "\n") + "\n\n" + string(body)), nil
	}
	all = append(all, field+": "+lines)
	return []byte(strings.Join(all, "\n") + "\n\n" + string(body)), nil
}
