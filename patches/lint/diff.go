// SPDX-License-Identifier: Apache-2.0

package lint

import (
	"regexp"
	"strconv"
	"strings"
)

// A File is one file of a diff.
type File struct {
	Old, New string // "" where it is not there before, or after
	Line     int    // where its part begins
	Added    []Line // without the plus sign
	Deleted  []Line // without the minus sign
}

// IsNew tells whether the patch adds the file.
func (f File) IsNew() bool { return f.Old == "" && f.New != "" }

var hunkForm = regexp.MustCompile(`^@@ -[0-9]{1,9}(?:,([0-9]{1,9}))? \+[0-9]{1,9}(?:,([0-9]{1,9}))? @@`)

// readDiff reads as much of the diff as the rules are about. Whether it applies is not theirs to say, but a hunk that its
// header does not fit was damaged on the way.
func (m *Message) readDiff() {
	if m.Kind != Patch {
		return
	}
	if len(m.Diff) == 0 {
		m.Flaws = append(m.Flaws, Flaw{m.Subject.Line, "there is no diff in the message; a patch goes inline below its ---, not into an attachment"})
		return
	}
	var cur *File
	begin := func(line int) {
		m.Files = append(m.Files, File{Line: line})
		cur = &m.Files[len(m.Files)-1]
	}
	// What follows the last line that begins something is no diff any more. git apply goes on behind a signature, so that
	// alone does not end the diff.
	last := 0
	for i, l := range m.Diff {
		if isDiffStart(l.Text) || strings.HasPrefix(l.Text, "@@ ") || l.Text == "GIT binary patch" {
			last = i
		}
	}
	git, binary := false, false
	for i := 0; i < len(m.Diff); i++ {
		l := m.Diff[i]
		t := l.Text
		switch {
		case strings.HasPrefix(t, "diff --git "):
			begin(l.No)
			git, binary = true, false
			cur.Old, cur.New = gitNames(t)
		case strings.HasPrefix(t, "--- ") && i+1 < len(m.Diff) && strings.HasPrefix(m.Diff[i+1].Text, "+++ "):
			if !git || cur == nil {
				begin(l.No)
			}
			cur.Old, cur.New = diffName(t[4:]), diffName(m.Diff[i+1].Text[4:])
			i++
			git = false
		case cur != nil && strings.HasPrefix(t, "new file mode "):
			cur.Old = ""
		case cur != nil && strings.HasPrefix(t, "deleted file mode "):
			cur.New = ""
		case cur != nil && strings.HasPrefix(t, "rename from "), cur != nil && strings.HasPrefix(t, "copy from "):
			_, cur.Old, _ = strings.Cut(t, " from ")
		case cur != nil && strings.HasPrefix(t, "rename to "), cur != nil && strings.HasPrefix(t, "copy to "):
			_, cur.New, _ = strings.Cut(t, " to ")
		case strings.HasPrefix(t, "@@ "):
			if cur == nil {
				begin(l.No)
			}
			next, ok := cur.hunk(m.Diff, i)
			if !ok && len(m.Flaws) < mostFindings {
				m.Flaws = append(m.Flaws, Flaw{l.No, "the hunk does not fit its header: its lines were wrapped, cut or edited on the way; send it with git send-email"})
			}
			i = next - 1
		case t == "GIT binary patch":
			binary = true
		case i <= last:
		case t == "-- " || t == "--", !binary && (t == "" || baseForm.MatchString(t)):
			m.stop = l.No
			return
		}
	}
}

// hunk reads the hunk whose header is line i, and returns the index of what follows it.
func (f *File) hunk(lines []Line, i int) (next int, ok bool) {
	m := hunkForm.FindStringSubmatch(lines[i].Text)
	if m == nil {
		return i + 1, false
	}
	before, after := count(m[1]), count(m[2])
	for i++; i < len(lines) && (before > 0 || after > 0); i++ {
		t := lines[i].Text
		op := byte(' ') // an empty line of context whose blank was lost on the way
		if t != "" {
			op = t[0]
		}
		switch op {
		case ' ':
			before, after = before-1, after-1
		case '-':
			before--
			f.Deleted = append(f.Deleted, Line{lines[i].No, t[1:]})
		case '+':
			after--
			f.Added = append(f.Added, Line{lines[i].No, t[1:]})
		case '\\':
		default:
			return i, false
		}
		if before < 0 || after < 0 {
			return i + 1, false
		}
	}
	if i < len(lines) && strings.HasPrefix(lines[i].Text, `\ `) {
		i++
	}
	return i, before == 0 && after == 0
}

func count(s string) int {
	if s == "" {
		return 1
	}
	n, _ := strconv.Atoi(s)
	return n
}

// gitNames takes the names from "diff --git a/x b/x". With blanks in them the halves must be equal to be told apart.
func gitNames(l string) (before, after string) {
	l = strings.TrimPrefix(l, "diff --git ")
	if strings.HasPrefix(l, `"`) {
		if i := strings.Index(l[1:], `" `); i >= 0 {
			return diffName(l[:i+2]), diffName(l[i+3:])
		}
	}
	if n := len(l) / 2; len(l)%2 == 1 && l[n] == ' ' && strings.TrimPrefix(l[:n], "a/") == strings.TrimPrefix(l[n+1:], "b/") {
		return diffName(l[:n]), diffName(l[n+1:])
	}
	before, after, _ = strings.Cut(l, " ")
	return diffName(before), diffName(after)
}

// diffName is a name of a diff without quotes, a/ or b/ and date; "" stands for /dev/null.
func diffName(s string) string {
	s, _, _ = strings.Cut(s, "\t")
	if strings.HasPrefix(s, `"`) {
		if u, err := strconv.Unquote(s); err == nil {
			s = u
		}
	}
	if s == "/dev/null" {
		return ""
	}
	if strings.HasPrefix(s, "a/") || strings.HasPrefix(s, "b/") {
		return s[2:]
	}
	if _, rest, ok := strings.Cut(s, "/"); ok { // diff -u linux.orig/kernel/x.c linux/kernel/x.c
		return rest
	}
	return s
}
