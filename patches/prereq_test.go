// SPDX-License-Identifier: Apache-2.0

package patches

import (
	"strings"
	"testing"
)

// The ids are those that git format-patch --base writes.
func TestPrerequisites(t *testing.T) {
	r := aHistory(t)
	branch := Branch{Base: Commit{r.dir, r.base}, Repo: r.dir, Name: "series"}
	src, err := GitSource(t.Context(), branch.Base, r.ps)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := WriteBranch(t.Context(), branch, r.ps, applyTo(t, src, r.ps))
	if err != nil {
		t.Fatal(err)
	}
	text := runGit(t, r.dir, "format-patch", "--stdout", "--base="+r.base, ids[3]+".."+ids[4])
	var want []string
	for line := range strings.Lines(text) {
		if id, ok := strings.CutPrefix(line, "prerequisite-patch-id: "); ok {
			want = append(want, strings.TrimSpace(id))
		}
	}
	if len(want) != 4 {
		t.Fatalf("git format-patch names %d prerequisites, want 4:\n%s", len(want), text)
	}
	base, got, err := Prerequisites(t.Context(), Commit{r.dir, ids[3]}, r.base)
	if err != nil || base != runGit(t, r.dir, "rev-parse", r.base) || strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("Prerequisites = %s, %q, %v, want %q", base, got, err, want)
	}
	if _, got, err := Prerequisites(t.Context(), Commit{r.dir, r.base}, r.base); err != nil || len(got) > 0 {
		t.Errorf("Prerequisites of the published commit itself = %q, %v", got, err)
	}
	if _, _, err := Prerequisites(t.Context(), Commit{r.dir, r.base}, ids[0]); err == nil || !strings.Contains(err.Error(), "is no ancestor") {
		t.Errorf("Prerequisites with a later commit = %v", err)
	}
	if _, _, err := Prerequisites(t.Context(), Commit{r.dir, r.base}, "--output=x"); err == nil {
		t.Error("Prerequisites took an option for a commit")
	}
}
