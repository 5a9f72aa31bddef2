// SPDX-License-Identifier: Apache-2.0

package lint

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

var stuckVersion = regexp.MustCompile(`(?i)^PATCHv[0-9]+$`)

func subjectPrefix(p *pass, m *Message) {
	s := m.Subject
	if s.Full == "" {
		p.find(m, s.Line, "there is no subject; write [PATCH] subsystem: what the patch does")
		return
	}
	if s.Bracket == "" {
		p.find(m, s.Line, "the subject %s has no [PATCH]; git format-patch puts it there", quote(s.Full))
		return
	}
	words := strings.Fields(s.Bracket)
	number, version := -1, -1
	for i, w := range words {
		switch {
		case stuckVersion.MatchString(w):
			p.find(m, s.Line, "[%s]: write PATCH v%d, in two words, as git format-patch -v does", clean(s.Bracket), s.Version)
			return
		case numberForm.MatchString(w):
			number = i
		case versionForm.MatchString(w):
			version = i
			if w[0] == 'V' {
				p.find(m, s.Line, "[%s]: write v%d with a small v", clean(s.Bracket), s.Version)
			}
		}
	}
	switch {
	case number >= 0 && number != len(words)-1:
		p.find(m, s.Line, "[%s]: the number %s comes last: [PATCH v2 1/3]", clean(s.Bracket), words[number])
	case version >= 0 && number >= 0 && version > number:
		p.find(m, s.Line, "[%s]: the version comes before the number: [PATCH v2 1/3]", clean(s.Bracket))
	case !slices.ContainsFunc(words, func(w string) bool { return strings.EqualFold(w, "PATCH") }) && !s.RFC:
		p.find(m, s.Line, "[%s]: the word PATCH is wanting", clean(s.Bracket))
	case slices.ContainsFunc(words, func(w string) bool { return strings.EqualFold(w, "PATCH") && w != "PATCH" }):
		p.find(m, s.Line, "[%s]: write PATCH in capitals", clean(s.Bracket))
	}
}

func subjectNumber(p *pass, m *Message) {
	s := m.Subject
	if !s.Numbered() {
		return
	}
	width := len(strconv.Itoa(s.M))
	switch {
	case s.M == 0 || s.N > s.M:
		p.find(m, s.Line, "[%s]: there is no part %d of %d", clean(s.Bracket), s.N, s.M)
	case s.Width != width:
		p.find(m, s.Line, "[%s]: write the number as %0*d/%d, as wide as that of the last part, so that the parts sort", clean(s.Bracket), width, s.N, s.M)
	}
}

// seriesParts looks for parts that are missing, there twice, or counted differently.
func seriesParts(p *pass, t *Thread) {
	first := t.first()
	if len(t.Patches) > 1 {
		for _, m := range t.Patches {
			if !m.Subject.Numbered() && m.Subject.Bracket != "" {
				p.find(m, m.Subject.Line, "the patch has no number in a thread of %d patches; git format-patch -n gives it one", len(t.Patches))
				return
			}
		}
	}
	total := first.Subject.M
	seen := map[int]*Message{}
	for _, m := range t.Messages {
		s := m.Subject
		if !s.Numbered() {
			continue
		}
		if s.M != total {
			p.find(m, s.Line, "[%s]: counts %d parts, and the first message %d", clean(s.Bracket), s.M, total)
			return
		}
		if have := seen[s.N]; have != nil {
			p.find(m, s.Line, "part %d is there twice; the other is in %s", s.N, place(have))
			continue
		}
		seen[s.N] = m
	}
	if total > 10_000 || len(seen) == 0 {
		return
	}
	var missing []string
	for n := 1; n <= total; n++ {
		if seen[n] == nil {
			missing = append(missing, strconv.Itoa(n))
		}
	}
	if len(missing) > 0 {
		list := strings.Join(missing[:min(len(missing), 10)], ", ")
		if len(missing) > 10 {
			list += fmt.Sprintf(" and %d more", len(missing)-10)
		}
		p.find(first, first.Subject.Line, "of %d patches, these are missing: %s; a series is sent as a whole", total, list)
	}
}

func place(m *Message) string { return fmt.Sprintf("%s:%d", clean(m.File), m.Line) }

func subjectVersion(p *pass, t *Thread) {
	first := t.first()
	for _, m := range t.Messages {
		s := m.Subject
		switch {
		case s.Bracket == "":
		case s.Version != first.Subject.Version:
			p.find(m, s.Line, "[%s]: is version %d, and the first message of the thread is version %d; give all parts the same", clean(s.Bracket), s.Version, first.Subject.Version)
		case !slices.Equal(s.Tags, first.Subject.Tags) || s.RFC != first.Subject.RFC || s.Resend != first.Subject.Resend:
			p.find(m, s.Line, "[%s]: the first message of the thread has [%s]; they differ in more than the number", clean(s.Bracket), clean(first.Subject.Bracket))
		}
	}
}

var (
	subsystemForm = regexp.MustCompile(`^(?:Revert ")?[\pL\pN][\pL\pN ._/,+@*{}|()&-]*: *\S`)
	fileNameForm  = regexp.MustCompile(`(?i)^[\w./+-]+\.(c|h|s|rs|rst|txt|py|sh|pl|dts|dtsi|yaml|patch|diff)$|^Makefile$|^Kconfig$`)
)

