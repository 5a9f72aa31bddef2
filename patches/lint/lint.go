// SPDX-License-Identifier: Apache-2.0

// Package lint judges a patch series by the rules that the kernel's documentation has for what is posted: subjects,
// messages, tags, the cover letter, the form of the thread and of its mails.
//
// A rule is a row of the table in rules.go and a function; its examples, good and bad, are testdata/ID.txtar. The
// package reads no file but what it is given and runs nothing: what a rule needs besides the messages (a repository,
// recorded runs, MAINTAINERS, the posting before) comes through the interfaces of Input, and where it is not given the
// rule is reported as not judged.
package lint

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// A Level says how much a finding weighs. Errors keep a series from being sent.
type Level string

// The levels.
const (
	Error   Level = "error"
	Warning Level = "warning"
)

// A Finding is something that a rule found.
type Finding struct {
	Rule    string `json:"rule"`
	File    string `json:"file"`
	Line    int    `json:"line"` // of the file; 1 is the first
	Level   Level  `json:"level"`
	Message string `json:"message"` // what is wrong and what to do, in one line
}

// String is a line for a terminal.
func (f Finding) String() string {
	return fmt.Sprintf("%s:%d: %s: %s [%s]", printable(f.File), f.Line, f.Level, f.Message, f.Rule)
}

// A Need is something that a rule cannot be judged without.
type Need string

// What rules need.
const (
	NeedWhole       Need = "the whole thread"          // and not one message of it
	NeedMails       Need = "the mails as rendered"     // and not the files that they are made from
	NeedSent        Need = "mails with recipients"     // To: and Message-Id:
	NeedRecipients  Need = "mails with To: or Cc:"     // those of a stored series are found when it is rendered
	NeedCommits     Need = "a git repository"          // of the kernel
	NeedRuns        Need = "recorded runs"             // of exactly these patches
	NeedMaintainers Need = "a MAINTAINERS file"        // of the base
	NeedPrevious    Need = "the mails of the last one" // the posting before
)

// A Rule is one thing asked of a series.
type Rule struct {
	ID       string
	Note     int      // its number in the list of posting rules, 1 to 27
	Level    Level    // of its findings, unless the rule says otherwise
	Profiles []string // where it applies; none means everywhere
	Needs    []Need
	Title    string // what is asked for, in one line
	Explain  string // why, what to do, and the document that asks for it

	message func(*pass, *Message) // called for each cover letter and patch
	thread  func(*pass, *Thread)  // called once
}

// applies tells whether the rule is one of a profile's.
func (r *Rule) applies(p *Profile) bool {
	return len(r.Profiles) == 0 || slices.Contains(r.Profiles, p.Name)
}

// A Thread is a posting: the messages of one version of a series.
type Thread struct {
	Messages []*Message // as they were given, without what is neither patch nor cover letter
	Cover    *Message   // nil where there is none
	Patches  []*Message // by their numbers
	Partial  bool       // one message was given of several
}

// first is the message that the thread begins with.
func (t *Thread) first() *Message {
	if t.Cover != nil {
		return t.Cover
	}
	return t.Patches[0]
}

// version is the n of [PATCH vn].
func (t *Thread) version() int { return t.first().Subject.Version }

// Input is what is judged, and what is at hand for it. The zero value plus Messages works.
type Input struct {
	Messages []*Message
	// Profile names the profile; "" means that Maintainers say, and "default" where they do not.
	Profile string

	Commits     Commits
	Runs        Runs
	Maintainers Maintainers
	Previous    []*Message // the posting before, with replies to it where they are known
	// Stable allows stable@vger.kernel.org among the recipients.
	Stable bool
}

// A Report is what the rules found.
type Report struct {
	Findings  []Finding   `json:"findings"` // by file and line
	NotJudged []NotJudged `json:"not_judged,omitempty"`
	Profiles  []string    `json:"profiles"` // one for each thread
	Digest    string      `json:"digest"`   // of the messages that were judged, see Digest
}

// NotJudged says that a rule was not judged for a thread, and what for.
type NotJudged struct {
	Rule  string `json:"rule"`
	Needs Need   `json:"needs"`
}

// Errors is the number of findings that are errors.
func (r *Report) Errors() int {
	n := 0
	for _, f := range r.Findings {
		if f.Level == Error {
			n++
		}
	}
	return n
}

