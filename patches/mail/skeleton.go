// SPDX-License-Identifier: Apache-2.0

package mail

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seriesrig/series/patches"
)

// Skeleton returns files that the patches apply to, made of the patches alone: the lines that they show stand in their
// places, and each line that none of them shows is one that says so. Diffs between such files are the patches' own, but
// for the function names behind @@. So a version can be compared with another one years later, without the kernels that
// they were for. A patch that copies a file of the base needs that file, and is an error here (package sent does without it).
func Skeleton(ps []*patches.Patch) (patches.Map, error) {
	c := &composer{files: make(map[string]*track), gone: make(map[string]*track)}
	atEnd, moved := map[string]bool{}, map[string]bool{}
	base := map[string]string{} // what a file was called in the base, by its name now
	tracks := map[string]*track{}
	for n, p := range ps {
		if err := c.patch(n+1, p); err != nil {
			return nil, fmt.Errorf("patch %d: %w", n+1, err)
		}
		for _, f := range p.Diff {
			if f.IsNew {
				continue
			}
			name, ok := base[f.OldName]
			if !ok {
				name = f.OldName
			}
			if f.IsRename {
				base[f.NewName], moved[name] = name, true
			}
			for _, h := range f.TextFragments {
				atEnd[name] = atEnd[name] || h.TrailingContext < 3
			}
		}
		for _, t := range c.files {
			tracks[t.base] = t
		}
		for _, t := range c.gone {
			tracks[t.base] = t
		}
	}
	out := patches.Map{}
	for name, t := range tracks {
		if name == "" {
			continue
		}
		mode := patches.File{Mode: 0o644}
		if t.baseMode&0o100 != 0 {
			mode.Mode = 0o755
		}
		out[name] = &patches.File{Mode: mode.Mode, Data: []byte(t.skeleton(atEnd[name], moved[name]))}
	}
	return out, nil
}

// skeleton is the base's text as far as it is known.
func (t *track) skeleton(atEnd, moved bool) string {
	last := 0
	for line := range t.known {
		last = max(last, line)
	}
	switch {
	case moved:
		last += 50 // git has to see that it is the same file
	case !atEnd:
		last += 3
	}
	if len(t.known) == 0 {
		last = max(last, 3)
	}
	var b strings.Builder
	for line := 1; line <= last; line++ {
		text, ok := t.known[line]
		if !ok {
			text = fmt.Sprintf("(line %d of %s, in no patch)\n", line, t.base)
		}
		b.WriteString(text)
		if !strings.HasSuffix(text, "\n") {
			break
		}
	}
	return b.String()
}

// withoutSignoff takes the sign-offs out of a message: who posts adds them, and they are no change of a patch.
func withoutSignoff(body string) string {
	lines := slices.DeleteFunc(strings.SplitAfter(body, "\n"), func(l string) bool { return strings.HasPrefix(l, "Signed-off-by: ") })
	return strings.TrimRight(strings.Join(lines, ""), "\n")
}

// CommitMessage is the message of a patch as it is compared between versions: without sign-offs.
func CommitMessage(p *patches.Patch) string {
	if body := withoutSignoff(p.Body); body != "" {
		return p.Subject + "\n\n" + body + "\n"
	}
	return p.Subject + "\n"
}

// Patches returns the patches of a thread, in order. Every one has to be there.
func (t *Thread) Patches() ([]*patches.Patch, error) {
	var out []*patches.Patch
	for i, m := range t.Messages {
		if m.Number == 0 && m.Total > 0 { // the cover letter
			continue
		}
		p, err := m.Patch(fmt.Sprintf("%04d.patch", len(out)+1))
		if err != nil {
			return nil, fmt.Errorf("message %d: %w", i+1, err)
		}
		out = append(out, p)
		if m.Total > 0 && m.Number != len(out) {
			return nil, fmt.Errorf("message %d: %q is not patch %d", i+1, m.Subject, len(out))
		}
	}
	if len(out) == 0 || t.Messages[0].Total > 1 && len(out) != t.Messages[0].Total {
		return nil, fmt.Errorf("%d patches, not %d", len(out), t.Messages[0].Total)
	}
	return out, nil
}