func subjectSubsystem(p *pass, m *Message) {
	s := m.Subject
	if m.Kind == Cover || s.Summary == "" || subsystemForm.MatchString(s.Summary) {
		if s.Summary == "" && s.Full != "" {
			p.find(m, s.Line, "the subject has nothing after the brackets; write subsystem: what the patch does")
		}
		return
	}
	p.find(m, s.Line, "%s names no subsystem; write subsystem: summary, as git log of the files does", quote(s.Summary))
}

func subjectLength(p *pass, m *Message) {
	if strings.HasPrefix(m.Subject.Summary, `Revert "`) {
		return // git makes it, of a summary that was short enough
	}
	if n := columns(m.Subject.Summary); n > 75 {
		p.find(m, m.Subject.Line, "the summary has %d columns; make it 75 at most, without the [PATCH]", n)
	}
}

// columns is the width of a text: a tab counts to the next multiple of eight, as a terminal has it.
func columns(s string) int {
	if strings.IndexByte(s, '\t') < 0 {
		return utf8.RuneCountInString(s)
	}
	n := 0
	for _, r := range s {
		if r == '\t' {
			n += 8 - n%8
		} else {
			n++
		}
	}
	return n
}

func subjectUnique(p *pass, t *Thread) {
	seen := map[string]*Message{}
	for _, m := range t.Patches {
		s := m.Subject.Summary
		if have := seen[s]; have != nil && s != "" {
			if have.Subject.Numbered() && have.Subject.N == m.Subject.N {
				continue // the same part, which is another rule's finding
			}
			p.find(m, m.Subject.Line, "%s is the summary of %s, too; a summary is how a commit is named, so say what sets them apart", quote(s), place(have))
			continue
		}
		seen[s] = m
	}
}

func subjectFileName(p *pass, m *Message) {
	s := m.Subject.Summary
	if fileNameForm.MatchString(s) {
		p.find(m, m.Subject.Line, "the summary is a file name; say what the patch does")
		return
	}
	area, what, ok := strings.Cut(s, ":")
	if !ok {
		return
	}
	if fileNameForm.MatchString(strings.TrimSpace(what)) {
		p.find(m, m.Subject.Line, "%s is only a file name; say what the patch does to it", quote(strings.TrimSpace(what)))
	} else if fileNameForm.MatchString(area) && strings.Contains(area, "/") {
		p.warnf(m, m.Subject.Line, "%s is a path; name the subsystem, as git log of that file does", quote(area))
	}
}

var toolForm = regexp.MustCompile(`(?i)\b(checkpatch|smatch|coccicheck)(\.pl)?\b([^:]|$)|` +
	`\bsparse(\.pl)? (warning|error|issue|report|complaint|finding|problem)|\b(by|with|from|for|make) sparse\b`)

func subjectTool(p *pass, m *Message) {
	if t := toolForm.FindString(m.Subject.Summary); t != "" {
		p.find(m, m.Subject.Line, "%s names the tool that found it; say what the patch does, and credit the tool in the message", quote(m.Subject.Summary))
	}
}

func subjectTree(p *pass, t *Thread) {
	tags := p.profile.Tags
	if len(tags) == 0 {
		return
	}
	m := t.first()
	s := m.Subject
	for _, w := range s.Tags {
		if slices.Contains(tags, w) {
			return
		}
		if slices.Contains(tags, strings.ToLower(w)) {
			p.find(m, s.Line, "[%s]: write the tree in small letters, %s", clean(s.Bracket), strings.ToLower(w))
			return
		}
	}
	if s.Bracket != "" {
		p.find(m, s.Line, "[%s]: name the tree that the series is for, such as [PATCH %s]", clean(s.Bracket), tags[min(1, len(tags)-1)])
	}
}

// phrase is what follows the last subsystem.
func phrase(summary string) string {
	i := strings.LastIndex(summary, ": ")
	if i < 0 {
		return summary
	}
	return strings.TrimSpace(summary[i+2:])
}

func subjectCase(p *pass, m *Message) {
	if m.Kind == Cover || !strings.Contains(m.Subject.Summary, ": ") {
		return
	}
	what := phrase(m.Subject.Summary)
	word, _, _ := strings.Cut(what, " ")
	if strings.ContainsAny(word, "_()->./0123456789") {
		return // a symbol keeps its letters
	}
	if r, _ := utf8.DecodeRuneInString(word); unicode.IsLower(r) {
		p.find(m, m.Subject.Line, "%s begins with a small letter; %s wants a capital one after the subsystem", quote(what), p.profile.Name)
	}
}

func subjectFullStop(p *pass, m *Message) {
	if s := m.Subject.Summary; strings.HasSuffix(s, ".") && !strings.HasSuffix(s, "..") {
		p.find(m, m.Subject.Line, "%s ends with a full stop; leave it out", quote(s))
	}
}

// clean is foreign text without its control characters.
func clean(s string) string {
	q := quote(s)
	return q[1 : len(q)-1]
}
