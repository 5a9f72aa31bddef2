// SPDX-License-Identifier: Apache-2.0

package mail

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/bluekeyes/go-gitdiff/gitdiff"

	"github.com/seriesrig/series/patches"
)

// patchStat is the diffstat of one patch.
func patchStat(p *patches.Patch) (diffStat, error) {
	var d diffStat
	for _, f := range p.Diff {
		s := fileStat{old: f.OldName, new: f.NewName, oldMode: int(f.OldMode), newMode: int(f.NewMode), score: f.Score, copied: f.IsCopy}
		if f.IsNew {
			s.old = ""
		}
		if f.IsDelete {
			s.new = ""
		}
		for _, frag := range f.TextFragments {
			s.added += int(frag.LinesAdded)
			s.deleted += int(frag.LinesDeleted)
		}
		d = append(d, s)
	}
	d.sort()
	return d, nil
}

// sort puts files in the order of git's diffs: by their path, a rename's by the new one.
func (d diffStat) sort() {
	key := func(f fileStat) string {
		if f.new != "" {
			return f.new
		}
		return f.old
	}
	slices.SortFunc(d, func(a, b fileStat) int { return strings.Compare(key(a), key(b)) })
}

// seriesStat is the diffstat of all patches together, which is not the sum of theirs: what one adds and another takes
// away is no change. It is worked out from the patches alone, by following each line that they name; the base's own text
// (readBase, which may be nil) is needed only to say how much of a renamed file stayed the same when more than one patch
// changed it, and for copies.
func seriesStat(ps []*patches.Patch, readBase func(string) ([]byte, error)) (diffStat, error) {
	c := &composer{files: make(map[string]*track), gone: make(map[string]*track), readBase: readBase}
	for n, p := range ps {
		if err := c.patch(n+1, p); err != nil {
			return nil, fmt.Errorf("patch %d: %w", n+1, err)
		}
	}
	return c.stat()
}

// A composer follows the files through the series.
type composer struct {
	files    map[string]*track // by the path that a file has now
	gone     map[string]*track // files of the base that were deleted, by their path there
	readBase func(string) ([]byte, error)
}

// patch follows one patch. All files are taken out before any is put back, because a patch may swap two names.
func (c *composer) patch(n int, p *patches.Patch) error {
	type move struct {
		t  *track
		to string
	}
	var moves []move
	taken := make(map[string]*track)
	for _, f := range p.Diff {
		t, err := c.take(f, taken)
		if err != nil {
			return err
		}
		if err := t.apply(n, f.TextFragments); err != nil {
			return fmt.Errorf("%s: %w", cmp.Or(f.NewName, f.OldName), err)
		}
		t.changed(f)
		to := f.NewName
		if f.IsDelete {
			to = ""
		}
		moves = append(moves, move{t, to})
	}
	for _, m := range moves {
		switch {
		case m.to != "":
			c.files[m.to] = m.t
		case m.t.base != "":
			c.gone[m.t.base] = m.t
		}
	}
	return nil
}

// take returns the history of the file that a diff changes, and takes it from its place.
func (c *composer) take(f *gitdiff.File, taken map[string]*track) (*track, error) {
	if f.IsNew {
		if t := c.gone[f.NewName]; t != nil {
			// Deleted before and made again: for the series as a whole it was changed.
			delete(c.gone, f.NewName)
			t.mode = 0
			return t, nil
		}
		return &track{deleted: map[int]deletion{}}, nil
	}
	name := f.OldName
	t := c.files[name]
	if t == nil {
		t = taken[name]
	}
	if t == nil {
		t = newTrack(name, int(f.OldMode))
	}
	if f.IsCopy {
		return c.copyOf(t)
	}
	taken[name] = t
	delete(c.files, name)
	return t, nil
}

// copyOf makes a new file with all of another's lines, which takes the base's text.
func (c *composer) copyOf(t *track) (*track, error) {
	lines, err := c.content(t)
	if err != nil {
		return nil, err
	}
	out := &track{deleted: map[int]deletion{}}
	for _, l := range lines {
		out.segs = append(out.segs, seg{text: l})
	}
	return out, nil
}

