// SPDX-License-Identifier: Apache-2.0

package mail

import (
	"bytes"
	"errors"
	"fmt"
	netmail "net/mail"
	"net/url"
	"path"
	"regexp"
	"strings"

	"github.com/seriesrig/series/patches"
	"github.com/seriesrig/series/results"
)

// coverBody is the cover letter without its signature: the prose as it was written, with the tables and the parts that it
// has places for; then, where it has none, what changed, the shortlog, the diffstat; then the range-diff and the base.
func (r *renderer) coverBody() (string, error) {
	s := r.Series
	stat, err := seriesStat(s.Patches, r.ReadBase)
	if err != nil {
		return "", fmt.Errorf("diffstat: %w", err)
	}
	parts := map[string]string{"changes": r.changes(), "shortlog": shortlog(s.Patches), "diffstat": stat.String()}
	placed := map[string]bool{}
	prose, err := s.Cover.Fill(r.table, func(name string) string {
		placed[name] = true
		return strings.Trim(parts[name], "\n")
	})
	if err != nil {
		return "", err
	}
	var b strings.Builder
	add := func(part string) {
		if part = strings.Trim(part, "\n"); part != "" {
			b.WriteString(part + "\n\n")
		}
	}
	add(prose)
	for _, name := range []string{"changes", "shortlog", "diffstat"} {
		if !placed[name] {
			add(parts[name])
		}
	}
	add(r.rangeDiff())
	b.WriteString(r.baseLines())
	return b.String(), nil
}

// rangeDiff is what changed since an earlier version, as git format-patch --range-diff writes it.
func (r *renderer) rangeDiff() string {
	text := strings.Trim(r.RangeDiff, "\n")
	if text == "" {
		return ""
	}
	return fmt.Sprintf("Range-diff against v%d:\n%s\n", r.RangeDiffOf, text)
}

// table is what goes into a place of the cover letter.
func (r *renderer) table(name string) (string, error) {
	missing := fmt.Sprintf("(not measured: %s)", name)
	if r.Run == nil {
		if r.AllowMissing {
			return missing, nil
		}
		return "", fmt.Errorf("there is no record to fill it from; run the series first")
	}
	t, err := r.fullest(name)
	var unknown *results.UnknownTableError
	if r.AllowMissing && (errors.Is(err, results.ErrNotMeasured) || errors.As(err, &unknown)) {
		return missing, nil
	}
	if err != nil {
		return "", err
	}
	text, err := t.Text(0)
	return strings.TrimSuffix(text, "\n"), err
}

// records are those that tables may come from, the first one first.
func (r *renderer) records() []*results.Run {
	return append([]*results.Run{r.Run}, r.More...)
}

// fullest is the table of the record that fills most of it. Where none has it, the error is the first record's.
func (r *renderer) fullest(name string) (best *results.Table, err error) {
	for _, run := range r.records() {
		t, e := results.TableFor(name, run)
		switch {
		case e == nil && (best == nil || t.Filled() > best.Filled()):
			best = t
		case e != nil && err == nil:
			err = e
		}
	}
	if best != nil {
		return best, nil
	}
	return nil, err
}

// baseLines name what the patches apply to: base-commit: where it is a commit, which git and b4 read, with the patches that
// have to be on it before; and otherwise the source with its version and hash. change-id: comes last, as with b4.
func (r *renderer) baseLines() string {
	var b strings.Builder
	if r.Base.Commit != "" {
		fmt.Fprintf(&b, "base-commit: %s\n", r.Base.Commit)
	} else {
		fmt.Fprintf(&b, "base: %s", publicSpec(r.Base.Spec))
		if r.Base.Version != "" {
			b.WriteString(" " + r.Base.Version)
		}
		if r.Base.Hash != "" {
			// A line of its own, like a folded header: together they would have more than 75 columns.
			b.WriteString("\n " + r.Base.Hash)
		}
		b.WriteByte('\n')
	}
	for _, id := range r.Series.Prerequisites {
		fmt.Fprintf(&b, "prerequisite-patch-id: %s\n", id)
	}
	if r.Series.ChangeID != "" {
		fmt.Fprintf(&b, "change-id: %s\n", r.Series.ChangeID)
	}
	return b.String()
}

