// SPDX-License-Identifier: Apache-2.0

package lint

import (
	"errors"
	"regexp"
	"sort"
	"strings"
)

// ErrNoCommit says that there is no commit of a name.
var ErrNoCommit = errors.New("no such commit")

// Commits answers from a git repository of the kernel.
type Commits interface {
	// Commit returns the commit whose id begins with hex digits, or an error that wraps ErrNoCommit.
	Commit(id string) (*Commit, error)
}

// A Commit is what rules ask about one.
type Commit struct {
	ID       string // all 40 digits
	Subject  string
	Author   Person
	Ancestor bool // of what the series applies to
}

// A reference is a place of the message that names a commit.
type reference struct {
	line  int
	id    string
	title string // "" where none follows
	bare  bool   // the title is not in parentheses
	short bool   // less than 12 digits
}

var (
	refForm = regexp.MustCompile(`(?i)\bcommits?\s+([0-9a-f]{5,40})\b`)
	// exemptRef are the forms that git itself writes, and those of the stable trees.
	exemptRef  = regexp.MustCompile(`(?i)^\s*(\(cherry picked from commit|This reverts commit|\[ ?upstream commit|commit [0-9a-f]{40} upstream)`)
	beforeRef  = regexp.MustCompile(`(?i)\brevert(s|ed|ing)?\s+$`)
	upstream   = regexp.MustCompile(`(?i)^\W{0,2}\s+upstream\b`)
	afterRef   = regexp.MustCompile(`^,?\s*(\(?)\s*"((?:[^"]|"[^)])*)"\s*\)?`)
	digitsForm = regexp.MustCompile(`[0-9]`)
)

// references finds the commits that a message names outside of its Fixes tags.
func (m *Message) references() []reference {
	var text strings.Builder
	var starts, numbers []int
	for _, l := range m.Text {
		t := l.Text
		if exemptRef.MatchString(t) || fixesForm.MatchString(t) {
			t = ""
		}
		starts, numbers = append(starts, text.Len()), append(numbers, l.No)
		text.WriteString(strings.TrimPrefix(t, "> ") + "\n")
	}
	s := text.String()
	var out []reference
	for _, at := range refForm.FindAllStringSubmatchIndex(s, -1) {
		id := s[at[2]:at[3]]
		if len(id) < 40 && !digitsForm.MatchString(id) {
			continue // a word, such as "commit added"
		}
		if beforeRef.MatchString(s[max(0, at[0]-12):at[0]]) || upstream.MatchString(s[at[3]:]) {
			continue // the forms of git revert and of the stable trees, in the middle of a line
		}
		r := reference{line: numbers[sort.SearchInts(starts, at[0]+1)-1], id: strings.ToLower(id), short: len(id) < 12}
		if a := afterRef.FindStringSubmatch(s[at[3]:min(len(s), at[3]+300)]); a != nil {
			r.bare = a[1] == ""
			r.title = strings.Join(strings.Fields(a[2]), " ")
		}
		out = append(out, r)
	}
	return out
}

func commitReference(p *pass, m *Message) {
	named := map[string]bool{}
	for _, t := range m.tags("Fixes") {
		if g := fixesGood.FindStringSubmatch(t.Key + ": " + t.Value); g != nil {
			named[g[1][:12]] = true
		}
	}
	for _, r := range m.references() {
		switch {
		case r.short:
			p.find(m, r.line, `commit %s: write 12 digits and the title: commit 0123456789ab ("subsystem: title"); git config core.abbrev 12`, r.id)
		case r.title == "" && !named[r.id[:12]]:
			p.find(m, r.line, `commit %s: write its title behind it: commit %.12s ("subsystem: title")`, r.id, r.id)
		}
		if r.bare && !r.short {
			p.warnf(m, r.line, `commit %.12s: put its title in parentheses: ("subsystem: title")`, r.id)
		}
		if len(r.id) >= 12 && r.title != "" {
			named[r.id[:12]] = true
		}
	}
}

