// SPDX-License-Identifier: Apache-2.0

package intake

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/seriesrig/series/patches"
	"github.com/seriesrig/series/patches/mail"
)

// A version is the messages of one [PATCH vN ?/M].
type version struct {
	n, total int
	cover    *letter
	patches  map[int]*letter
	empty    map[int]*letter // have the subject of a patch and no diff
	copies   map[*letter][]*letter
}

func (v *version) name() string {
	if v.n == 1 {
		return "[PATCH]"
	}
	return fmt.Sprintf("[PATCH v%d]", v.n)
}

// missing lists the numbers of the patches that are not there.
func (v *version) missing() []int {
	var out []int
	for i := 1; i <= v.total; i++ {
		if v.patches[i] == nil {
			out = append(out, i)
		}
	}
	return out
}

// gaps says which patches are missing, and where one seems to be and is not.
func (v *version) gaps() string {
	var out []string
	for _, i := range v.missing() {
		text := fmt.Sprintf("%d/%d", i, v.total)
		if l := v.empty[i]; l != nil {
			text += fmt.Sprintf(" (message %d, line %d, has its subject, but no diff of its own)", l.n, l.line)
		}
		if out = append(out, text); len(out) == 10 {
			out = append(out, "...")
			break
		}
	}
	return strings.Join(out, ", ")
}

// choose finds the versions among the letters and returns the one to take.
func choose(letters []*letter, o Options, s *Series) (*version, error) {
	vs, err := versions(letters)
	if err != nil {
		return nil, err
	}
	var asked []*version
	for _, v := range vs {
		if o.Version == 0 || v.n == o.Version {
			asked = append(asked, v)
		}
	}
	switch {
	case len(vs) == 0:
		return nil, fmt.Errorf("there is no patch in it: no message has [PATCH] in its subject and a diff")
	case len(asked) == 0:
		return nil, fmt.Errorf("there is no v%d in it, only %s", o.Version, names(vs))
	}
	for i, v := range asked {
		if len(v.missing()) > 0 {
			continue
		}
		for _, w := range asked[:i] {
			s.note("%s is not complete, %s of it missing: taken is %s", w.name(), w.gaps(), v.name())
		}
		if i+1 < len(asked) && asked[i+1].n == v.n && len(asked[i+1].missing()) == 0 {
			return nil, fmt.Errorf("two complete series are %s, one of %d and one of %d patches; name one with --message-id", v.name(), v.total, asked[i+1].total)
		}
		return v, nil
	}
	return nil, fmt.Errorf("%s is not complete: missing is %s", asked[0].name(), asked[0].gaps())
}

func names(vs []*version) string {
	var out []string
	for _, v := range vs {
		out = append(out, fmt.Sprintf("v%d", v.n))
	}
	return strings.Join(slices.Compact(out), ", ")
}

// versions sorts the patches and cover letters by version, the latest first.
func versions(letters []*letter) ([]*version, error) {
	if err := number(letters); err != nil {
		return nil, err
	}
	var vs []*version
	for _, l := range letters {
		if l.kind == other {
			continue
		}
		i := slices.IndexFunc(vs, func(v *version) bool { return v.n == l.version && v.total == l.Total })
		if i < 0 {
			i = len(vs)
			vs = append(vs, &version{n: l.version, total: l.Total, patches: map[int]*letter{}, empty: map[int]*letter{}, copies: map[*letter][]*letter{}})
		}
		if err := vs[i].add(l); err != nil {
			return nil, err
		}
	}
	vs = slices.DeleteFunc(vs, func(v *version) bool { return len(v.patches) == 0 })
	slices.SortStableFunc(vs, func(a, b *version) int {
		if a.n != b.n {
			return b.n - a.n
		}
		return b.total - a.total
	})
	return vs, nil
}

// number gives patches without numbers theirs: 1/1 where there is one of its version. Several are a series where nothing
// but git format-patch has been at them: it writes no Message-Id, and they stand in its order.
func number(letters []*letter) error {
	by := map[int][]*letter{}
	for _, l := range letters {
		if l.kind == patch && l.Total == 0 && (l.hasDiff() || l.broken != nil) {
			by[l.version] = append(by[l.version], l)
		} else if l.kind == patch && l.Total == 0 {
			l.kind = other
		}
	}
	for _, ls := range by {
		ls = slices.CompactFunc(ls, func(a, b *letter) bool { return a.same(b) })
		for i, l := range ls {
			if l.Number, l.Total = i+1, len(ls); len(ls) > 1 && l.ID != "" {
				return ls[1].errorf("it is a patch without a number, as message %d is, and what their order is nobody knows; name one with --message-id", ls[0].n)
			}
		}
	}
	for _, l := range letters { // the copies that were passed over
		if l.kind == patch && l.Total == 0 {
			for _, first := range by[l.version] {
				if first.Total > 0 && first.same(l) {
					l.Number, l.Total = first.Number, first.Total
				}
			}
		}
	}
	return nil
}

