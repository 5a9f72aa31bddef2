// SPDX-License-Identifier: Apache-2.0

package lint

import (
	"slices"
	"strings"
)

// SamePatches tells whether two postings have the same patches: summaries, messages and diffs. Authors and sign-offs do not
// count, as who sends a stored series puts in theirs, nor do numbers, notes below --- and cover letters.
func SamePatches(a, b []*Message) bool {
	patch := func(m *Message) bool { return m.Kind == Patch }
	pa, pb := filter(a, patch), filter(b, patch)
	return len(pa) > 0 && slices.EqualFunc(pa, pb, func(x, y *Message) bool { return x.essence() == y.essence() })
}

func filter(ms []*Message, keep func(*Message) bool) []*Message {
	var out []*Message
	for _, m := range ms {
		if keep(m) {
			out = append(out, m)
		}
	}
	return out
}

// essence is what SamePatches compares, with white space as git am leaves it.
func (m *Message) essence() string {
	var b strings.Builder
	b.WriteString(m.Subject.Summary + "\n")
	for _, l := range m.Text {
		t := strings.TrimRight(l.Text, " \t")
		if t != "" && !strings.HasPrefix(t, "Signed-off-by:") {
			b.WriteString(t + "\n")
		}
	}
	b.WriteByte(0)
	for _, l := range m.diffLines() {
		b.WriteString(l.Text + "\n")
	}
	return strings.TrimRight(b.String(), "\n")
}
