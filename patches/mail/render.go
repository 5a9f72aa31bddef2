// SPDX-License-Identifier: Apache-2.0

package mail

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	netmail "net/mail"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seriesrig/series/patches"
	"github.com/seriesrig/series/results"
)

// fallbackDate is for a thread whose patches have no date: the one that git writes where a date does not matter.
var fallbackDate = time.Date(2001, 9, 17, 0, 0, 0, 0, time.UTC)

// A renderer is the work on one thread: the options with their defaults filled in.
type renderer struct {
	Options
	to, cc []netmail.Address
	cover  bool
}

// Render makes the thread. It acts on nothing and reads nothing but what the options give it; the same options give the
// same bytes.
func Render(o Options) (*Thread, error) {
	r, err := newRenderer(o)
	if err != nil {
		return nil, fmt.Errorf("mail %s: %w", seriesID(o.Series), err)
	}
	t, err := r.thread()
	if err != nil {
		return nil, fmt.Errorf("mail %s: %w", r.Series.ID, err)
	}
	return t, nil
}

func seriesID(s *patches.Series) string {
	if s == nil {
		return "(no series)"
	}
	return s.ID
}

// newRenderer fills in what the options leave open, and checks everything that ends up in a header.
func newRenderer(o Options) (*renderer, error) {
	r := &renderer{Options: o}
	if o.Series == nil || len(o.Series.Patches) == 0 {
		return nil, fmt.Errorf("there are no patches")
	}
	s := o.Series
	if r.Revision == 0 {
		r.Revision = max(s.Revision, 1)
	}
	if r.From == (netmail.Address{}) {
		r.From = DefaultSender
	}
	if r.Version == "" {
		r.Version = results.ThisTool().Version
	}
	if r.Date.IsZero() {
		r.Date = fallbackDate
		for i, p := range s.Patches {
			// The last patch is that many seconds after the cover letter.
			if d := p.Date.Add(-time.Duration(i+1) * time.Second); !p.Date.IsZero() && d.After(r.Date) {
				r.Date = d
			}
		}
	}
	if r.Run != nil {
		for _, run := range r.records() {
			if err := OfPatches(run, s); err != nil {
				return nil, err
			}
			if run.Base.Hash != r.Run.Base.Hash {
				return nil, &StaleError{fmt.Sprintf("one is on the base %s, another on %s", r.Run.Base.Hash, run.Base.Hash)}
			}
		}
		if r.Base == (results.Base{}) {
			r.Base = r.Run.Base
		}
	}
	if r.Base == (results.Base{}) {
		r.Base.Spec = s.Base
	}
	if m := commitForm.FindStringSubmatch(r.Base.Spec); m != nil && r.Base.Commit == "" {
		r.Base.Commit = m[1]
	}
	r.cover = len(s.Patches) > 1 || s.Cover.Body != ""
	return r, r.checkHeaders()
}

// commitForm is the spec of a base that names a commit by its id.
var commitForm = regexp.MustCompile(`^git:.*#([0-9a-f]{40})$`)

// checkHeaders is the guard against header injection: whatever goes into a header passes here.
func (r *renderer) checkHeaders() (err error) {
	s := r.Series
	if r.to, err = parseAddresses("mail.to", s.Mail.To); err != nil {
		return err
	}
	if r.cc, err = parseAddresses("mail.cc", s.Mail.Cc); err != nil {
		return err
	}
	if err := r.checkRecipients(); err != nil {
		return err
	}
	if err := checkAddress("the sender's address", r.From); err != nil {
		return err
	}
	if r.Signoff != nil {
		if err := checkAddress("the address to sign off with", *r.Signoff); err != nil {
			return err
		}
	}
	for what, text := range map[string]string{"the series' id": s.ID, "the prefix": s.Prefix, "the cover letter's subject": s.Cover.Subject,
		"the change-id": s.ChangeID, "the prerequisites": strings.Join(s.Prerequisites, ""),
		"the version": r.Version, "the previous thread": r.Previous, "the base": r.Base.Spec + r.Base.Version + r.Base.Hash + r.Base.Commit} {
		if err := checkText(what, text); err != nil {
			return err
		}
	}
	if strings.ContainsAny(s.Prefix, "[]") {
		return fmt.Errorf("the prefix %q has a bracket", s.Prefix)
	}
	if r.Previous != "" && strings.ContainsAny(r.Previous, " \t") {
		return fmt.Errorf("the previous thread %q is neither a URL nor a Message-Id", r.Previous)
	}
	if strings.ContainsFunc(r.RangeDiff, isBadControl) || strings.Contains("\n"+r.RangeDiff, "\ndiff ") {
		return fmt.Errorf("the range-diff is not one")
	}
	for i, p := range s.Patches {
		if err := checkPatch(p); err != nil {
			return fmt.Errorf("patch %d: %w", i+1, err)
		}
	}
	return nil
}

