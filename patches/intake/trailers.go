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

// maxStatements bounds what is taken from one reply.
const maxStatements = 20

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
	replies := slices.Clone(letters)
	slices.SortStableFunc(replies, func(a, b *letter) int { return cmp.Compare(a.Date.Unix(), b.Date.Unix()) })
	out := map[int][]string{}
	for _, l := range replies {
		if _, ok := mine[l]; ok || l.kind != other {
			continue
		}
		n, ok := target(l, about, byID)
		if !ok {
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
				if !slices.Contains(out[i], t) {
					out[i] = append(out[i], t)
				}
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

// target finds what a reply is about: the nearest message above it that is of the version. Where one of another version
// is nearer, the reply is about that.
func target(l *letter, about map[string]int, byID map[string]*letter) (int, bool) {
	seen := map[string]bool{l.ID: true}
	queue := slices.Clone(l.parents)
	for len(queue) > 0 && len(seen) < maxParents {
		id := queue[0]
		queue = queue[1:]
		if seen[id] {
			continue
		}
		seen[id] = true
		if n, ok := about[id]; ok {
			return n, true
		}
		if p := byID[id]; p != nil {
			if p.kind != other {
				return 0, false
			}
			queue = append(slices.Clone(p.parents), queue...)
		}
	}
	return 0, false
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
