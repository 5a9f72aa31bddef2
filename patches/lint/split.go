// SPDX-License-Identifier: Apache-2.0

package lint

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A Subject is a subject, taken apart.
type Subject struct {
	Line int
	Full string // decoded, in one line

	Reply   bool     // it begins with Re:
	Bracket string   // what stands in the brackets that say PATCH, without them: "PATCH net-next v2 01/12"
	Tags    []string // words of it that are neither PATCH, RFC, RESEND, a version nor a number: "net-next"
	Version int      // 1 where it has none
	RFC     bool
	Resend  bool
	N, M    int    // 0 where it is not numbered
	Width   int    // of n as it is written
	Summary string // what follows the brackets: "subsys: do this"
}

// Numbered tells whether the subject has n/m.
func (s Subject) Numbered() bool { return s.Width > 0 }

var (
	bracketForm = regexp.MustCompile(`^\[([^\[\]]*)\]\s*`)
	patchWord   = regexp.MustCompile(`(?i)\bPATCH|^RFC\b`)
	numberForm  = regexp.MustCompile(`^([0-9]{1,5})/([0-9]{1,5})$`)
	versionForm = regexp.MustCompile(`(?i)^(?:PATCH)?v([0-9]{1,4})$`)
)

func parseSubject(f Field) Subject {
	s := Subject{Line: f.Line, Full: strings.Join(strings.Fields(f.Value), " "), Version: 1}
	rest := s.Full
	for {
		if len(rest) >= 3 && strings.EqualFold(rest[:3], "re:") {
			s.Reply = true
			rest = strings.TrimSpace(rest[3:])
			continue
		}
		m := bracketForm.FindStringSubmatch(rest)
		if m == nil {
			break
		}
		if s.Bracket == "" && patchWord.MatchString(m[1]) {
			s.bracket(m[1])
		}
		rest = rest[len(m[0]):]
	}
	s.Summary = rest
	return s
}

func (s *Subject) bracket(text string) {
	s.Bracket = text
	for w := range strings.FieldsSeq(text) {
		w = strings.Trim(w, ",")
		if m := numberForm.FindStringSubmatch(w); m != nil {
			s.N, _ = strconv.Atoi(m[1])
			s.M, _ = strconv.Atoi(m[2])
			s.Width = len(m[1])
			continue
		}
		if m := versionForm.FindStringSubmatch(w); m != nil {
			s.Version, _ = strconv.Atoi(m[1])
			continue
		}
		switch strings.ToUpper(w) {
		case "PATCH":
		case "RFC":
			s.RFC = true
		case "RESEND", "REPOST":
			s.Resend = true
		case "":
		default:
			s.Tags = append(s.Tags, w)
		}
	}
}

// isDiffStart tells the lines at which git am takes a message to end and the diff to begin (patchbreak in git's
// mailinfo.c).
func isDiffStart(l string) bool {
	if strings.HasPrefix(l, "diff -") || strings.HasPrefix(l, "Index: ") {
		return true
	}
	return len(l) > 4 && strings.HasPrefix(l, "--- ") && l[4] != ' ' && l[4] != '\t'
}

// split takes the lines below the header apart.
func (r *reader) split(lines []Line) error {
	m := r.m
	lines = m.takeInBody(lines)
	end := len(lines)
	rule := -1
	for i, l := range lines {
		if isDiffStart(l.Text) {
			end = i
			break
		}
		if rule < 0 && strings.TrimRight(l.Text, " \t") == "---" {
			rule = i
		}
	}
	m.Diff = lines[end:]
	switch {
	case rule >= 0:
		m.Text, m.Notes, m.rule = lines[:rule], lines[rule+1:end], lines[rule].No
	default:
		m.Text = lines[:end]
	}
	s := m.Subject
	switch {
	case s.Reply:
		m.Kind = Other
	case len(m.Diff) > 0:
		m.Kind = Patch
	case s.Numbered() && s.N == 0:
		m.Kind = Cover
	case s.Bracket != "":
		m.Kind = Patch // one whose diff is wanting, which is a finding
	}
	if m.Kind == Cover {
		// A cover letter may have a --- of its own; there is no message that would end there.
		m.Text, m.Notes = lines, nil
	}
	if m.Kind == Other {
		return nil
	}
	size := 0
	for _, l := range slices.Concat(m.Text, m.Notes) {
		if size += len(l.Text) + 1; size > maxText {
			return r.errorf(l.No, "the text of the message is longer than %d MiB, which is the limit", maxText>>20)
		}
	}
	m.readTags()
	if len(m.Tags) > maxTags {
		return r.errorf(m.Tags[maxTags].Line, "more than %d tags", maxTags)
	}
	m.readDiff()
	if len(m.Files) > maxFiles {
		return r.errorf(m.Files[maxFiles].Line, "a diff of more than %d files", maxFiles)
	}
	return nil
}

var inBodyForm = regexp.MustCompile(`^(From|Date|Subject):[ \t]*(.*)$`)

// takeInBody takes author and subject from the first lines of the body, as git am does.
func (m *Message) takeInBody(lines []Line) []Line {
	i := 0
	for i < len(lines) && strings.TrimSpace(lines[i].Text) == "" {
		i++
	}
	start := i
	for ; i < len(lines); i++ {
		f := inBodyForm.FindStringSubmatch(lines[i].Text)
		if f == nil {
			break
		}
		switch f[1] {
		case "From":
			m.Author, m.InBody = person(f[2]), lines[i].No
		case "Subject":
			full := m.Subject
			m.Subject = parseSubject(Field{Line: lines[i].No, Value: "[" + full.Bracket + "] " + f[2]})
			m.Subject.Reply = full.Reply
		}
	}
	if i == start {
		return lines
	}
	return lines[i:]
}

var (
	tagForm = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9-]*)[ \t]*:[ \t]*(.*)$`)
	// knownTag are the keys that are tags wherever they stand.
	knownTag = regexp.MustCompile(`(?i)^([a-z-]+-by|fixes|closes|link|cc|change-id|depends-on)$`)
)

// readTags finds the tags. In the last paragraph, whatever has the form of one is a tag if most lines are; above it, only
// known keys are.
func (m *Message) readTags() {
	end := len(m.Text)
	for end > 0 && strings.TrimSpace(m.Text[end-1].Text) == "" {
		end--
	}
	block := end
	for block > 0 && strings.TrimSpace(m.Text[block-1].Text) != "" {
		block--
	}
	if m.Kind != Patch {
		block = end
	}
	m.block = block
	for i := 0; i < end; i++ {
		l := m.Text[i]
		f := tagForm.FindStringSubmatch(l.Text)
		if f == nil {
			if n := len(m.Tags); n > 0 && i >= block && m.Tags[n-1].Index == i-1 && l.Text != strings.TrimLeft(l.Text, " \t") {
				m.Tags[n-1].Value += " " + strings.TrimSpace(l.Text)
			}
			continue
		}
		if !knownTag.MatchString(f[1]) && i < block {
			continue
		}
		t := Tag{Key: f[1], Value: strings.TrimSpace(f[2]), Line: l.No, Index: i, Block: i >= block}
		t.Person = person(strings.TrimSpace(cutComment(t.Value)))
		m.Tags = append(m.Tags, t)
	}
}

// cutComment takes "# 5.10+" and the like off an address.
func cutComment(s string) string {
	if i := strings.Index(s, " #"); i >= 0 {
		return s[:i]
	}
	if i := strings.LastIndexByte(s, '>'); i >= 0 {
		return s[:i+1]
	}
	return s
}
