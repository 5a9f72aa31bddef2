// SPDX-License-Identifier: Apache-2.0

package maintainers

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// A keywordHit is a K entry that a patch matches.
type keywordHit struct {
	section *Section
	re      *perlRE
}

// scanned is what a patch file says.
type scanned struct {
	paths []string // sorted, each once
	hits  []keywordHit
}

// Lines of a patch that name a path. They are not searched for keywords.
var (
	modeLine   = regexp.MustCompile(`^ mode change [0-7]+ => [0-7]+ (\S+)\s*$`)
	renameLine = regexp.MustCompile(`^rename (?:from|to) (\S+)\s*$`)
	gitLine    = regexp.MustCompile(`^diff --git a/(\S+) b/(\S+)\s*$`)
	fixesLine  = regexp.MustCompile(`^Fixes:\s+[0-9a-fA-F]{6,40}`)
	rangeLine  = regexp.MustCompile(`^@@ -\d+,\d+`)
)

// scan reads a patch line by line, as the script does, and so takes "--- x/y" for the name of a file wherever it stands.
func (f *Finder) scan(text string) scanned {
	k := f.possibleKeywords(text)
	var s scanned
	inDiff := false
	for line := range strings.Lines(text) {
		paths, special := linePaths(line)
		if special {
			if strings.HasPrefix(line, "+++") || strings.HasPrefix(line, "---") {
				inDiff = true
			}
			s.paths = append(s.paths, paths...)
			continue
		}
		k = slices.DeleteFunc(k, func(h keywordHit) bool {
			re := h.re.anywhere
			if inDiff {
				re = h.re.changed
			}
			hit := re.MatchString(line)
			if hit {
				s.hits = append(s.hits, h)
			}
			return hit
		})
	}
	slices.Sort(s.paths)
	s.paths = slices.Compact(s.paths)
	// The script sorts the numbers of the lines as text, and the first section that names somebody gives the reason.
	slices.SortFunc(s.hits, func(a, b keywordHit) int { return cmp.Compare(strconv.Itoa(a.re.index), strconv.Itoa(b.re.index)) })
	return s
}

// possibleKeywords returns the K entries that a text may match.
func (f *Finder) possibleKeywords(text string) []keywordHit {
	var out []keywordHit
	lower := strings.ToLower(text)
	for _, s := range f.File.Sections {
		for _, re := range s.keywords {
			if possible(lower, re.words) || possible(lower, re.changedWords) {
				out = append(out, keywordHit{s, re})
			}
		}
	}
	return out
}

// linePaths returns the paths that a line names; special tells that the line is not to be searched for keywords.
func linePaths(line string) (paths []string, special bool) {
	if line == "" {
		return nil, false
	}
	switch line[0] {
	case ' ':
		if m := modeLine.FindStringSubmatch(line); m != nil {
			return m[1:], true
		}
	case 'r':
		if m := renameLine.FindStringSubmatch(line); m != nil {
			return m[1:], true
		}
	case 'd':
		if m := gitLine.FindStringSubmatch(line); m != nil {
			return m[1:], true
		}
	case 'F':
		return nil, fixesLine.MatchString(line)
	case '@':
		return nil, rangeLine.MatchString(line)
	case '+', '-':
		rest, ok := strings.CutPrefix(line, "+++")
		if !ok {
			rest, ok = strings.CutPrefix(line, "---")
		}
		if name := strings.TrimLeftFunc(rest, unicode.IsSpace); ok && name != "" && len(name) < len(rest) {
			if end := strings.IndexFunc(name, unicode.IsSpace); end > 0 {
				name = name[:end]
			}
			if i := strings.IndexByte(name, '/'); i >= 0 {
				name = name[i+1:] // without the a/ or b/
			}
			return []string{name}, true
		}
	}
	return nil, false
}
