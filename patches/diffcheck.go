// SPDX-License-Identifier: Apache-2.0

package patches

import (
	"fmt"
	"strings"

	"github.com/bluekeyes/go-gitdiff/gitdiff"
)

// checkMode accepts the two modes that a regular file has in git.
func checkMode(mode string) error {
	switch mode {
	case "100644", "100755":
		return nil
	case "120000":
		return fmt.Errorf("symbolic link (mode 120000), refused: it may lead out of the tree")
	case "160000":
		return fmt.Errorf("submodule (mode 160000), refused")
	}
	return fmt.Errorf("mode %q, refused: regular files have 100644 or 100755", shorten(mode))
}

// checkPath accepts a path that stays inside of the tree and outside of git's own folder.
func checkPath(name string) error {
	refuse := func(why string) error { return fmt.Errorf("path %q %s, refused", shorten(name), why) }
	switch {
	case name == "":
		return refuse("is empty")
	case strings.HasPrefix(name, "/"):
		return refuse("is absolute")
	case len(name) > 4000:
		return refuse("is too long")
	case strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return refuse("has a control character")
	case strings.ToValidUTF8(name, "") != name:
		return refuse("is not UTF-8")
	}
	for c := range strings.SplitSeq(name, "/") {
		switch c {
		case "":
			return refuse("has an empty component")
		case ".":
			return refuse(`has a component "."`)
		case "..":
			return refuse("leads out of the tree")
		}
		if len(c) > 255 {
			return refuse("has a component of more than 255 bytes")
		}
		// Some file systems take these for .git, so git itself refuses them everywhere (core.protectNTFS).
		if t := strings.TrimRight(c, " ."); strings.EqualFold(t, ".git") || strings.EqualFold(t, "git~1") {
			return refuse("leads into .git")
		}
	}
	return nil
}

// checkFile checks one file of the diff as gitdiff has read it, against the lines that it was read from.
func (p *Patch) checkFile(f *gitdiff.File, h head, hunks []int) error {
	fail := func(line int, format string, args ...any) error { return p.errorf(line, format, args...) }
	has := func(word string) bool { return h.lines[word] > 0 }

	if f.IsBinary {
		return fail(h.line, "binary patch, refused: %s", f.NewName)
	}
	if len(f.TextFragments) != len(hunks) {
		return fail(h.line, "%d hunks read as %d", len(hunks), len(f.TextFragments))
	}
	moved := f.IsRename || f.IsCopy
	switch {
	case f.IsNew && f.IsDelete, moved && (f.IsNew || f.IsDelete), f.IsRename && f.IsCopy:
		return fail(h.line, "a file's diff is one of new, deleted, renamed and copied")
	case moved && (has("rename from") != has("rename to") || has("copy from") != has("copy to")):
		return fail(h.line, "a rename or a copy has a from and a to")
	case has("old mode") != has("new mode"):
		return fail(h.line, `"old mode" and "new mode" come together`)
	case has("old mode") && (f.IsNew || f.IsDelete):
		return fail(h.lines["old mode"], "a file that is new or deleted does not change its mode")
	case has("old mode") && f.OldMode == f.NewMode:
		return fail(h.lines["old mode"], "old and new mode are the same")
	case len(hunks) == 0 && !f.IsNew && !f.IsDelete && !moved && !has("old mode"):
		return fail(h.line, "diff without a change: truncated?")
	}
	if err := p.checkNames(f, h); err != nil {
		return err
	}
	return p.checkHunks(f, hunks)
}