// publicSpec is the spec of a base without what is nobody's business: where a folder or a file is on this machine, and with
// what name and password a server was asked.
func publicSpec(spec string) string {
	kind, rest, _ := strings.Cut(spec, ":")
	if rest == "" || kind == "debian" {
		return spec
	}
	if u, err := url.Parse(rest); err == nil && u.Scheme != "" && u.Host != "" {
		u.User = nil
		return kind + ":" + u.String()
	}
	return kind + ":" + path.Base(rest)
}

// patchBody is a patch's message without its signature.
func (r *renderer) patchBody(n int, p *patches.Patch) (string, error) {
	diff, err := diffText(p)
	if err != nil {
		return "", err
	}
	stat, err := patchStat(p)
	if err != nil {
		return "", fmt.Errorf("diffstat: %w", err)
	}
	var b strings.Builder
	b.WriteString(r.inBodyFrom(p))
	b.WriteString(r.message1(p))
	b.WriteString("---\n")
	if notes := r.notes(n, p); notes != "" {
		b.WriteString(notes + "\n")
	}
	b.WriteString(stat.String() + "\n")
	b.WriteString(diff)
	if !r.cover {
		b.WriteString("\n" + r.baseLines())
	}
	return b.String(), nil
}

// message1 is the commit message below its subject, with the sender's sign-off where one is asked for.
func (r *renderer) message1(p *patches.Patch) string {
	body := p.Body
	if r.Signoff == nil {
		return body
	}
	line := "Signed-off-by: " + r.Signoff.Name + " <" + r.Signoff.Address + ">\n"
	switch {
	case body == "":
		return line
	case len(p.Trailers) == 0:
		return body + "\n" + line
	}
	above, below := body, ""
	if p.Author.Email == r.Signoff.Address {
		above, below = cutGathered(body)
	}
	if strings.HasSuffix("\n"+above, "\n"+line) {
		return body
	}
	return above + line + below
}

var gatheredForm = regexp.MustCompile(`(?i)^(tested-by|reviewed-by|acked-by|cc|link):`)

// cutGathered cuts a message that ends in trailers before those that come below its author's sign-off: what others said of the
// patch, and where. So the tip tree has it (process/maintainer-tip.rst), and nobody has it otherwise; who passes on the patch
// of somebody else signs off below all that came with it.
func cutGathered(body string) (above, below string) {
	lines := strings.SplitAfter(strings.TrimSuffix(body, "\n"), "\n")
	at := len(lines)
	for i := at - 1; i >= 0; i-- {
		switch {
		case gatheredForm.MatchString(lines[i]):
			at = i
		case strings.HasPrefix(lines[i], " ") || strings.HasPrefix(lines[i], "\t"): // goes on from the line above
		default:
			i = -1
		}
	}
	above = strings.Join(lines[:at], "")
	if at == 0 || strings.TrimSpace(lines[at-1]) == "" { // there is nothing else in the paragraph
		return above, strings.TrimPrefix(body, above)
	}
	if !strings.HasSuffix(above, "\n") {
		above += "\n"
	}
	return above, strings.TrimPrefix(body, above)
}

// inBodyFrom names the author where the header cannot: somebody else sends, the name cannot be told from a header by git
// (it takes quotes and comments out after it has decoded), or the message starts with what git would take for headers.
func (r *renderer) inBodyFrom(p *patches.Patch) string {
	author := netmail.Address{Name: p.Author.Name, Address: p.Author.Email}
	if author == r.From && !lostName(author.Name) && !looksLikeHeader(p.Body) {
		return ""
	}
	return inBody(p.Author)
}

// inBody is the line that names an author at the top of a body.
func inBody(p patches.Person) string { return "From: " + quoteName(p.Name) + " <" + p.Email + ">\n\n" }

// lostName tells the names that git am would not read back from a header.
func lostName(name string) bool { return !isASCII(name) && !isPhrase(name) }

var headerLike = regexp.MustCompile(`(?i)^(from|subject|date):|^\[PATCH\]\s|^>From\s`)

func looksLikeHeader(body string) bool { return headerLike.MatchString(body) }

