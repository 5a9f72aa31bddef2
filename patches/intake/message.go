// SPDX-License-Identifier: Apache-2.0

package intake

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
	_ "github.com/emersion/go-message/charset" // replies come in all of them

	"github.com/seriesrig/series/patches/mail"
)

// A kind is what a message is by its subject.
type kind int

const (
	other kind = iota
	cover
	patch
)

// A letter is a message, as far as it can be read.
type letter struct {
	rawMail
	mail.Message
	kind    kind
	version int      // of [PATCH vn]; 1 where there is none
	prefix  string   // what stood in brackets, without version and numbers
	parents []string // Message-Ids, the nearest first
	// broken is why the body cannot be taken for a patch; it matters only for the patches that are chosen.
	broken  error
	senders int // From: fields and addresses in them
}

func (l *letter) errorf(format string, args ...any) *Error { return l.rawMail.errorf(format, args...) }

// read reads a message. The error is for one whose header cannot be read, since then nobody knows what it is.
func read(r rawMail) (*letter, error) {
	l := &letter{rawMail: r, version: 1}
	head := headerOf(r.raw)
	if i := bytes.IndexByte(head, 0); i >= 0 {
		return nil, r.errorf("NUL byte in the header, in line %d of the message", lineOf(r.raw, i))
	}
	if i := longLine(head); i >= 0 {
		return nil, r.errorf("line %d of the message, in its header, has more than %d KiB", lineOf(r.raw, i), maxLine>>10)
	}
	e, err := message.Read(bytes.NewReader(r.raw))
	if err != nil && !message.IsUnknownCharset(err) && !message.IsUnknownEncoding(err) {
		return nil, r.errorf("header: %w", err)
	}
	l.readHeader(&e.Header)
	if l.broken = checkRaw(r.raw); l.broken == nil && err != nil {
		l.broken = err
	}
	if len(r.raw) > maxMessage {
		return l, nil
	}
	l.readBody(e)
	return l, nil
}

func headerOf(raw []byte) []byte {
	if i := bytes.Index(raw, []byte("\n\n")); i >= 0 {
		return raw[:i+1]
	}
	if i := bytes.Index(raw, []byte("\n\r\n")); i >= 0 {
		return raw[:i+1]
	}
	return raw
}

func lineOf(b []byte, i int) int { return 1 + bytes.Count(b[:i], []byte("\n")) }

// longLine returns where a line of more than maxLine bytes starts, or -1.
func longLine(b []byte) int {
	for at := 0; at < len(b); {
		end := bytes.IndexByte(b[at:], '\n')
		if end < 0 {
			end = len(b) - at
		}
		if end > maxLine {
			return at
		}
		at += end + 1
	}
	return -1
}

// checkRaw refuses what no patch in a mail may have.
func checkRaw(raw []byte) error {
	if len(raw) > maxMessage {
		return fmt.Errorf("it has more than %d MiB, which is the limit", maxMessage>>20)
	}
	if i := bytes.IndexByte(raw, 0); i >= 0 {
		return fmt.Errorf("NUL byte in line %d of the message", lineOf(raw, i))
	}
	if i := longLine(raw); i >= 0 {
		return fmt.Errorf("line %d of the message has more than %d KiB, which is the limit", lineOf(raw, i), maxLine>>10)
	}
	if i := bytes.Index(raw, []byte("\r\n")); i >= 0 {
		return fmt.Errorf("line %d of the message ends in CR LF; save the message as it came, or run dos2unix on it", lineOf(raw, i))
	}
	return nil
}

func (l *letter) readHeader(h *message.Header) {
	get := func(key string) string {
		if s, err := h.Text(key); err == nil {
			return s
		}
		return h.Get(key)
	}
	l.Subject = strings.Join(strings.Fields(get("Subject")), " ")
	l.readSubject()
	froms := h.FieldsByKey("From")
	for froms.Next() {
		list, err := netmail.ParseAddressList(froms.Value())
		if err != nil {
			l.senders += 2 // not one that could be named
			continue
		}
		l.senders += len(list)
		l.From = *list[0]
	}
	if h.Has("Date") {
		l.Date, _ = netmail.ParseDate(h.Get("Date"))
	}
	l.To, l.Cc = addresses(h, "To"), addresses(h, "Cc")
	l.ID = bareID(h.Get("Message-Id"))
	l.parents = ids(h.Get("In-Reply-To"))
	refs := ids(h.Get("References"))
	for i := len(refs) - 1; i >= 0; i-- {
		l.parents = append(l.parents, refs[i])
	}
}