// content returns a file's lines as they are now.
func (c *composer) content(t *track) ([]string, error) {
	var base []string
	if t.base != "" {
		if c.readBase == nil {
			return nil, fmt.Errorf("%s: the text of the base is needed for its diffstat", t.base)
		}
		data, err := c.readBase(t.base)
		if err != nil {
			return nil, err
		}
		base = slices.Collect(strings.Lines(string(data)))
	}
	var out []string
	for _, s := range t.segs {
		if s.first == 0 {
			out = append(out, s.text)
			continue
		}
		end := min(s.first-1+s.n, len(base))
		out = append(out, base[min(s.first-1, end):end]...)
	}
	return out, nil
}

// An end is a file that differs between the two ends of the series. Of one that was made or deleted, text is all of it.
type end struct {
	fileStat
	text []string
}

// stat gathers what has changed from the base to the end.
func (c *composer) stat() (diffStat, error) {
	var ends []end
	for name, t := range c.files {
		e, err := c.end(name, t)
		if err != nil {
			return nil, err
		}
		ends = append(ends, e...)
	}
	for name, t := range c.gone {
		text := t.baseText()
		ends = append(ends, end{fileStat{old: name, oldMode: t.baseMode, deleted: len(text)}, text})
	}
	return findRenames(ends), nil
}

// end returns how a file that is there at the end differs from the base: not at all, as one file, or as two, where it was
// renamed and too little of it stayed the same for git to see that.
func (c *composer) end(name string, t *track) ([]end, error) {
	f := fileStat{old: t.base, new: name, oldMode: t.baseMode, newMode: t.mode, score: t.score}
	f.added, f.deleted = t.count()
	switch {
	case f.old == "":
		text, err := c.content(t)
		return []end{{f, text}}, err
	case f.renamed() && t.touches > 1:
		after, err := c.content(t)
		if err != nil {
			return nil, err
		}
		before, err := c.content(newTrack(t.base, 0))
		if err != nil {
			return nil, err
		}
		if f.score = similarity(before, after); f.score < minScore {
			return []end{{fileStat{old: f.old, oldMode: f.oldMode, deleted: len(before)}, before},
				{fileStat{new: f.new, newMode: f.newMode, added: len(after)}, after}}, nil
		}
	case !f.renamed() && f.added+f.deleted == 0 && (f.oldMode == f.newMode || f.newMode == 0):
		return nil, nil
	}
	return []end{{f, nil}}, nil
}

// findRenames joins files that one patch deletes and another makes, where they are alike: git compares only the two ends
// of the series.
func findRenames(ends []end) diffStat {
	// The order of a map must not decide between two pairs that are equally good.
	slices.SortFunc(ends, func(a, b end) int { return cmp.Compare(a.old+"\x00"+a.new, b.old+"\x00"+b.new) })
	type pair struct{ old, new, score, same int }
	var pairs []pair
	for i, f := range ends {
		for k, g := range ends {
			if f.new != "" || g.old != "" {
				continue
			}
			p := pair{old: i, new: k, score: similarity(f.text, g.text)}
			if path.Base(f.old) == path.Base(g.new) {
				p.same = 1
			}
			if p.score >= minScore && len(f.text) > 0 {
				pairs = append(pairs, p)
			}
		}
	}
	slices.SortStableFunc(pairs, func(a, b pair) int { return cmp.Or(b.score-a.score, b.same-a.same) })
	used := make(map[int]bool)
	var d diffStat
	for _, p := range pairs {
		if used[p.old] || used[p.new] {
			continue
		}
		used[p.old], used[p.new] = true, true
		f, g := ends[p.old], ends[p.new]
		j := fileStat{old: f.old, new: g.new, oldMode: f.oldMode, newMode: g.newMode, score: p.score}
		j.added, j.deleted = diffCount(f.text, g.text)
		d = append(d, j)
	}
	for i, e := range ends {
		if !used[i] {
			d = append(d, e.fileStat)
		}
	}
	d.sort()
	return d
}
