// SPDX-License-Identifier: Apache-2.0

package mail

import (
	"bytes"
	"errors"
	"fmt"
	netmail "net/mail"
	"regexp"
	"strings"

	"github.com/seriesrig/series/patches"
	"github.com/seriesrig/series/results"
)

// coverBody is the cover letter without its signature: the prose as it was written, the tables in their places, what
// changed, the shortlog, the diffstat and the base.
func (r *renderer) coverBody() (string, error) {
	s := r.Series
	prose, err := s.Cover.Fill(r.table)
	if err != nil {
		return "", err
	}
	stat, err := seriesStat(s.Patches, r.ReadBase)
	if err != nil {
		return "", fmt.Errorf("diffstat: %w", err)
	}
	parts := []string{prose, r.changes(), shortlog(s.Patches), stat.String()}
	var b strings.Builder
	for _, part := range parts {
		if part = strings.Trim(part, "\n"); part != "" {
			b.WriteString(part + "\n\n")
		}
	}
	b.WriteString(r.baseLine())
	return b.String(), nil
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
	t, err := results.TableFor(name, r.Run)
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

// changes lists what each revision changed, the newest first. A first posting has changed nothing.
func (r *renderer) changes() string {
	var b strings.Builder
	list := r.Series.Changes
	for i := len(list) - 1; i >= 0; i-- {
		c := list[i]
		if c.Revision < 2 || c.Revision > r.Revision || len(c.Series) == 0 {
			continue
		}
		fmt.Fprintf(&b, "Changes in v%d:\n", c.Revision)
		for _, line := range c.Series {
			writeItem(&b, line)
		}
		b.WriteByte('\n')
	}
	if r.Previous != "" {
		url := r.Previous
		if !strings.Contains(url, "://") {
			url = "https://lore.kernel.org/r/" + strings.Trim(url, "<>")
		}
		// The key by which b4 and people find the way back; a link is never wrapped.
		fmt.Fprintf(&b, "Link: %s\n", url)
	}
	return b.String()
}

// itemWidth is where an entry of the change log is wrapped; lines of a message have at most 75 columns.
const itemWidth = 72

func writeItem(b *strings.Builder, text string) {
	b.WriteString(wrap(text, "- ", "  ", itemWidth) + "\n")
}

// baseLine names what the patches apply to: base-commit: where it is a commit, which git and b4 read, and otherwise the
// source with its version and hash.
func (r *renderer) baseLine() string {
	if r.Base.Commit != "" {
		return "base-commit: " + r.Base.Commit + "\n"
	}
	line := "base: " + r.Base.Spec
	if r.Base.Version != "" {
		line += " " + r.Base.Version
	}
	if r.Base.Hash != "" {
		// A line of its own, like a folded header: together they would have more than 75 columns.
		line += "\n " + r.Base.Hash
	}
	return line + "\n"
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
		b.WriteString("\n" + r.baseLine())
	}
	return b.String(), nil
}

// message1 is the commit message below its subject, with the sender's sign-off where one is asked for.
func (r *renderer) message1(p *patches.Patch) string {
	body := p.Body
	if r.Signoff == nil {
		return body
	}
	line := "Signed-off-by: " + r.Signoff.Name + " <" + r.Signoff.Address + ">"
	switch {
	case body == "":
		return line + "\n"
	case len(p.Trailers) == 0:
		return body + "\n" + line + "\n"
	case strings.HasSuffix(body, "\n"+line+"\n") || body == line+"\n":
		return body
	}
	return body + line + "\n"
}

// inBodyFrom names the author where the header cannot: somebody else sends, the name cannot be told from a header by git
// (it takes quotes and comments out after it has decoded), or the message starts with what git would take for headers.
func (r *renderer) inBodyFrom(p *patches.Patch) string {
	author := netmail.Address{Name: p.Author.Name, Address: p.Author.Email}
	lost := !isASCII(author.Name) && !isPhrase(author.Name)
	if author == r.From && !lost && !looksLikeHeader(p.Body) {
		return ""
	}
	return "From: " + quoteName(author.Name) + " <" + author.Address + ">\n\n"
}

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
	var b strings.Builder
	if text := strings.Trim(strings.Join(kept, "\n"), "\n"); text != "" {
		b.WriteString(text + "\n")
	}
	for i := len(r.Series.Changes) - 1; i >= 0; i-- {
		c := r.Series.Changes[i]
		if c.Revision < 2 || c.Revision > r.Revision || len(c.Patches[n]) == 0 {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "Changes in v%d:\n", c.Revision)
		for _, item := range c.Patches[n] {
			writeItem(&b, item)
		}
	}
	return b.String()
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
	old, fresh, end := 0, 0, 0
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
			var err error
			if old, fresh, err = hunkCounts(string(line)); err != nil {
				return "", err
			}
		case !isDiffHeader(line):
			return string(rest[:end]), nil
		}
		end += len(line)
	}
	return string(rest[:end]), nil
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