func checkPatch(p *patches.Patch) error {
	if err := checkAddress("the author's address", netmail.Address{Name: p.Author.Name, Address: p.Author.Email}); err != nil {
		return err
	}
	if err := checkText("the subject", p.Subject); err != nil {
		return err
	}
	if kept := keptSubject(p.Subject); kept != p.Subject || kept == "" {
		return fmt.Errorf("the subject %q would be read back as %q", p.Subject, kept)
	}
	for line := range strings.Lines(p.Body) {
		if endsMessage(line) {
			return fmt.Errorf("the message has the line %q, at which git am takes it to end", strings.TrimSpace(line))
		}
	}
	return nil
}

// keptSubject is what git am makes of a subject (cleanup_subject in git's mailinfo.c).
func keptSubject(s string) string {
	for {
		s = strings.TrimLeft(s, " \t:")
		if len(s) >= 3 && strings.EqualFold(s[:3], "re:") {
			s = s[3:]
			continue
		}
		if end := strings.IndexByte(s, ']'); strings.HasPrefix(s, "[") && end > 0 {
			s = s[end+1:]
			continue
		}
		return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == '\t' }), " ")
	}
}

// endsMessage tells the lines that git am ends the message at (patchbreak in git's mailinfo.c).
func endsMessage(line string) bool {
	if strings.HasPrefix(line, "diff -") || strings.HasPrefix(line, "Index: ") {
		return true
	}
	rest, ok := strings.CutPrefix(line, "---")
	return ok && (strings.TrimSpace(rest) == "" || len(rest) > 1 && rest[0] == ' ' && strings.TrimLeft(rest[1:2], " \t\r\n\v\f") != "")
}

func parseAddresses(what string, list []string) ([]netmail.Address, error) {
	var out []netmail.Address
	for _, text := range list {
		// The check comes before the parser, which would unfold a line break.
		if err := checkText(what, text); err != nil {
			return nil, err
		}
		found, err := netmail.ParseAddressList(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %q: %s", what, text, strings.TrimPrefix(err.Error(), "mail: "))
		}
		for _, a := range found {
			if err := checkAddress(what, *a); err != nil {
				return nil, err
			}
			if !slices.Contains(out, *a) {
				out = append(out, *a)
			}
		}
	}
	return out, nil
}

// A StaleError says that a record is not of the patches that are to be sent.
type StaleError struct{ Reason string }

func (e *StaleError) Error() string {
	return "the record is not of these patches: " + e.Reason + "; run the series again"
}

// OfPatches refuses figures of other patches with a *StaleError: a table in a cover letter is about exactly the patches below
// it.
func OfPatches(run *results.Run, s *patches.Series) error {
	if run.Series != s.ID {
		return &StaleError{fmt.Sprintf("it is of the series %s", run.Series)}
	}
	if len(run.Patches) != len(s.Patches) {
		return &StaleError{fmt.Sprintf("it has %d patches, the series %d", len(run.Patches), len(s.Patches))}
	}
	for i, p := range s.Patches {
		if have := fmt.Sprintf("sha256:%x", sha256.Sum256(p.Raw)); have != run.Patches[i].Hash {
			return &StaleError{fmt.Sprintf("patch %d was changed since", i+1)}
		}
	}
	return nil
}

