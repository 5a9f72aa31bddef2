// SPDX-License-Identifier: Apache-2.0

package sent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/seriesrig/series/internal/run"
	"github.com/seriesrig/series/patches"
)

// A Pair is a patch before and after, as git range-diff matches them.
type Pair struct {
	Old, New int  // number of the patch; 0 where it has none on that side
	Status   byte // '=' the same, '!' changed, '<' gone, '>' new
	Subject  string
}

var pairForm = regexp.MustCompile(`^ *(-|[0-9]+): +[-0-9a-f]+ ([=!<>]) +(-|[0-9]+): +[-0-9a-f]+ (.*)$`)

// RangeDiff compares two versions with git range-diff, both as commits that are made of the patches alone. Sign-offs are
// left out on both sides. text is git's own output.
func RangeDiff(ctx context.Context, before, after []*patches.Patch) (text string, pairs []Pair, err error) {
	dir, err := os.MkdirTemp("", "series-range-diff-")
	if err != nil {
		return "", nil, err
	}
	defer os.RemoveAll(dir)
	s := Store{filepath.Join(dir, "git")}
	if err := s.make(); err != nil {
		return "", nil, fmt.Errorf("range-diff: %w", err)
	}
	w := &writer{st: s.open()}
	var ranges []string
	for i, ps := range [][]*patches.Patch{before, after} {
		base, ids, err := w.commits(ps)
		if err != nil {
			return "", nil, fmt.Errorf("range-diff: the %s patches: %w", []string{"old", "new"}[i], err)
		}
		ranges = append(ranges, base.String()+".."+ids[len(ids)-1].String())
	}
	cmd := run.Cmd{Name: "git", Args: append([]string{"-c", "core.abbrev=12", "-c", "diff.noprefix=false", "-c", "core.quotePath=true", "-c", "safe.bareRepository=all",
		"--git-dir", s.GitDir, "range-diff", "--no-color", "--no-ext-diff", "--no-textconv"}, ranges...),
		Env: run.CleanEnv("GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_NO_REPLACE_OBJECTS=1", "LC_ALL=C")}
	out, err := cmd.Output(ctx)
	if err != nil {
		return "", nil, fmt.Errorf("range-diff: %w", err)
	}
	for line := range strings.Lines(string(out)) {
		m := pairForm.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		if m == nil {
			continue
		}
		p := Pair{Status: m[2][0], Subject: m[4]}
		p.Old, _ = strconv.Atoi(m[1])
		p.New, _ = strconv.Atoi(m[3])
		pairs = append(pairs, p)
	}
	if len(pairs) < max(len(before), len(after)) {
		return "", nil, errors.New("range-diff: git named fewer patches than there are")
	}
	return string(out), pairs, nil
}

// CheckChanges holds what series.toml says against what git range-diff says of the patches since revision last: each patch
// that is new or changed has an entry in the [[changes]] of a later revision, and one that is as it was has none. revision is
// the one that is to go out. The error is a *patches.InputError that names all that is amiss.
func CheckChanges(s *patches.Series, revision, last int, pairs []Pair) error {
	entries := map[int][]string{}
	said := false
	for _, c := range s.Changes {
		if c.Revision <= last || c.Revision > revision {
			continue
		}
		said = said || c.Revision == revision
		for n, texts := range c.Patches {
			entries[n] = append(entries[n], texts...)
		}
	}
	var bad []string
	if !said {
		bad = append(bad, fmt.Sprintf("there is no [[changes]] with revision = %d", revision))
	}
	for _, p := range pairs {
		has := len(entries[p.New]) > 0
		switch {
		case p.New == 0:
		case p.Status == '=' && has:
			bad = append(bad, fmt.Sprintf("patch %d is as it was in v%d, but %q is said of it", p.New, last, entries[p.New][0]))
		case p.Status == '!' && !has:
			bad = append(bad, fmt.Sprintf("patch %d is changed since v%d, and patches.%04d says nothing of it", p.New, last, p.New))
		case p.Status == '>' && !has:
			bad = append(bad, fmt.Sprintf("patch %d is new since v%d, and patches.%04d says nothing of it", p.New, last, p.New))
		}
	}
	if len(bad) == 0 {
		return nil
	}
	return &patches.InputError{File: filepath.Join(s.Dir, "series.toml"), Msg: "the change log is not that of the patches: " + strings.Join(bad, "; ")}
}
