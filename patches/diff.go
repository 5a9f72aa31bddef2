// SPDX-License-Identifier: Apache-2.0

package patches

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/bluekeyes/go-gitdiff/gitdiff"
)

// gitdiff reads diffs as git apply does, which means that it skips what it does not know: a hunk with a line too many
// loses that line, a file header with a typing error loses the file. So the diff is walked twice: once here, where every
// line must have its place and every hunk its count, and once by gitdiff, and the two must have seen the same.

var (
	hunkForm  = regexp.MustCompile(`^@@ -([0-9]{1,9})(?:,([0-9]{1,9}))? \+([0-9]{1,9})(?:,([0-9]{1,9}))? @@(?: .*)?$`)
	modeForm  = regexp.MustCompile(`^(old mode|new mode|new file mode|deleted file mode) (.*)$`)
	indexForm = regexp.MustCompile(`^index [0-9a-f]{4,64}\.\.[0-9a-f]{4,64}( [0-9]+)?$`)
	scoreForm = regexp.MustCompile(`^(dis)?similarity index [0-9]{1,3}%$`)
	tailForm  = regexp.MustCompile(`^(base-commit|prerequisite-patch-id): [0-9a-f]{40,64}$`)
	statForm  = regexp.MustCompile(`(?m)^ ([0-9]+) files? changed(?:, ([0-9]+) insertions?\(\+\))?(?:, ([0-9]+) deletions?\(-\))?$`)
	errForm   = regexp.MustCompile(`^gitdiff: line ([0-9]+): (.*)$`)
)

// parseDiff parses the diff in rest, whose first line has the given number in the file.
func (p *Patch) parseDiff(rest []byte, line int) error {
	if len(rest) == 0 {
		return p.errorf(line, `no diff: there is no "diff --git" line`)
	}
	p.Lines.Diff = line
	w := &walker{p: p, scan: scan{rest: rest, line: line}}
	if err := w.walk(); err != nil {
		return err
	}
	diff := rest[:len(rest)-len(w.rest)]
	if diff[len(diff)-1] != '\n' {
		return p.errorf(w.line-1, "last line of the diff has no newline: truncated?")
	}
	if err := w.tail(); err != nil {
		return err
	}
	files, _, err := gitdiff.Parse(bytes.NewReader(diff))
	if err != nil {
		return p.gitdiffError(err, line)
	}
	if len(files) != len(p.Lines.Files) {
		return p.errorf(line, "diff of %d files reads as one of %d", len(p.Lines.Files), len(files))
	}
	for i, f := range files {
		if err := p.checkFile(f, w.heads[i], p.Lines.Hunks[i]); err != nil {
			return err
		}
	}
	p.Diff = files
	if err := p.checkTargets(); err != nil {
		return err
	}
	return w.checkComplete(files)
}

// gitdiffError puts the file's line number into one of gitdiff's errors.
func (p *Patch) gitdiffError(err error, first int) error {
	m := errForm.FindStringSubmatch(err.Error())
	if m == nil {
		return p.errorf(first, "%v", err)
	}
	n, _ := strconv.Atoi(m[1])
	return p.errorf(first+max(n, 1)-1, "%s", strings.ReplaceAll(m[2], "fragment", "hunk"))
}

// A head is what the walker read above a file's hunks.
type head struct {
	git   string // the "diff --git" line
	line  int
	lines map[string]int // first words of the lines that were there -> line number
	names []string       // the names as they stand in ---, +++, rename and copy lines, unquoted and without a/ and b/
}

type walker struct {
	scan
	p       *Patch
	heads   []head
	hunks   int
	trailer bool // the "-- " line was there
}

// walk goes over the files of the diff and stops at the first line that is none of theirs.
func (w *walker) walk() error {
	for strings.HasPrefix(w.peek(), "diff --git ") {
		if err := w.file(); err != nil {
			return err
		}
	}
	if len(w.heads) == 0 {
		return w.p.errorf(w.line, `diff begins with %q and not with "diff --git", as git format-patch writes it`, shorten(w.peek()))
	}
	return nil
}

func (w *walker) file() error {
	h := head{line: w.line, lines: map[string]int{}}
	h.git, _ = w.next()
	for len(w.rest) > 0 {
		l := w.peek()
		if strings.HasPrefix(l, "@@ ") || strings.HasPrefix(l, "diff --git ") || l == "" || l == "-- " || tailForm.MatchString(l) {
			break
		}
		if err := w.headLine(&h, l); err != nil {
			return err
		}
		w.next()
	}
	var hunks []int
	for strings.HasPrefix(w.peek(), "@@ ") {
		if w.hunks++; w.hunks > maxHunks {
			return w.p.errorf(w.line, "more than %d hunks, which is the limit", maxHunks)
		}
		hunks = append(hunks, w.line)
		if err := w.hunk(); err != nil {
			return err
		}
	}
	if (h.lines["---"] > 0) != (len(hunks) > 0) || (h.lines["---"] > 0) != (h.lines["+++"] > 0) {
		return w.p.errorf(h.line, "a file's diff has --- and +++ lines and hunks, or none of them: truncated?")
	}
	w.heads = append(w.heads, h)
	w.p.Lines.Files = append(w.p.Lines.Files, h.line)
	w.p.Lines.Hunks = append(w.p.Lines.Hunks, hunks)
	return nil
}

