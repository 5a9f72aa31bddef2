// SPDX-License-Identifier: Apache-2.0

package lint

import (
	"regexp"
	"strings"
)

// prose returns the lines of the message above its tags.
func (m *Message) prose() []Line {
	end := len(m.Text)
	for _, t := range m.Tags {
		if t.Block {
			end = min(end, t.Index)
		}
	}
	return m.Text[:end]
}

// templateForm is what git format-patch and b4 write where a person has to.
var templateForm = regexp.MustCompile(`\*\*\* (SUBJECT|BLURB) HERE \*\*\*|\bEDITME\b`)

func bodyEmpty(p *pass, m *Message) {
	if t := templateForm.FindString(m.Subject.Full); t != "" {
		p.find(m, m.Subject.Line, "the subject is still the template's, %s; write what it is about", quote(t))
	}
	for _, l := range m.Text {
		if t := templateForm.FindString(l.Text); t != "" {
			p.find(m, l.No, "the text is still the template's, %s; write what it is about", quote(t))
		}
	}
	tags := map[int]bool{}
	for _, t := range m.Tags {
		tags[t.Index] = true
	}
	for i, l := range m.Text {
		text := strings.TrimSpace(l.Text)
		if m.Kind == Cover && (text == "-- " || text == "--" || statForm.MatchString(l.Text)) {
			break
		}
		if text != "" && !tags[i] && !baseForm.MatchString(text) {
			return
		}
	}
	if m.Kind == Cover {
		p.find(m, m.Subject.Line, "the cover letter says nothing; write what the series is for, what was measured and what is open")
		return
	}
	p.find(m, m.Subject.Line, "the message is empty; write why the patch is needed, what it does, and what it costs")
}

var (
	statForm   = regexp.MustCompile(`^ \S.* \| +([0-9]+|Bin)\b|^ [0-9]+ files? changed`)
	pathForm   = regexp.MustCompile(`^\s*(?:[\w.+-]*/)+[\w.+-]+:|^\s*[\w.+-]+\.[chS]:[0-9]+|^\s*(In file included )?from \S+:[0-9]+`)
	longTag    = regexp.MustCompile(`(?i)^\s*(fixes|link|closes|buglink|lore|change-id|base-commit|prerequisite-patch-id|[a-z-]+-by|cc)\s*:`)
	dumpForm   = regexp.MustCompile(`^\s*(WARNING|BUG|INFO|Oops|Kernel panic|general protection fault)\b.*:|^\s*\[\s*[0-9]+\.[0-9]{3,6}\s*\]|^\s*\[<[0-9a-fA-F]{8,}>\]|^(\s+\w+:\s+[0-9a-fA-F]+){3}|^\s*#[0-9]+\s*\[[0-9a-fA-F]+\]|^\s*(Call [Tt]race|RIP|Code|Modules linked in):`)
	rangeForm  = regexp.MustCompile(`(?i)^(range|inter)-?diff\b.*:?\s*$`)
	commitLine = regexp.MustCompile(`^\s*commit [0-9a-f]{12,40} \("`)
	tableForm  = regexp.MustCompile(`^\{\{.*\}\}$`)
)

// bodyLineLength warns once for each message: who wraps one line wraps all.
func bodyLineLength(p *pass, m *Message) {
	dump := false
	for _, l := range m.Text {
		t := strings.TrimRight(l.Text, " \t")
		switch {
		case t == "":
			dump = false
			continue
		case dumpForm.MatchString(t):
			dump = true
		case m.Kind == Cover && (t == "--" || rangeForm.MatchString(t)):
			return // from here on there are no lines that a person wraps
		}
		if dump || len(t) <= 75 {
			continue
		}
		n := columns(t)
		if n <= 75 || longTag.MatchString(t) || statForm.MatchString(t) || pathForm.MatchString(t) || commitLine.MatchString(t) || tableForm.MatchString(t) ||
			strings.Contains(t, "://") || !strings.ContainsAny(strings.TrimSpace(t), " \t") {
			continue
		}
		p.find(m, l.No, "the line has %d columns; wrap the text at 75", n)
		return
	}
}

var diffForm = regexp.MustCompile(`^\s*(diff --git a/|--- a/\S|\+\+\+ b/\S|@@ -[0-9]+(,[0-9]+)? \+[0-9]+(,[0-9]+)? @@)`)

func bodyDiff(p *pass, m *Message) {
	if m.Kind != Patch {
		return
	}
	for _, l := range m.Text {
		if diffForm.MatchString(l.Text) {
			p.find(m, l.No, "a diff in the message; patch(1) would apply it, and git am may end the message here: describe it, or put > before its lines")
			return
		}
	}
	if m.rule > 0 {
		return
	}
	// The message ends where the first diff begins, even if that was only to be an example.
	for _, l := range m.diffLines() {
		if strings.TrimRight(l.Text, " ") == "---" {
			p.find(m, m.Diff[0].No, "a diff in the message: git am takes the message to end here and not at the --- of line %d; put > before its lines", l.No)
			return
		}
	}
}

func bodyHashLine(p *pass, m *Message) {
	for _, l := range m.Text {
		if !strings.HasPrefix(l.Text, "#") {
			continue
		}
		if m.Kind == Cover {
			p.warnf(m, l.No, "the line begins with #, which git strips as a comment when somebody edits the text; indent it")
		} else {
			p.find(m, l.No, "the line begins with #, which git strips as a comment when the message is edited; indent it")
		}
		return
	}
}

var gerritForm = regexp.MustCompile(`^Change-Id:\s*I[0-9a-f]{8,}`)

func bodyChangeID(p *pass, m *Message) {
	for _, l := range m.Text {
		if gerritForm.MatchString(l.Text) || m.Kind == Patch && len(l.Text) > 10 && strings.EqualFold(l.Text[:10], "change-id:") {
			p.find(m, l.No, "Change-Id is of use only to your own review system; take it out before you post, or put it below ---")
		}
	}
}

var (
	historyForm = regexp.MustCompile(`(?i)^\W{0,3}(changes?|changelog|change log|history|changed)\s*((in|since|from|for|between|to)\s+)?\(?(the )?(previous |last )?(version|v|patch v?|rev|revision|rfc)\s*\s*[0-9]*\b\s*([:,\[(<-].{0,80})?$`)
	arrowForm   = regexp.MustCompile(`(?i)^\W{0,3}(rfc\s*)?v[0-9]+\s*(->|=>|→|-+>|\.\.)\s*v[0-9]+`)
	listForm    = regexp.MustCompile(`(?i)^\W{0,3}v[0-9]+\s*(:|- )`)
	titleForm   = regexp.MustCompile(`(?i)^\W{0,3}(changelog|change log|version history|revision history|patch history|changes)\s*:?\s*$`)
)

func versionHistory(p *pass, m *Message) {
	if m.Kind != Patch {
		return
	}
	for i, l := range m.Text {
		next := ""
		if i+1 < len(m.Text) {
			next = m.Text[i+1].Text
		}
		if historyForm.MatchString(l.Text) || arrowForm.MatchString(l.Text) || listForm.MatchString(l.Text) && m.Subject.Version > 1 ||
			titleForm.MatchString(l.Text) && listForm.MatchString(next) {
			p.find(m, l.No, "what changed between versions does not go into the commit; move it below the ---, or into the cover letter")
			return
		}
	}
}
