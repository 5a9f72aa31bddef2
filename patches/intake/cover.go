// SPDX-License-Identifier: Apache-2.0

package intake

import (
	"regexp"
	"strings"

	"github.com/seriesrig/series/patches"
)

var (
	baseCommit = regexp.MustCompile(`^base-commit: ([0-9a-f]{40})$`)
	// Only what names a Debian package is taken: a mail must not choose whose Makefile is run.
	baseText     = regexp.MustCompile(`^base: (debian:linux-source-[0-9]+\.[0-9]+)( |$)`)
	changeID     = regexp.MustCompile(`^change-id: ([A-Za-z0-9._+-]{1,200})$`)
	prerequisite = regexp.MustCompile(`^prerequisite-patch-id: ([0-9a-f]{40})$`)
	baseLine     = regexp.MustCompile(`^(base-commit|base|change-id|prerequisite-[a-z-]+): |^ sha256:[0-9a-f]+$`)
	statLine     = regexp.MustCompile(`^ .* +\| +([0-9]+ ?\+*-*|Bin.*)$`)
	statSummary  = regexp.MustCompile(`^ [0-9]+ files? changed(, [0-9]+ insertions?\(\+\))?(, [0-9]+ deletions?\(-\))?$`)
	modeSummary  = regexp.MustCompile(`^ (create mode|delete mode|mode change|rename|copy|rewrite) `)
	authorLine   = regexp.MustCompile(`^\S.* \([0-9]+\):$`)
)

// tracking takes base and change-id from the lines of a cover letter, or below the diff of a single patch.
func (s *Series) tracking(body string) {
	for line := range strings.Lines(body) {
		line = strings.TrimRight(line, " \t\r\n")
		for _, f := range []struct {
			form *regexp.Regexp
			to   *string
		}{{baseCommit, &s.BaseCommit}, {baseText, &s.Base}, {changeID, &s.ChangeID}} {
			if m := f.form.FindStringSubmatch(line); m != nil && *f.to == "" {
				*f.to = m[1]
			}
		}
		if m := prerequisite.FindStringSubmatch(line); m != nil {
			s.Prerequisites = append(s.Prerequisites, m[1])
		}
	}
}

// prose is a cover letter without what is made afresh when it is written again: signature, base, shortlog and diffstat.
func prose(body string) string {
	lines := strings.Split(strings.TrimRight(body, "\n"), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		if lines[i] == "-- " || lines[i] == "--" && i >= len(lines)-4 {
			lines = lines[:i]
			break
		}
	}
	lines = withoutStat(withoutBase(trimBlank(lines)))
	text := strings.Trim(strings.Join(lines, "\n"), "\n")
	if text == "" {
		return ""
	}
	return patches.EscapePlaces(text) + "\n"
}

// withoutBase takes out the lines about base and change-id, and the --- that b4 puts above them.
func withoutBase(lines []string) []string {
	var out []string
	for _, l := range lines {
		if !baseLine.MatchString(l) {
			out = append(out, l)
			continue
		}
		if n := len(out); n > 0 && out[n-1] == "---" {
			out = out[:n-1]
		}
	}
	return trimBlank(out)
}

// trimBlank takes empty lines off the end.
func trimBlank(lines []string) []string {
	for len(lines) > 0 && strings.TrimSpace(lines[len(lines)-1]) == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}

// withoutStat takes out the last diffstat, and the shortlog above it.
func withoutStat(lines []string) []string {
	end := len(lines)
	at := end - 1
	for at >= 0 && !statSummary.MatchString(lines[at]) {
		at--
	}
	if at < 0 {
		return lines
	}
	end = at + 1
	for end < len(lines) && modeSummary.MatchString(lines[end]) {
		end++
	}
	for at > 0 && statLine.MatchString(lines[at-1]) {
		at--
	}
	head := trimBlank(lines[:at:at])
	for {
		i := len(head)
		for i > 0 && strings.HasPrefix(head[i-1], "  ") {
			i--
		}
		if i == 0 || i == len(head) || !authorLine.MatchString(head[i-1]) {
			break
		}
		head = trimBlank(head[:i-1])
	}
	if n := len(head); n > 0 && head[n-1] == "---" {
		head = trimBlank(head[:n-1])
	}
	rest := lines[end:]
	if len(trimBlank(rest)) == 0 {
		return head
	}
	for strings.TrimSpace(rest[0]) == "" {
		rest = rest[1:]
	}
	return append(append(head, ""), rest...)
}