func (l *letter) hasDiff() bool {
	return strings.HasPrefix(l.Body, "diff --git ") || strings.Contains(l.Body, "\ndiff --git ")
}

// same tells two copies of one message, which may have come in different ways.
func (l *letter) same(m *letter) bool {
	return l.Subject == m.Subject && l.From == m.From && strings.TrimRight(l.Body, " \n") == strings.TrimRight(m.Body, " \n") &&
		(l.broken == nil) == (m.broken == nil)
}

// add puts a letter into its version. A second one in the same place has to be the same.
func (v *version) add(l *letter) error {
	first := v.patches[l.Number]
	switch {
	case l.kind == cover:
		first = v.cover
	case !l.hasDiff() && l.broken == nil:
		if v.empty[l.Number] == nil {
			v.empty[l.Number] = l
		}
		return nil
	}
	switch {
	case first == nil && l.kind == cover:
		v.cover = l
	case first == nil:
		v.patches[l.Number] = l
	case first.same(l):
		v.copies[first] = append(v.copies[first], l)
	default:
		return l.errorf("%q is there twice, and the other (message %d, line %d) differs; name the thread with --message-id, or take one of them out",
			shorten(l.Subject), first.n, first.line)
	}
	return nil
}

// all lists the letters of a version with the patch that each is about: 0 for the cover letter.
func (v *version) all() map[*letter]int {
	out := map[*letter]int{}
	put := func(l *letter, n int) {
		out[l] = n
		for _, c := range v.copies[l] {
			out[c] = n
		}
	}
	if v.cover != nil {
		put(v.cover, 0)
	}
	for n, l := range v.patches {
		put(l, n)
	}
	return out
}

// thread returns the letters that hang together with the one that has the id.
func thread(letters []*letter, id string) ([]*letter, error) {
	id = bareID(id)
	group := map[string]string{} // union-find over Message-Ids
	find := func(x string) string {
		for group[x] != "" && group[x] != x {
			if next := group[group[x]]; next != "" {
				group[x] = next
			}
			x = group[x]
		}
		return x
	}
	have := false
	for _, l := range letters {
		have = have || l.ID == id
		for _, p := range l.parents {
			if a, b := find(l.ID), find(p); a != b && l.ID != "" {
				group[a] = b
			}
		}
	}
	if !have {
		return nil, fmt.Errorf("no message has the Message-Id %s", shorten(id))
	}
	var out []*letter
	for _, l := range letters {
		if l.ID != "" && find(l.ID) == find(id) {
			out = append(out, l)
		}
	}
	return out, nil
}

// build makes patches of the letters of a version.
func (v *version) build(trailers map[int][]string) ([]*patches.Patch, error) {
	var out []*patches.Patch
	for n := 1; n <= v.total; n++ {
		l := v.patches[n]
		if l.broken != nil {
			return nil, l.errorf("%w", l.broken)
		}
		if l.senders != 1 {
			return nil, l.errorf("it has no From: with one address")
		}
		if !utf8.ValidString(l.Subject) {
			return nil, l.errorf("the subject is not UTF-8")
		}
		m := l.Message
		m.Number, m.Total = n, v.total
		p, err := m.Patch(fmt.Sprintf("%04d-%s.patch", n, fileName(summary(l.Subject))), trailers[n]...)
		if err != nil {
			return nil, l.patchError(err)
		}
		out = append(out, p)
	}
	return out, nil
}

// patchError names the line of the message's body that is wrong.
func (l *letter) patchError(err error) error {
	var bad *patches.InputError
	switch {
	case errors.As(err, &bad) && bad.Line > 0:
		e := l.errorf("line %d of its body: %s", bad.Line, bad.Msg)
		e.Err = err
		return e
	case bad != nil:
		e := l.errorf("%s", bad.Msg)
		e.Err = err
		return e
	}
	return l.errorf("%w", err)
}

// ownID is the series' id where the thread was made by this program.
func (v *version) ownID() string {
	first := v.cover
	if first == nil {
		first = v.patches[1]
	}
	id, _, ok := mail.SeriesOf(first.ID)
	if !ok {
		return ""
	}
	return id
}