var (
	statLine    = regexp.MustCompile(`^ .* \| +([0-9]+ ?\+*-*|Bin.*)$`)
	statSummary = regexp.MustCompile(`^ [0-9]+ files? changed(, [0-9]+ insertions?\(\+\))?(, [0-9]+ deletions?\(-\))?$`)
	modeSummary = regexp.MustCompile(`^ (create mode|delete mode|mode change|rename|copy|rewrite) .*$`)
)

// notes are the remarks below ---: those of the patch file without its diffstat, which is made afresh, and the entries
// of the change log for this patch.
func (r *renderer) notes(n int, p *patches.Patch) string {
	var kept []string
	for line := range strings.Lines(p.Notes) {
		line = strings.TrimRight(line, "\n")
		if !statLine.MatchString(line) && !statSummary.MatchString(line) && !modeSummary.MatchString(line) {
			kept = append(kept, line)
		}
	}
	var parts []string
	if text := strings.Trim(strings.Join(kept, "\n"), "\n"); text != "" {
		parts = append(parts, text+"\n")
	}
	if log := r.patchChanges(n); log != "" {
		parts = append(parts, log)
	}
	if !r.cover {
		// One patch alone has no cover letter to say these in.
		for _, text := range []string{r.previousLink(), r.rangeDiff()} {
			if text != "" {
				parts = append(parts, text)
			}
		}
	}
	return strings.Join(parts, "\n")
}

// diffText is the diff as it stands in the patch's file, byte for byte: from the first "diff --git" to the end of its
// last hunk, without the signature below.
func diffText(p *patches.Patch) (string, error) {
	rest := p.Raw
	for i := 1; i < p.Lines.Diff; i++ {
		_, rest, _ = bytes.Cut(rest, []byte("\n"))
	}
	if !bytes.HasPrefix(rest, []byte("diff --git ")) {
		return "", fmt.Errorf("%s:%d: there is no diff", p.File, p.Lines.Diff)
	}
	end, _, err := diffEnd(rest)
	return string(rest[:end]), err
}

// diffEnd is where the diff at the beginning of a text ends. whole is false where the text ends within a hunk.
func diffEnd(rest []byte) (end int, whole bool, err error) {
	old, fresh := 0, 0
	for end < len(rest) {
		line := rest[end:]
		if i := bytes.IndexByte(line, '\n'); i >= 0 {
			line = line[:i+1]
		}
		switch {
		case old > 0 || fresh > 0:
			switch line[0] {
			case '-':
				old--
			case '+':
				fresh--
			case ' ', '\n': // mail programs take the blank of an empty line away
				old--
				fresh--
			}
		case bytes.HasPrefix(line, []byte("@@ -")):
			if old, fresh, err = hunkCounts(string(line)); err != nil {
				return end, false, err
			}
		case !isDiffHeader(line):
			return end, true, nil
		}
		end += len(line)
	}
	return end, old <= 0 && fresh <= 0, nil
}

var hunkForm = regexp.MustCompile(`^@@ -[0-9]+(?:,([0-9]+))? \+[0-9]+(?:,([0-9]+))? @@`)

func hunkCounts(line string) (old, fresh int, err error) {
	m := hunkForm.FindStringSubmatch(line)
	if m == nil {
		return 0, 0, fmt.Errorf("bad hunk %q", strings.TrimSpace(line))
	}
	old, fresh = 1, 1
	for i, n := range []*int{&old, &fresh} {
		if m[i+1] != "" {
			if _, err := fmt.Sscan(m[i+1], n); err != nil {
				return 0, 0, fmt.Errorf("bad hunk %q", strings.TrimSpace(line))
			}
		}
	}
	return old, fresh, nil
}

func isDiffHeader(line []byte) bool {
	for _, prefix := range []string{"diff --git ", "index ", "--- ", "+++ ", "old mode ", "new mode ", "deleted file mode ",
		"new file mode ", "similarity index ", "dissimilarity index ", "rename from ", "rename to ", "copy from ", "copy to ", `\ `} {
		if bytes.HasPrefix(line, []byte(prefix)) {
			return true
		}
	}
	return false
}
