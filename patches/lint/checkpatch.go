// SPDX-License-Identifier: Apache-2.0

package lint

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A Plain is a patch as scripts/checkpatch.pl reads it: decoded, with a short header.
type Plain struct {
	Text []byte
	m    *Message
	from []int // line of the message's file, for each line of Text
}

// Plain makes the form for checkpatch. Some of what stands in a patch gets into command lines that checkpatch hands to a
// shell: names of files, and licences. Where one has more in it than such things have, it is a *ReadError, and checkpatch
// must not see the patch.
func (m *Message) Plain() (*Plain, error) {
	p := &Plain{m: m}
	from := m.field("from").Line
	if m.InBody > 0 {
		from = m.InBody
	}
	p.line(from, "From: "+clean(m.Author.String()))
	p.line(m.Subject.Line, "Subject: ["+m.Subject.Bracket+"] "+m.Subject.Summary)
	p.line(m.Subject.Line, "")
	p.lines(m.Text)
	if m.rule > 0 {
		p.line(m.rule, "---")
	}
	p.lines(m.Notes)
	p.lines(m.Diff)
	for i, l := range strings.Split(string(p.Text), "\n") {
		if what := shellWord(l); what != "" {
			return nil, &ReadError{File: m.File, Line: p.from[min(i, len(p.from)-1)], Message: m.Number,
				Msg: fmt.Sprintf("%s has characters that checkpatch.pl would hand to a shell", quote(what))}
		}
	}
	return p, nil
}

func (p *Plain) line(no int, text string) {
	p.Text = append(append(p.Text, text...), '\n')
	p.from = append(p.from, max(no, p.m.Line))
}

func (p *Plain) lines(ls []Line) {
	for _, l := range ls {
		p.line(l.No, l.Text)
	}
}

var (
	nameLine    = regexp.MustCompile(`^(?:diff\b.*--git|\+\+\+(?:[^!-~]|$))`) // Perl's \s is wider than Go's
	safeName    = regexp.MustCompile(`^[A-Za-z0-9_./+,@=~:%^-]*$`)
	spdxLine    = regexp.MustCompile(`SPDX-License-Identifier:(.*)`)
	safeLicence = regexp.MustCompile(`^[A-Za-z0-9 .+()*/#<>!;:\t-]*$`)
	asmLine     = regexp.MustCompile(`include.*<asm/(.*)\.h>`)
)

// shellWord returns what of a line checkpatch.pl might hand to a shell and must not be. checkpatch takes file
// names from lines of these forms wherever they stand.
func shellWord(l string) string {
	if nameLine.MatchString(l) {
		for _, w := range strings.Fields(l)[1:] {
			// Behind the slash that checkpatch cuts at, a name must not be an option of the command.
			_, rest, ok := strings.Cut(w, "/")
			if !safeName.MatchString(w) || ok && strings.HasPrefix(rest, "-") {
				return w
			}
		}
	}
	if m := asmLine.FindStringSubmatch(l); m != nil && !safeName.MatchString(m[1]) {
		return m[1]
	}
	if m := spdxLine.FindStringSubmatch(l); m != nil && !safeLicence.MatchString(m[1]) {
		return m[1]
	}
	return ""
}

// native are the types of checkpatch that a rule of ours is about, too.
var native = map[string]string{
	"MISSING_SIGN_OFF": "signoff-missing", "NO_AUTHOR_SIGN_OFF": "signoff-author", "FROM_SIGN_OFF_MISMATCH": "signoff-author",
	"COMMIT_LOG_LONG_LINE": "body-line-length", "COMMIT_MESSAGE": "body-empty", "GIT_COMMIT_ID": "commit-reference",
	"BAD_FIXES_TAG": "fixes-form", "MISSING_FIXES_TAG": "fixes-missing", "BAD_REPORTED_BY_LINK": "reported-by",
	"EMAIL_SUBJECT": "subject-tool", "GERRIT_CHANGE_ID": "body-change-id", "DIFF_IN_COMMIT_MSG": "body-diff",
	"FILE_PATH_CHANGES": "maintainers-covered",
}

var checkpatchForm = regexp.MustCompile(`^([0-9]+): (ERROR|WARNING|CHECK):([A-Z0-9_]+): (.*)$`)

// Checkpatch turns what checkpatch.pl --terse --show-types said about a patch into findings; name is the file that the
// form was in. Lines that say nothing about it are passed over.
func (p *Plain) Checkpatch(name string, output []byte) []Finding {
	var out []Finding
	for line := range bytes.Lines(output) {
		rest, ok := bytes.CutPrefix(line, []byte(name+":"))
		if !ok {
			continue
		}
		f := checkpatchForm.FindStringSubmatch(strings.TrimRight(string(rest), "\r\n"))
		if f == nil {
			continue
		}
		n, err := strconv.Atoi(f[1])
		if err != nil {
			continue
		}
		level := Warning
		if f[2] == "ERROR" {
			level = Error
		}
		at := p.m.Subject.Line
		if n >= 1 && n <= len(p.from) {
			at = p.from[n-1]
		}
		out = append(out, Finding{Rule: "checkpatch:" + f[3], File: p.m.File, Line: at, Level: level, Message: printable(f[4])})
	}
	return out
}

// Merge adds checkpatch's findings about a message to a report, but for what a rule of ours has found in the same
// message, or was at hand to judge better.
func (r *Report) Merge(m *Message, last int, found []Finding) {
	for _, f := range found {
		if f.Rule == "checkpatch:UNKNOWN_COMMIT_ID" {
			continue // it was not given a repository, and then knows no commit; commit-exists and fixes-exists ask one
		}
		id := native[strings.TrimPrefix(f.Rule, "checkpatch:")]
		judged := id == "maintainers-covered" && !slices.ContainsFunc(r.NotJudged, func(n NotJudged) bool { return n.Rule == id })
		ours := slices.ContainsFunc(r.Findings, func(g Finding) bool {
			return g.Rule == id && g.File == m.File && g.Line >= m.Line && (last == 0 || g.Line < last)
		})
		if id == "" || !judged && !ours {
			r.Findings = append(r.Findings, f)
		}
	}
}
