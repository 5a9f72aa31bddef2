// SPDX-License-Identifier: Apache-2.0

package mail

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	netmail "net/mail"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/emersion/go-message"

	"github.com/seriesrig/series/patches"
)

// separator starts each message of an mbox. The date is the one that git format-patch writes, by which file(1) and
// others know such a file; git am asks for no more than that it looks like a date.
const separator = "From series Mon Sep 17 00:00:00 2001\n"

// maxMbox bounds what Parse reads, in bytes.
const maxMbox = 256 << 20

// WriteTo writes the thread as an mbox: the separator, the message and an empty line, for each.
func (t *Thread) WriteTo(w io.Writer) (int64, error) {
	var total int64
	for _, m := range t.Messages {
		for _, part := range [][]byte{[]byte(separator), m.Raw, []byte("\n")} {
			n, err := w.Write(part)
			total += int64(n)
			if err != nil {
				return total, err
			}
		}
	}
	return total, nil
}

// A ParseError says which message of a file cannot be read, and why.
type ParseError struct {
	Message int // from 1
	Line    int // of the file, where the message starts
	Msg     string
	Err     error
}

func (e *ParseError) Error() string {
	return fmt.Sprintf("message %d (line %d): %s", e.Message, e.Line, e.Msg)
}

func (e *ParseError) Unwrap() error { return e.Err }

// Parse reads the messages of an mbox, or a single message without a separator, in the order of the file. Lines are
// taken as they are: a ">" before "From " stays, as with git am. What cannot be read exactly is a *ParseError: a charset
// other than UTF-8, an attachment, a broken encoding.
func Parse(r io.Reader) ([]*Message, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxMbox+1))
	if err != nil {
		return nil, fmt.Errorf("read mbox: %w", err)
	}
	if len(data) > maxMbox {
		return nil, fmt.Errorf("read mbox: it is larger than %d MiB", maxMbox>>20)
	}
	var out []*Message
	for i, part := range patches.SplitMbox(data) {
		m, err := parseMessage(part.Raw)
		if err != nil {
			return nil, &ParseError{Message: i + 1, Line: part.Line, Msg: err.Error(), Err: err}
		}
		m.Line = part.Line
		out = append(out, m)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("read mbox: there is no message in it")
	}
	return out, nil
}

// parseMessage reads one message.
func parseMessage(raw []byte) (*Message, error) {
	if i := bytes.IndexByte(raw, 0); i >= 0 {
		return nil, fmt.Errorf("NUL byte in line %d of the message", 1+bytes.Count(raw[:i], []byte("\n")))
	}
	e, err := message.Read(bytes.NewReader(raw))
	if message.IsUnknownCharset(err) {
		return nil, fmt.Errorf("the charset is not UTF-8: %w", err)
	}
	if err != nil {
		return nil, err
	}
	kind, params, err := e.Header.ContentType()
	if err != nil {
		return nil, fmt.Errorf("content type: %w", err)
	}
	if kind != "text/plain" {
		return nil, fmt.Errorf("the message is %s, not text/plain", kind)
	}
	switch cs := strings.ToLower(params["charset"]); cs {
	case "", "utf-8", "us-ascii":
	default:
		return nil, fmt.Errorf("the charset is %s, not UTF-8", cs)
	}
	body, err := io.ReadAll(e.Body)
	if err != nil {
		return nil, fmt.Errorf("body: %w", err)
	}
	if !utf8.Valid(body) {
		return nil, errors.New("the body is not UTF-8")
	}
	m := &Message{Raw: raw, Body: string(body)}
	if err := m.readHeader(&e.Header); err != nil {
		return nil, err
	}
	return m, nil
}

var numberForm = regexp.MustCompile(`^\[[^\]]*?\b([0-9]+)/([0-9]+)\]`)

func (m *Message) readHeader(h *message.Header) error {
	var err error
	if m.Subject, err = h.Text("Subject"); err != nil {
		return fmt.Errorf("subject: %w", err)
	}
	if n := numberForm.FindStringSubmatch(m.Subject); n != nil {
		// A number too large for an int is no patch's; it stays 0.
		m.Number, _ = strconv.Atoi(n[1])
		m.Total, _ = strconv.Atoi(n[2])
	}
	from, err := addressList(h, "From")
	if err != nil {
		return err
	}
	if len(from) != 1 {
		return fmt.Errorf("%d addresses in From", len(from))
	}
	m.From = from[0]
	if m.To, err = addressList(h, "To"); err != nil {
		return err
	}
	if m.Cc, err = addressList(h, "Cc"); err != nil {
		return err
	}
	if date := h.Get("Date"); date != "" {
		if m.Date, err = netmail.ParseDate(date); err != nil {
			return fmt.Errorf("date: %w", err)
		}
	}
	m.ID = strings.Trim(strings.TrimSpace(h.Get("Message-Id")), "<>")
	m.InReplyTo = strings.Trim(strings.TrimSpace(h.Get("In-Reply-To")), "<>")
	for _, id := range strings.Fields(h.Get("References")) {
		m.References = append(m.References, strings.Trim(id, "<>"))
	}
	return nil
}

func addressList(h *message.Header, key string) ([]netmail.Address, error) {
	text := h.Get(key)
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	list, err := netmail.ParseAddressList(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %s", key, strings.TrimPrefix(err.Error(), "mail: "))
	}
	var out []netmail.Address
	for _, a := range list {
		out = append(out, *a)
	}
	return out, nil
}