// headLine checks one line between "diff --git" and the first hunk.
func (w *walker) headLine(h *head, l string) error {
	p := w.p
	var word, name, prefix string
	switch {
	case l == "GIT binary patch", strings.HasPrefix(l, "Binary files "), strings.HasPrefix(l, "Files ") && strings.HasSuffix(l, " differ"):
		return p.errorf(w.line, "binary patch, refused: %s", shorten(strings.TrimPrefix(h.git, "diff --git ")))
	case modeForm.MatchString(l):
		m := modeForm.FindStringSubmatch(l)
		if err := checkMode(m[2]); err != nil {
			return p.errorf(w.line, "%v", err)
		}
		word = m[1]
	case indexForm.MatchString(l):
		if m := indexForm.FindStringSubmatch(l); m[1] != "" {
			if err := checkMode(m[1][1:]); err != nil {
				return p.errorf(w.line, "%v", err)
			}
		}
		word = "index"
	case scoreForm.MatchString(l):
		word = "score"
	case strings.HasPrefix(l, "--- "), strings.HasPrefix(l, "+++ "):
		word, name = l[:3], strings.TrimSuffix(l[4:], "\t") // git puts a tab after a name with blanks
		prefix = map[string]string{"---": "a/", "+++": "b/"}[word]
	default:
		for _, k := range []string{"rename from", "rename to", "copy from", "copy to"} {
			if rest, ok := strings.CutPrefix(l, k+" "); ok {
				word, name = k, rest
			}
		}
	}
	if word == "" {
		return p.errorf(w.line, "not a line of a diff: %q", shorten(l))
	}
	if at := h.lines[word]; at > 0 {
		return p.errorf(w.line, "second %q for one file (the first is in line %d)", word, at)
	}
	h.lines[word] = w.line
	if name == "" {
		return nil
	}
	name, err := w.name(name, prefix)
	if err != nil {
		return p.errorf(w.line, "%v", err)
	}
	if name != "" {
		h.names = append(h.names, name)
	}
	return nil
}

// name unquotes a name, takes off its prefix and checks it; "" stands for /dev/null.
func (w *walker) name(s, prefix string) (string, error) {
	if s == "/dev/null" && prefix != "" {
		return "", nil
	}
	if s[0] == '"' {
		u, err := strconv.Unquote(s)
		if err != nil {
			return "", fmt.Errorf("badly quoted name %s", shorten(s))
		}
		s = u
	}
	rest, ok := strings.CutPrefix(s, prefix)
	if !ok && !strings.HasPrefix(s, "/") {
		return "", fmt.Errorf("name %q has no %s before it, as git format-patch writes it", shorten(s), prefix)
	}
	if !ok {
		rest = s
	}
	return rest, checkPath(rest)
}

// hunk reads one hunk; every line must be counted by its header.
func (w *walker) hunk() error {
	at := w.line
	l, _ := w.next()
	m := hunkForm.FindStringSubmatch(l)
	if m == nil {
		return w.p.errorf(at, "bad hunk header: %q", shorten(l))
	}
	wantOld, wantNew := count(m[2]), count(m[4])
	before, after := 0, 0
	for before < wantOld || after < wantNew {
		here := w.line
		l, ok := w.next()
		op := byte(' ') // an empty context line whose blank was lost on the way
		if l != "" {
			op = l[0]
		}
		switch {
		case !ok:
			return w.p.errorf(at, "hunk is cut short: its header counts %d old and %d new lines, it has %d and %d: truncated?", wantOld, wantNew, before, after)
		case op == ' ':
			before, after = before+1, after+1
		case op == '-':
			before++
		case op == '+':
			after++
		case isNoEOL(l):
		default:
			return w.p.errorf(here, "hunk of line %d does not fit its header: that counts %d old and %d new lines, and after %d and %d comes %q: truncated or edited by hand?",
				at, wantOld, wantNew, before, after, shorten(l))
		}
	}
	if before != wantOld || after != wantNew {
		return w.p.errorf(at, "hunk does not fit its header: that counts %d old and %d new lines, it has %d and %d", wantOld, wantNew, before, after)
	}
	if isNoEOL(w.peek()) {
		w.next()
	}
	return nil
}

// isNoEOL finds "\ No newline at end of file", whose words depend on the language that diff spoke.
func isNoEOL(l string) bool { return len(l) >= 11 && strings.HasPrefix(l, `\ `) }

func count(s string) int {
	if s == "" {
		return 1
	}
	n, _ := strconv.Atoi(s) // hunkForm lets nine digits through at most
	return n
}

// tail reads what follows the diff: nothing, or base information and the signature after "-- ".
func (w *walker) tail() error {
	for len(w.rest) > 0 {
		at := w.line
		l, _ := w.next()
		switch {
		case l == "-- ":
			w.trailer = true
		case w.trailer && mboxForm.MatchString(l):
			return w.p.errorf(at, "a second message; a patch file holds one")
		case w.trailer, strings.TrimSpace(l) == "", tailForm.MatchString(l):
		default:
			return w.p.errorf(at, `line after the diff belongs to no hunk: %q (does the hunk's header count it?)`, shorten(l))
		}
	}
	return nil
}

// checkComplete finds a file that was cut between two hunks, where every count fits: git format-patch ends with "-- ",
// and where even that is wanting, the diffstat tells.
func (w *walker) checkComplete(files []*gitdiff.File) error {
	ms := statForm.FindAllStringSubmatch(w.p.Notes, -1)
	if w.trailer || len(ms) == 0 {
		return nil
	}
	m := ms[len(ms)-1]
	want := [3]int{}
	for i := range want {
		want[i], _ = strconv.Atoi(m[i+1])
	}
	have := [3]int{len(files)}
	for _, f := range files {
		for _, t := range f.TextFragments {
			have[1] += int(t.LinesAdded)
			have[2] += int(t.LinesDeleted)
		}
	}
	if want != have {
		return w.p.errorf(w.line-1, "truncated? the diffstat counts %d files, %d insertions and %d deletions, the diff has %d, %d and %d, and the closing \"-- \" is missing",
			want[0], want[1], want[2], have[0], have[1], have[2])
	}
	return nil
}