func bareID(s string) string { return strings.Trim(strings.TrimSpace(s), "<>") }

var idForm = regexp.MustCompile(`<([^<>\s]{1,998})>`)

// maxParents bounds how many references of one message are looked at.
const maxParents = 1000

func ids(s string) []string {
	var out []string
	for _, m := range idForm.FindAllStringSubmatch(s, maxParents) {
		out = append(out, m[1])
	}
	return out
}

// addresses reads a list as far as it is one; recipients matter only where they can be read.
func addresses(h *message.Header, key string) []netmail.Address {
	var out []netmail.Address
	fields := h.FieldsByKey(key)
	for fields.Next() {
		list, err := netmail.ParseAddressList(fields.Value())
		if err != nil {
			continue
		}
		for _, a := range list {
			out = append(out, *a)
		}
	}
	return out
}

var (
	replyForm   = regexp.MustCompile(`(?i)^(re|aw|fwd?|sv|antw|wg|vs)(\[[0-9]+\])?\s*:`)
	bracketForm = regexp.MustCompile(`^\s*\[([^\[\]]*)\]`)
	patchWord   = regexp.MustCompile(`(?i)^(?:PATCH|RFC)(?:v([0-9]{1,3}))?$`)
	versionWord = regexp.MustCompile(`(?i)^v([0-9]{1,3})$`)
	anyNumber   = regexp.MustCompile(`^[0-9]+/[0-9]+$`)
	numberWord  = regexp.MustCompile(`^([0-9]{1,4})/([0-9]{1,4})$`)
)

// readSubject takes [PATCH v2 3/4] apart.
func (l *letter) readSubject() {
	rest := l.Subject
	if replyForm.MatchString(rest) {
		return
	}
	for {
		m := bracketForm.FindStringSubmatch(rest)
		if m == nil {
			return
		}
		rest = rest[len(m[0]):]
		if l.readBracket(m[1]) {
			return
		}
	}
}

// readBracket reads what stands in one pair of brackets, if it says that this is a patch.
func (l *letter) readBracket(text string) bool {
	var words []string
	found, numbered := false, false
	version, n, total := 1, 1, 1
	for w := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ' ' || r == ',' }) {
		if m := patchWord.FindStringSubmatch(w); m != nil {
			found = true
			if m[1] != "" {
				version, _ = strconv.Atoi(m[1])
				w = w[:len(w)-len(m[1])-1]
			}
		} else if m := versionWord.FindStringSubmatch(w); m != nil {
			version, _ = strconv.Atoi(m[1])
			continue
		} else if m := numberWord.FindStringSubmatch(w); m != nil {
			n, _ = strconv.Atoi(m[1])
			total, _ = strconv.Atoi(m[2])
			numbered = true
			continue
		} else if anyNumber.MatchString(w) {
			return false // more patches than a series can have
		}
		words = append(words, w)
	}
	if !found || n > total || total == 0 || version == 0 {
		return false
	}
	l.kind, l.version, l.Number, l.Total, l.prefix = patch, version, n, total, strings.Join(words, " ")
	if n == 0 {
		l.kind = cover
	}
	// git format-patch -N leaves the numbers out; one patch alone has none.
	if !numbered {
		l.Number, l.Total = 0, 0
	}
	return true
}

// Limits on MIME.
const (
	maxDepth = 8
	maxParts = 64
)

// readBody finds the text of a message.
func (l *letter) readBody(e *message.Entity) {
	parts := 0
	text, err := findText(e, 0, &parts)
	if err != nil && l.broken == nil {
		l.broken = err
	}
	if text == nil {
		if l.broken == nil {
			l.broken = errors.New("it has no text")
		}
		return
	}
	l.Body = text.body
	if l.broken != nil || l.kind == other {
		return
	}
	l.broken = text.check()
}

// A textPart is the text/plain of a message, decoded.
type textPart struct {
	body, kind, charset, format string
	wrapped                     string // the multipart type around it, where there is one
	unknown                     error  // of the charset
}