func commitExists(p *pass, m *Message) {
	for _, r := range m.references() {
		if r.short {
			continue
		}
		c, err := p.Commits.Commit(r.id)
		switch {
		case errors.Is(err, ErrNoCommit):
			p.find(m, r.line, "commit %s is not in the repository; a reader has to find it in mainline", r.id)
		case err != nil:
			p.warnf(m, r.line, "commit %s could not be looked up: %s", r.id, clean(err.Error()))
		case r.title != "" && r.title != c.Subject:
			p.find(m, r.line, "commit %.12s is titled %s, and not %s", r.id, quote(c.Subject), quote(r.title))
		}
	}
}

var (
	fixesForm = regexp.MustCompile(`(?i)^\s*fixes\s*:`)
	fixesGood = regexp.MustCompile(`^Fixes: ([0-9a-f]{12,40}) \("(.+)"\)$`)
	fixesID   = regexp.MustCompile(`(?i)^\s*fixes\s*:\s*(?:commit\s+)?([0-9a-f]{5,40})\b`)
)

func fixesFormRule(p *pass, m *Message) {
	const want = `write Fixes: 0123456789ab ("subsystem: exact title"), in one line`
	if m.Kind != Patch {
		return
	}
	for i, l := range m.Text {
		if !fixesForm.MatchString(l.Text) {
			continue
		}
		id := fixesID.FindStringSubmatch(l.Text)
		block := i >= m.block
		switch {
		case fixesGood.MatchString(strings.TrimRight(l.Text, " \t")):
			if !block {
				p.find(m, l.No, "Fixes: stands apart from the other tags; take out the empty lines between them, or git does not see it")
			}
		case id == nil && strings.Contains(l.Text, "://"):
			p.find(m, l.No, "Fixes: names the commit that brought the bug; for a report write Closes: URL")
		case id == nil && !block:
			// Prose: "Fixes: the race below".
		case id == nil:
			p.find(m, l.No, "%s names no commit; %s", quote(l.Text), want)
		case len(id[1]) < 12:
			p.find(m, l.No, "Fixes: has %d digits of the commit; %s", len(id[1]), want)
		case strings.Contains(l.Text, `("`) && !strings.Contains(l.Text, `")`):
			p.find(m, l.No, "Fixes: is wrapped; %s, however long", want)
		default:
			p.find(m, l.No, "%s is not of the right form; %s", quote(l.Text), want)
		}
	}
}

func fixesExists(p *pass, m *Message) {
	for _, t := range m.tags("Fixes") {
		g := fixesGood.FindStringSubmatch(t.Key + ": " + t.Value)
		if g == nil {
			continue
		}
		c, err := p.Commits.Commit(g[1])
		switch {
		case errors.Is(err, ErrNoCommit):
			p.find(m, t.Line, "commit %s is not in the repository; name one that is in the tree that the patch is for", g[1])
		case err != nil:
			p.warnf(m, t.Line, "commit %s could not be looked up: %s", g[1], clean(err.Error()))
		case c.Subject != g[2]:
			p.find(m, t.Line, "commit %.12s is titled %s; write exactly that", g[1], quote(c.Subject))
		case !c.Ancestor:
			p.find(m, t.Line, "commit %.12s is not an ancestor of the base; a patch cannot fix what is not there", g[1])
		}
	}
}

var needsFixes = regexp.MustCompile(`\b(BUG: )?(KASAN|UBSAN|KMSAN|KCSAN|KFENCE): |Call [Tt]race:|\bstable@|\b[Ss]yzkaller\b|\bsyzbot\b`)

func fixesMissing(p *pass, m *Message) {
	if m.Kind != Patch || len(m.tags("Fixes")) > 0 || strings.HasPrefix(m.Subject.Summary, "Revert ") {
		return
	}
	for _, l := range m.Text {
		if w := needsFixes.FindString(l.Text); w != "" {
			p.find(m, l.No, `the message has %s and no Fixes:; name the commit that brought the bug: Fixes: 0123456789ab ("title")`, quote(strings.TrimRight(w, " :")))
			return
		}
	}
}
