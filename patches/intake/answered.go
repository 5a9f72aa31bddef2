// SPDX-License-Identifier: Apache-2.0

package intake

import (
	"fmt"
	netmail "net/mail"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// An Answer says that somebody answered a posting.
type Answer struct {
	From netmail.Address
	To   string // what was answered, the nearest patch or cover letter above: "[PATCH v2 1/3]"
}

// Answered returns who answered the patches and cover letters of a source, of whatever version, each once, in the order of the
// source. Those who posted are not among them, nor is anybody whose reply has no From: with one address that could stand in a
// header. It is an error if there is no patch in the source.
func Answered(path string) ([]Answer, error) {
	raws, err := readSource(path)
	if err != nil {
		return nil, err
	}
	var letters []*letter
	byID := map[string]*letter{}
	posters := map[string]bool{}
	for _, r := range raws {
		l, err := read(r)
		if err != nil {
			return nil, err
		}
		letters = append(letters, l)
		if l.ID != "" && byID[l.ID] == nil {
			byID[l.ID] = l
		}
		if l.kind != other {
			posters[strings.ToLower(l.From.Address)] = true
		}
	}
	if len(posters) == 0 {
		return nil, fmt.Errorf("%s: there is no patch in it, so nothing that could have been answered; save the whole thread", path)
	}
	var out []Answer
	for _, l := range letters {
		key := strings.ToLower(l.From.Address)
		if l.kind != other || l.senders != 1 || posters[key] || !plainSender(l.From) {
			continue
		}
		above := nearest(l, byID)
		if above == nil || slices.ContainsFunc(out, func(a Answer) bool { return strings.EqualFold(a.From.Address, key) }) {
			continue
		}
		out = append(out, Answer{l.From, above.bracket()})
	}
	return out, nil
}

// nearest is the patch or cover letter that a reply hangs below, or nil.
func nearest(l *letter, byID map[string]*letter) *letter {
	seen := map[*letter]bool{}
	for queue := []*letter{l}; len(queue) > 0; queue = queue[1:] {
		for _, id := range queue[0].parents {
			p := byID[id]
			switch {
			case p == nil || seen[p]:
			case p.kind != other:
				return p
			default:
				seen[p] = true
				queue = append(queue, p)
			}
		}
	}
	return nil
}

// bracket is what stands before the subject of a patch, made afresh.
func (l *letter) bracket() string {
	b := "[PATCH"
	if l.version > 1 {
		b += fmt.Sprintf(" v%d", l.version)
	}
	if l.Total > 0 {
		b += fmt.Sprintf(" %0*d/%d", len(fmt.Sprint(l.Total)), l.Number, l.Total)
	}
	return b + "]"
}

// plainSender tells whether an address can stand in a header as it is.
func plainSender(a netmail.Address) bool {
	return utf8.ValidString(a.Name) && !strings.ContainsFunc(a.Name, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) }) &&
		strings.Count(a.Address, "@") == 1 && !strings.ContainsFunc(a.Address, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune("<>,;:\"()[]\\", r) })
}