func (r *renderer) thread() (*Thread, error) {
	t := &Thread{}
	total := len(r.Series.Patches)
	if r.cover {
		body, err := r.coverBody()
		if err != nil {
			return nil, err
		}
		t.Messages = append(t.Messages, r.message(0, r.Series.Cover.Subject, body))
	}
	for i, p := range r.Series.Patches {
		body, err := r.patchBody(i+1, p)
		if err != nil {
			return nil, fmt.Errorf("patch %d: %w", i+1, err)
		}
		t.Messages = append(t.Messages, r.message(i+1, p.Subject, body))
	}
	r.setIDs(t)
	for _, m := range t.Messages {
		m.Total = total
		if err := m.encode(); err != nil {
			return nil, fmt.Errorf("message %d: %w", m.Number, err)
		}
	}
	return t, nil
}

func (r *renderer) message(n int, subject, body string) *Message {
	to, cc := r.recipients(n)
	return &Message{Number: n, From: r.From, To: to, Cc: cc, Body: body + r.signature(),
		Subject: "[" + r.subjectPrefix(n) + "] " + subject,
		Date:    r.Date.Add(time.Duration(n) * time.Second)}
}

// subjectPrefix is what stands in brackets: PATCH v2 03/12. A single patch without a cover letter has no number.
func (r *renderer) subjectPrefix(n int) string {
	prefix := r.Series.Prefix
	if prefix == "" {
		prefix = "PATCH"
	}
	if r.Revision > 1 {
		prefix += " v" + strconv.Itoa(r.Revision)
	}
	if r.cover {
		total := strconv.Itoa(len(r.Series.Patches))
		prefix += fmt.Sprintf(" %0*d/%s", len(total), n, total)
	}
	return prefix
}

// signature ends each message. The blank after the dashes belongs to it (RFC 3676, section 4.3).
func (r *renderer) signature() string { return "-- \nseries " + r.Version + "\n" }

// setIDs gives each message an id made of what the thread says, so that the same content has the same ids, and any
// change, which makes it another thread, has others. Dates and the program's version are not content.
func (r *renderer) setIDs(t *Thread) {
	h := sha256.New()
	for _, m := range t.Messages {
		for _, part := range []string{m.From.String(), fmt.Sprint(m.To, m.Cc), m.Subject, strings.TrimSuffix(m.Body, r.signature())} {
			fmt.Fprintf(h, "%d:%s", len(part), part)
		}
	}
	sum := fmt.Sprintf("%x", h.Sum(nil))[:20]
	_, domain, _ := strings.Cut(r.From.Address, "@")
	id := strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' {
			return c
		}
		return '-'
	}, r.Series.ID)
	first := t.Messages[0]
	for _, m := range t.Messages {
		m.ID = fmt.Sprintf("%s-v%d-%d-%s@%s", id, r.Revision, m.Number, sum, domain)
		if m != first {
			m.InReplyTo, m.References = first.ID, []string{first.ID}
		}
	}
}

var idParts = regexp.MustCompile(`^([a-z0-9][a-z0-9-]*)-v([0-9]{1,3})-[0-9]+-[0-9a-f]{20}@`)

// SeriesOf tells of which series and revision a message is, by the Message-Id that Render gave it.
func SeriesOf(messageID string) (id string, revision int, ok bool) {
	m := idParts.FindStringSubmatch(messageID)
	if m == nil {
		return "", 0, false
	}
	revision, err := strconv.Atoi(m[2])
	return m[1], revision, err == nil && revision > 0
}

// encode fills Raw.
func (m *Message) encode() error {
	encoding, body, err := encodeBody(m.Body)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	field := func(name string, pieces ...string) {
		if len(pieces) > 0 {
			writeHeader(&b, name, pieces, foldWidth)
		}
	}
	field("From", formatAddress(m.From)...)
	field("To", addressPieces(m.To)...)
	field("Cc", addressPieces(m.Cc)...)
	subject, width := encodeSubject(m.Subject)
	writeHeader(&b, "Subject", subject, width)
	field("Date", m.Date.Format("Mon, 2 Jan 2006 15:04:05 -0700"))
	field("Message-Id", "<"+m.ID+">")
	if m.InReplyTo != "" {
		field("In-Reply-To", "<"+m.InReplyTo+">")
	}
	var references []string
	for _, id := range m.References {
		references = append(references, "<"+id+">")
	}
	field("References", references...)
	field("MIME-Version", "1.0")
	field("Content-Type", "text/plain; charset=UTF-8")
	field("Content-Transfer-Encoding", encoding)
	b.WriteByte('\n')
	b.Write(body)
	m.Raw = b.Bytes()
	return nil
}