// check refuses a text that git am could read in another way than it is meant.
func (t *textPart) check() error {
	ascii := strings.IndexFunc(t.body, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
	switch {
	case t.kind != "text/plain":
		return fmt.Errorf("it is %s, not text/plain", shorten(t.kind))
	case t.wrapped != "" && t.wrapped != "multipart/signed":
		return fmt.Errorf("the patch is a part of %s; it has to be sent inline, as text/plain", shorten(t.wrapped))
	case strings.EqualFold(t.format, "flowed"):
		return errors.New("format=flowed, which breaks patches")
	case t.unknown != nil:
		return fmt.Errorf("charset %s: %w", shorten(t.charset), t.unknown)
	case !utf8.ValidString(t.body):
		return fmt.Errorf("the body is not UTF-8, in line %d of it", badLine(t.body))
	case !ascii && !strings.EqualFold(t.charset, "utf-8") && t.charset != "":
		return fmt.Errorf("the charset is %s and the body not ASCII: git am would convert the message but not the diff; a patch is UTF-8", shorten(t.charset))
	case strings.ContainsRune(t.body, 0):
		return errors.New("NUL byte in the body")
	case strings.Contains(t.body, "\r\n"):
		return fmt.Errorf("the body has a line that ends in CR LF (line %d of it)", lineOf([]byte(t.body), strings.Index(t.body, "\r\n")))
	}
	return nil
}

func badLine(s string) int {
	line := 1
	for l := range strings.Lines(s) {
		if !utf8.ValidString(l) {
			return line
		}
		line++
	}
	return line
}

// findText finds the first text/plain of an entity.
func findText(e *message.Entity, depth int, parts *int) (*textPart, error) {
	kind, params, err := e.Header.ContentType()
	if err != nil {
		return nil, fmt.Errorf("content type: %w", err)
	}
	if *parts++; *parts > maxParts || depth > maxDepth {
		return nil, fmt.Errorf("more than %d parts, or nested more than %d deep", maxParts, maxDepth)
	}
	if !strings.HasPrefix(kind, "multipart/") {
		if kind != "text/plain" {
			return &textPart{kind: kind}, nil
		}
		return readText(e, params)
	}
	r := e.MultipartReader()
	if r == nil {
		return nil, fmt.Errorf("%s without its parts", shorten(kind))
	}
	for {
		p, err := r.NextPart()
		if err == io.EOF {
			return nil, fmt.Errorf("%s without a text/plain part", shorten(kind))
		}
		if err != nil && !message.IsUnknownCharset(err) && !message.IsUnknownEncoding(err) {
			return nil, fmt.Errorf("broken MIME: %w", err)
		}
		t, err := findText(p, depth+1, parts)
		if err != nil {
			return nil, err
		}
		if t != nil && t.kind == "text/plain" {
			if t.wrapped == "" || kind != "multipart/signed" {
				t.wrapped = kind
			}
			return t, nil
		}
	}
}

func readText(e *message.Entity, params map[string]string) (*textPart, error) {
	t := &textPart{kind: "text/plain", charset: params["charset"], format: params["format"]}
	body, err := io.ReadAll(io.LimitReader(e.Body, maxMessage+1))
	if err != nil {
		return nil, fmt.Errorf("body: %w", err)
	}
	if len(body) > maxMessage {
		return nil, fmt.Errorf("it has more than %d MiB once decoded, which is the limit", maxMessage>>20)
	}
	t.body = string(body)
	// go-message leaves a charset that it does not know as it is.
	if _, err := decodeCharset(t.charset); err != nil {
		t.unknown = err
	}
	if i := longLine(body); i >= 0 {
		return t, fmt.Errorf("line %d of the body has more than %d KiB, which is the limit", lineOf(body, i), maxLine>>10)
	}
	return t, nil
}

func decodeCharset(name string) (io.Reader, error) {
	switch strings.ToLower(name) {
	case "", "utf-8", "us-ascii":
		return nil, nil
	}
	return message.CharsetReader(name, strings.NewReader(""))
}

func shorten(s string) string {
	s = strings.ToValidUTF8(s, "?")
	if r := []rune(s); len(r) > 80 {
		s = string(r[:77]) + "..."
	}
	return strings.Trim(strconv.Quote(s), `"`)
}
