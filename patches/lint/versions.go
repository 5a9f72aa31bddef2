// SPDX-License-Identifier: Apache-2.0

package lint

import (
	"fmt"
	"slices"
	"strings"
)

// Runs answers from recorded runs of exactly the patches that are judged.
type Runs interface {
	// Prefix returns what is known of the kernel with patches 1 to n, one for each architecture of the series.
	Prefix(n int) []Run
}

// A Run is the outcome of one kernel.
type Run struct {
	Arch   string
	Done   bool   // it was built and run
	Pass   bool   // it was built without errors, and its tests passed
	Detail string // such as "2 of 12 tests failed"; "" where there is nothing to say
	Source string // the record
}

func prefixRuns(p *pass, t *Thread) {
	for i, m := range t.Patches {
		n := i + 1
		if m.Subject.Numbered() {
			n = m.Subject.N
		}
		for _, r := range p.Runs.Prefix(n) {
			detail := ""
			if r.Detail != "" {
				detail = ": " + clean(r.Detail)
			}
			switch {
			case !r.Done:
				p.warnf(m, m.Subject.Line, "the kernel with patches 1 to %d was not run on %s, for exactly these patches; run the series with --each", n, clean(r.Arch))
			case !r.Pass:
				p.errorf(m, m.Subject.Line, "the kernel with patches 1 to %d fails on %s%s (%s); every prefix of a series has to build and run, for git bisect", n, clean(r.Arch), detail, clean(r.Source))
			}
		}
	}
}

// A posting is the one before, with its patches by their summaries.
type posting struct {
	*Thread
	bySummary map[string]*Message
}

// lastPosting is, of all threads among the messages, the one of the last version; nil where there is none.
func lastPosting(ms []*Message) *posting {
	var last *Thread
	for _, t := range Threads(ms) {
		if last == nil || t.version() >= last.version() {
			last = t
		}
	}
	if last == nil {
		return nil
	}
	p := &posting{last, map[string]*Message{}}
	for _, m := range last.Patches {
		if p.bySummary[m.Subject.Summary] == nil {
			p.bySummary[m.Subject.Summary] = m
		}
	}
	return p
}

// before finds the patch that this one came from: by its summary, or by its number where it changes the same files.
func (p *posting) before(m *Message) *Message {
	if o := p.bySummary[m.Subject.Summary]; o != nil {
		return o
	}
	if n := m.Subject.N; n > 0 && n <= len(p.Patches) && slices.Equal(p.Patches[n-1].paths(), m.paths()) {
		return p.Patches[n-1]
	}
	return nil
}

// content is what a resend must not change: everything but notes below --- and sign-offs that a forwarder adds.
func (m *Message) content() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s\n", m.Subject.Summary, m.Author)
	for _, lines := range [][]Line{m.Text, m.diffLines()} {
		for _, l := range lines {
			if m.Kind == Cover && strings.HasPrefix(l.Text, "-- ") {
				break
			}
			if strings.HasPrefix(l.Text, "index ") {
				continue
			}
			b.WriteString(strings.TrimRight(l.Text, " \t") + "\n")
		}
	}
	return strings.TrimRight(b.String(), "\n")
}

func resendUnmodified(p *pass, t *Thread) {
	prev := p.posting
	if prev == nil || !t.first().Subject.Resend {
		return
	}
	if len(t.Patches) != len(prev.Patches) {
		p.find(t.first(), t.first().Subject.Line, "a RESEND of %d patches, and the posting before had %d; what was changed is sent as v%d", len(t.Patches), len(prev.Patches), t.version()+1)
		return
	}
	if t.version() != prev.version() {
		p.find(t.first(), t.first().Subject.Line, "a RESEND of version %d, and the posting before was version %d; sent again is what was sent last", t.version(), prev.version())
		return
	}
	differs := func(m, old *Message) {
		if m.content() != old.content() {
			p.find(m, m.Subject.Line, "a RESEND whose message or diff is not that of %s; send it as v%d, and say what changed", place(old), t.version()+1)
		}
	}
	switch {
	case t.Cover != nil && prev.Cover != nil:
		differs(t.Cover, prev.Cover)
	case t.Cover != nil:
		p.find(t.Cover, t.Cover.Subject.Line, "a RESEND with a cover letter, and the posting before had none; send it as v%d", t.version()+1)
	case prev.Cover != nil:
		p.find(t.first(), t.first().Subject.Line, "a RESEND without the cover letter of the posting before, %s; send the whole thread again", place(prev.Cover))
	}
	for i, m := range t.Patches {
		differs(m, prev.Patches[i])
	}
}

// changelog returns what the notes of a patch and the cover letter say.
func (p *pass) changelog(m *Message) string {
	var b strings.Builder
	for _, lines := range [][]Line{m.Notes, coverText(p.thread)} {
		for _, l := range lines {
			b.WriteString(l.Text + "\n")
		}
	}
	b.WriteString(m.log)
	return b.String()
}

func coverText(t *Thread) []Line {
	if t.Cover == nil {
		return nil
	}
	return t.Cover.Text
}

// substantial tells whether more than a tenth of the changed lines differ, white space aside.
func substantial(a, b *Message) bool {
	count := func(m *Message) (map[string]int, int) {
		lines, n := map[string]int{}, 0
		for _, f := range m.Files {
			for sign, ls := range map[string][]Line{"+": f.Added, "-": f.Deleted} {
				for _, l := range ls {
					if key := strings.Join(strings.Fields(l.Text), " "); key != "" {
						lines[sign+f.New+":"+key]++
						n++
					}
				}
			}
		}
		return lines, n
	}
	before, nb := count(a)
	after, na := count(b)
	same := 0
	for k, n := range before {
		same += min(n, after[k])
	}
	most := max(nb, na)
	return most > 0 && (most-same)*10 > most
}

func staleTags(p *pass, m *Message) {
	if p.posting == nil || m.Kind != Patch {
		return
	}
	old := p.posting.before(m)
	if old == nil || len(old.tags("Reviewed-by", "Tested-by")) == 0 {
		return
	}
	log := p.changelog(m)
	changed := substantial(old, m)
	for _, t := range old.tags("Reviewed-by", "Tested-by") {
		now := slices.IndexFunc(m.Tags, func(u Tag) bool { return u.is(t.Key) && u.Person.same(t.Person) })
		said := strings.Contains(log, t.Person.Name) && t.Person.Name != "" || strings.Contains(strings.ToLower(log), strings.ToLower(t.Key)) ||
			strings.Contains(strings.ToLower(log), "tags") || strings.Contains(strings.ToLower(log), "r-b")
		switch {
		case now >= 0 && changed && !said:
			p.find(m, m.Tags[now].Line, "the patch has changed much since %s gave the %s; drop it and say so below ---, or say there why it still holds", clean(t.Person.String()), t.Key)
		case now < 0 && !said:
			p.find(m, m.Subject.Line, "the %s of %s is gone, and nothing below --- or in the cover letter says that it was dropped, and why", t.Key, clean(t.Person.String()))
		}
	}
}
