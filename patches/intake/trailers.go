// SPDX-License-Identifier: Apache-2.0

package intake

import (
	"cmp"
	"fmt"
	netmail "net/mail"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The trailers that a reviewer gives in a reply. A Signed-off-by in one is of no use to who posts, and what reports or
// suggestions are worth a line is the author's to say.
var statementForm = regexp.MustCompile(`(?i)^(Reviewed-by|Acked-by|Tested-by)[ \t]*:[ \t]*(\S.*)$`)

var statements = map[string]string{"reviewed-by": "Reviewed-by", "acked-by": "Acked-by", "tested-by": "Tested-by"}

// Limits on what is taken: from one reply, and for one patch.
const (
	maxStatements = 20
	maxTrailers   = 200
)

// gather takes the trailers from the replies to a version; those to the cover letter are for all patches.
func gather(letters []*letter, v *version, s *Series) map[int][]string {
	about := map[string]int{} // by Message-Id
	mine := v.all()
	for l, n := range mine {
		if l.ID != "" {
			about[l.ID] = n
		}
	}
	byID := map[string]*letter{}
	for _, l := range letters {
		if l.ID != "" && byID[l.ID] == nil {
			byID[l.ID] = l
		}
	}
	f := &finder{about: about, byID: byID, found: map[*letter]int{}}
	replies := slices.Clone(letters)
	slices.SortStableFunc(replies, func(a, b *letter) int { return cmp.Compare(a.Date.Unix(), b.Date.Unix()) })
	out := map[int][]string{}
	for _, l := range replies {
		if _, ok := mine[l]; ok || l.kind != other {
			continue
		}
		n := f.target(l)
		if n == nothing {
			continue
		}
		for _, t := range l.statements(s) {
			where := []int{n}
			if n == 0 {
				where = where[:0]
				for i := 1; i <= v.total; i++ {
					where = append(where, i)
				}
			}
			for _, i := range where {
				if !slices.Contains(out[i], t) && len(out[i]) < maxTrailers {
					out[i] = append(out[i], t)
				}
			}
			if len(s.Gathered) == maxTrailers*max(v.total, 1) {
				s.note("message %d (line %d): more than %d trailers, the rest is not taken", l.n, l.line, len(s.Gathered))
				return out
			}
			s.Gathered = append(s.Gathered, fmt.Sprintf("%s: %s", what(n), t))
		}
	}
	return out
}

func what(n int) string {
	if n == 0 {
		return "all patches"
	}
	return fmt.Sprintf("patch %d", n)
}

// A finder tells what replies are about.
type finder struct {
	about map[string]int     // the version's messages, by Message-Id
	byID  map[string]*letter // all messages
	found map[*letter]int    // what is known: a patch, 0 for all, or nothing
}

const nothing = -1

// target finds what a reply is about: the nearest message above it that is of the version. Where one of another version is
// nearer, the reply is about that. A reply that names none of them is about what the one that it answers is about.
func (f *finder) target(l *letter) int {
	if n, ok := f.found[l]; ok {
		return n
	}
	f.found[l] = nothing // should the references lead round in a circle
	n := nothing
	var next *letter
	for _, id := range l.parents {
		if about, ok := f.about[id]; ok {
			f.found[l] = about
			return about
		}
		p := f.byID[id]
		if p != nil && p.kind != other {
			return nothing
		}
		if next == nil && p != l {
			next = p
		}
	}
	if next != nil {
		n = f.target(next)
	}
	f.found[l] = n
	return n
}

// endOfReply is where somebody else's words begin, or a signature.
var endOfReply = regexp.MustCompile(`(?i)^(-- ?$|-{2,} ?(original message|forwarded message)|-----BEGIN PGP SIGNATURE)`)

// statements are the trailers that the sender of a reply makes in it. A quoted line is not his, and one in somebody
// else's name is not either; those are noted.
func (l *letter) statements(s *Series) []string {
	var out []string
	for line := range strings.Lines(l.Body) {
		line = strings.TrimRight(line, " \t\r\n")
		if endOfReply.MatchString(line) || len(out) == maxStatements {
			break
		}
		m := statementForm.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		text := statements[strings.ToLower(m[1])] + ": " + strings.Join(strings.Fields(m[2]), " ")
		if why := l.notTaken(text, m[2]); why != "" {
			s.note("message %d (line %d): %s not taken: %s", l.n, l.line, shorten(text), why)
			continue
		}
		out = append(out, text)
	}
	return out
}

// notTaken says why a trailer is not its sender's, or "".
func (l *letter) notTaken(text, value string) string {
	if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) }) {
		return "it has characters that do not print"
	}
	if len(text) > 500 {
		return "it is too long"
	}
	end := strings.IndexByte(value, '>')
	a, err := netmail.ParseAddress(value[:end+1])
	if err != nil || end < 0 || !strings.Contains(text, a.Address) { // with blanks in it it is none that git would see
		return "it names nobody"
	}
	if rest := strings.TrimSpace(value[end+1:]); rest != "" && !strings.HasPrefix(rest, "#") && !strings.HasPrefix(rest, "[") && !strings.HasPrefix(rest, "(") {
		return "there is more behind the address"
	}
	if l.senders != 1 {
		return "the reply has no From: with one address"
	}
	if !strings.EqualFold(a.Address, l.From.Address) {
		return fmt.Sprintf("the reply is from %s", shorten(l.From.Address))
	}
	return ""
}