// Sort puts the findings in the order of files and lines, and takes out what is there twice.
func (r *Report) Sort(files []string) {
	slices.SortStableFunc(r.Findings, func(a, b Finding) int {
		return cmp.Or(
			cmp.Compare(slices.Index(files, a.File), slices.Index(files, b.File)),
			cmp.Compare(a.Line, b.Line), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Message, b.Message))
	})
	r.Findings = slices.Compact(r.Findings)
}

// Check judges the messages by all rules. It is an error if there is no patch among them, or if there is no such profile.
func Check(in Input) (*Report, error) { return check(in, Rules) }

func check(in Input, rules []Rule) (*Report, error) {
	threads := Threads(in.Messages)
	if len(threads) == 0 {
		file := "input"
		if len(in.Messages) > 0 {
			file = in.Messages[0].File
		}
		return nil, &ReadError{File: file, Msg: "there is no patch in it"}
	}
	rep := &Report{Findings: []Finding{}, Digest: Digest(in.Messages)}
	last := lastPosting(in.Previous)
	for _, t := range threads {
		profile, err := in.profile(t)
		if err != nil {
			return nil, err
		}
		rep.Profiles = append(rep.Profiles, profile.Name)
		p := &pass{Input: &in, thread: t, profile: profile, posting: last, report: rep}
		for i := range rules {
			p.run(&rules[i])
		}
	}
	var files []string
	for _, m := range in.Messages {
		if len(files) == 0 || files[len(files)-1] != m.File {
			files = append(files, m.File)
		}
	}
	rep.Sort(files)
	return rep, nil
}

// A pass is the work of one rule on one thread.
type pass struct {
	*Input
	thread  *Thread
	profile *Profile
	posting *posting // the one before; nil where it is not known
	rule    *Rule
	count   map[*Message]int // findings of the rule
	report  *Report
}

// mostFindings bounds what one rule says about one message: who does not mend a hundred does not mend more.
const mostFindings = 100

func (p *pass) run(r *Rule) {
	if !r.applies(p.profile) {
		return
	}
	p.rule, p.count = r, nil
	for _, n := range r.Needs {
		if !p.has(n) {
			nj := NotJudged{r.ID, n}
			if !slices.Contains(p.report.NotJudged, nj) {
				p.report.NotJudged = append(p.report.NotJudged, nj)
			}
			return
		}
	}
	if r.thread != nil {
		r.thread(p, p.thread)
	}
	if r.message != nil {
		for _, m := range p.thread.Messages {
			r.message(p, m)
		}
	}
}

// has tells whether what a rule needs is at hand.
func (p *pass) has(n Need) bool {
	first := p.thread.first()
	switch n {
	case NeedWhole:
		return !p.thread.Partial
	case NeedMails:
		return !first.Stored
	case NeedSent:
		return first.sent()
	case NeedRecipients:
		return !first.Stored && len(first.To)+len(first.Cc) > 0
	case NeedCommits:
		return p.Commits != nil
	case NeedRuns:
		return p.Runs != nil
	case NeedMaintainers:
		return p.Maintainers != nil
	case NeedPrevious:
		return len(p.Input.Previous) > 0
	}
	return false
}

// find adds a finding of the rule's own level, errorf and warnf one of theirs.
func (p *pass) find(m *Message, line int, format string, args ...any) {
	p.add(p.rule.Level, m, line, format, args...)
}

func (p *pass) errorf(m *Message, line int, format string, args ...any) {
	p.add(Error, m, line, format, args...)
}

func (p *pass) warnf(m *Message, line int, format string, args ...any) {
	p.add(Warning, m, line, format, args...)
}

func (p *pass) add(level Level, m *Message, line int, format string, args ...any) {
	if line == 0 {
		line = m.Line
	}
	if p.count == nil {
		p.count = map[*Message]int{}
	}
	if p.count[m]++; p.count[m] > mostFindings {
		return
	}
	p.report.Findings = append(p.report.Findings,
		Finding{Rule: p.rule.ID, File: m.File, Line: line, Level: level, Message: fmt.Sprintf(format, args...)})
}

// quote quotes foreign text for a message: in one line, without control characters, and of a sane length.
func quote(s string) string {
	const most = 70
	if len(s) > 4*most {
		s = s[:4*most]
	}
	s = strings.ToValidUTF8(s, "\uFFFD")
	if r := []rune(s); len(r) > most {
		s = string(r[:most-3]) + "..."
	}
	return `"` + printable(s) + `"`
}

// printable replaces what a terminal would act on.
func printable(s string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) || unicode.In(c, unicode.Cf, unicode.Zl, unicode.Zp) {
			return '\uFFFD'
		}
		return c
	}, strings.ToValidUTF8(s, "\uFFFD"))
}