// checkNames checks the names, and that every line that names the file agrees with what gitdiff made of them.
func (p *Patch) checkNames(f *gitdiff.File, h head) error {
	from, to := f.OldName, f.NewName
	if !f.IsNew && from == "/dev/null" || !f.IsDelete && to == "/dev/null" {
		return p.errorf(h.line, `/dev/null without a line "new file mode" or "deleted file mode"`)
	}
	if f.IsNew {
		from = to
	}
	if f.IsDelete {
		to = from
	}
	for _, name := range []string{from, to} {
		if err := checkPath(name); err != nil {
			return p.errorf(h.line, "%v", err)
		}
	}
	same := false
	for _, a := range spellings("a/" + from) {
		for _, b := range spellings("b/" + to) {
			same = same || h.git == "diff --git "+a+" "+b
		}
	}
	if !same {
		return p.errorf(h.line, `names do not agree: %q is about %s and %s (git format-patch writes a/ and b/ before names)`, shorten(h.git), from, to)
	}
	for _, n := range h.names {
		if n != from && n != to {
			return p.errorf(h.line, "names do not agree: %s is neither %s nor %s", n, from, to)
		}
	}
	if (f.IsRename || f.IsCopy) != (from != to) {
		return p.errorf(h.line, "a rename or copy has two names, anything else has one: %s, %s", from, to)
	}
	return nil
}

// spellings are the ways in which git may write a name: as it is, or quoted; core.quotePath says whether only what must
// be.
func spellings(name string) []string {
	quote := func(all bool) string {
		var b strings.Builder
		for i := range len(name) {
			switch c := name[i]; {
			case c == '"' || c == '\\':
				b.WriteString(`\` + string(rune(c)))
			case all && c >= 0x80:
				fmt.Fprintf(&b, `\%03o`, c)
			default:
				b.WriteByte(c)
			}
		}
		return `"` + b.String() + `"`
	}
	return []string{name, quote(false), quote(true)}
}

// checkHunks checks what gitdiff would only find when it applies, or never.
func (p *Patch) checkHunks(f *gitdiff.File, lines []int) error {
	var end int64 // of the previous hunk, in the old file
	var oldEOF, newEOF bool
	for i, t := range f.TextFragments {
		if t.OldPosition == 0 && t.OldLines > 0 || t.NewPosition == 0 && t.NewLines > 0 {
			return p.errorf(lines[i], "bad hunk header: lines are counted from 1")
		}
		if err := t.Validate(); err != nil {
			return p.errorf(lines[i], "%v", err)
		}
		start := t.OldPosition
		if t.OldLines == 0 {
			start++ // "-5,0" is the place after line 5
		}
		if start < end {
			return p.errorf(lines[i], "hunk overlaps the one before it, or their order is wrong")
		}
		end = start + t.OldLines
		for _, l := range t.Lines {
			if l.Line == "" {
				return p.errorf(lines[i], "hunk has an empty line without a newline")
			}
			if l.Old() && oldEOF || l.New() && newEOF {
				return p.errorf(lines[i], `hunk goes on after "No newline at end of file"`)
			}
			oldEOF = oldEOF || l.Old() && l.NoEOL()
			newEOF = newEOF || l.New() && l.NoEOL()
		}
	}
	if n := len(f.TextFragments); (f.IsNew || f.IsDelete) && n > 1 {
		return p.errorf(lines[1], "a file that is new or deleted has one hunk, this has %d", n)
	}
	return nil
}

// checkTargets makes sure that the parts of a patch do not depend on each other: no file is written, or taken away,
// twice.
func (p *Patch) checkTargets() error {
	written, gone := map[string]int{}, map[string]int{}
	for i, f := range p.Diff {
		line := p.Lines.Files[i]
		if !f.IsDelete {
			if at := written[f.NewName]; at > 0 {
				return p.errorf(line, "%s is changed twice (first in line %d)", f.NewName, at)
			}
			written[f.NewName] = line
		}
		if f.IsDelete || f.IsRename {
			if at := gone[f.OldName]; at > 0 {
				return p.errorf(line, "%s goes away twice (first in line %d)", f.OldName, at)
			}
			gone[f.OldName] = line
		}
	}
	for i, f := range p.Diff {
		// A renamed file's old name may be taken by a new file, but what is deleted cannot be changed too.
		if at := written[f.OldName]; f.IsDelete && at > 0 {
			return p.errorf(p.Lines.Files[i], "%s is deleted here and written in line %d", f.OldName, at)
		}
	}
	return nil
}
