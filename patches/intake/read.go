// SPDX-License-Identifier: Apache-2.0

package intake

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	netmail "net/mail"
	"slices"
	"strings"
	"unicode"

	"github.com/seriesrig/series/patches"
)

// Read makes a series of the mail in a file (an mbox, one saved mail; packed by gzip or not), a maildir, or a folder of
// *.patch and *.eml files. It changes nothing.
func Read(path string, o Options) (*Series, error) {
	raws, err := readSource(path)
	if err != nil {
		return nil, err
	}
	return fromMail(path, raws, o)
}

// ReadFrom is Read for what comes in through a pipe; name is for errors.
func ReadFrom(name string, r io.Reader, o Options) (*Series, error) {
	raws, err := splitFile(name, r)
	if err != nil {
		return nil, err
	}
	return fromMail(name, raws, o)
}

func fromMail(name string, raws []rawMail, o Options) (*Series, error) {
	s := &Series{}
	var letters []*letter
	for _, r := range raws {
		l, err := read(r)
		if err != nil {
			return nil, err
		}
		letters = append(letters, l)
	}
	letters, err := inThread(letters, o)
	var v *version
	if err == nil {
		v, err = choose(letters, o, s)
	}
	var at *Error
	if err != nil && !errors.As(err, &at) {
		err = &patches.InputError{File: name, Msg: err.Error(), Err: err}
	}
	if err != nil {
		return nil, err
	}
	s.trailers = gather(letters, v, s)
	if s.Patches, err = v.build(s.trailers); err != nil {
		return nil, err
	}
	if err := v.fill(s); err != nil {
		return nil, err
	}
	for _, l := range letters {
		if l.kind == other && l.broken != nil && len(l.Body) == 0 {
			s.note("message %d (line %d) passed over, it is no patch: %s", l.n, l.line, shorten(l.broken.Error()))
		}
	}
	return s, nil
}

// inThread keeps to a thread where one is asked for.
func inThread(letters []*letter, o Options) ([]*letter, error) {
	if o.MessageID == "" {
		return letters, nil
	}
	return thread(letters, o.MessageID)
}

// fill takes from the cover letter, or from a single patch, what is about the series.
func (v *version) fill(s *Series) error {
	first := v.patches[1]
	s.Title, s.Revision, s.Prefix = s.Patches[0].Subject, v.n, first.prefix
	top := first
	switch l := v.cover; {
	case l == nil && v.total > 1:
		s.note("there is no cover letter (0/%d)", v.total)
		s.tracking(first.Body)
	case l == nil:
		s.tracking(first.Body)
	case l.broken != nil:
		return l.errorf("%w", l.broken)
	default:
		top = l
		if title := summary(l.Subject); title != "" {
			s.Title = title
		}
		s.Prefix = l.prefix
		if strings.ContainsFunc(l.Body, isBad) || strings.ContainsRune(l.Body, '\r') {
			return l.errorf("the cover letter has a control character")
		}
		s.Cover = prose(l.Body)
		s.tracking(l.Body)
	}
	if strings.ContainsFunc(s.Title, unicode.IsControl) {
		return top.errorf("the subject has a control character")
	}
	s.To, s.Cc = recipients(top)
	v.common(s)
	s.ID = v.ownID()
	if s.ID == "" {
		s.ID = slug(s.Title)
	}
	return nil
}

func isBad(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' && r != '\f' }

// summary is a subject without what stands in brackets before it.
func summary(subject string) string {
	for {
		m := bracketForm.FindString(subject)
		if m == "" {
			return strings.TrimSpace(subject)
		}
		subject = subject[len(m):]
	}
}

// common keeps those recipients who got all of the thread. Who got only some of the messages did so by the files that these
// change, and will again; the whole series is not for them. Where nobody got all, everybody who got the first message does.
func (v *version) common(s *Series) {
	all := []*letter{}
	if v.cover != nil {
		all = append(all, v.cover)
	}
	for _, l := range v.patches {
		all = append(all, l)
	}
	inAll := func(text string) bool {
		a, err := netmail.ParseAddress(text)
		return err == nil && !slices.ContainsFunc(all, func(l *letter) bool {
			return !slices.ContainsFunc(slices.Concat(l.To, l.Cc), func(b netmail.Address) bool { return strings.EqualFold(a.Address, b.Address) })
		})
	}
	filter := func(list []string) (out []string) {
		for _, text := range list {
			if inAll(text) {
				out = append(out, text)
			}
		}
		return out
	}
	to, cc := filter(s.To), filter(s.Cc)
	left := len(s.To) + len(s.Cc) - len(to) - len(cc)
	switch {
	case left == 0 || len(to)+len(cc) == 0:
		return
	case len(to) == 0:
		to, cc = cc, nil
	}
	s.To, s.Cc = to, cc
	s.note("%d of those who got the first message did not get all: they are left to MAINTAINERS; who is not in there belongs into [mail] of series.toml", left)
}

// recipients are who a thread went to, each once; with nobody in To, Cc is it.
func recipients(l *letter) (to, cc []string) {
	seen := map[string]bool{}
	list := func(as []netmail.Address) (out []string) {
		for _, a := range as {
			key := strings.ToLower(a.Address)
			text := a.Address
			if a.Name != "" {
				text = a.String()
				if plain := a.Name + " <" + a.Address + ">"; sameAddress(plain, a) {
					text = plain
				}
			}
			if seen[key] || !strings.Contains(a.Address, "@") || strings.ContainsFunc(text, unicode.IsControl) {
				continue
			}
			seen[key] = true
			out = append(out, text)
		}
		return out
	}
	to, cc = list(l.To), list(l.Cc)
	if len(to) == 0 {
		to, cc = cc, nil
	}
	return to, cc
}

func sameAddress(text string, a netmail.Address) bool {
	b, err := netmail.ParseAddress(text)
	return err == nil && *b == a
}

// slug makes a series' id of its title: the words after the subsystem, up to 40 characters.
func slug(title string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(title) {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	words := strings.Split(strings.Trim(b.String(), "-"), "-")
	out := words[0]
	for _, w := range words[1:] {
		if len(out)+1+len(w) > maxSlug {
			break
		}
		out += "-" + w
	}
	if out = out[:min(len(out), maxSlug)]; out == "" {
		out = "imported"
	}
	return out
}

const maxSlug = 40

// newChangeID names a series for the time of its life: the date of its first patch, its id, and something that no other
// series has, taken from its content so that the same import makes the same.
func newChangeID(id string, ps []*patches.Patch) string {
	h := sha256.New()
	for _, p := range ps {
		h.Write(p.Raw)
	}
	dates := slices.SortedFunc(slices.Values(ps), func(a, b *patches.Patch) int { return a.Date.Compare(b.Date) })
	return fmt.Sprintf("%s-%s-%.12x", dates[0].Date.UTC().Format("20060102"), id, h.Sum(nil))
}
