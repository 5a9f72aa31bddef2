// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"context"
	"os"
	"testing"

	"github.com/seriesrig/series/internal/need"
)

// What was resolved once is at hand, and what was not is not fetched.
func TestAtHand(t *testing.T) {
	need.Tool(t, "git")
	ctx := context.Background()
	s := makeStore(t)
	repo := t.TempDir()
	writeTree(t, repo, fakeKernel)
	sh(t, repo, "git init -q . && git branch -m main && git add -A && git commit -qm one")
	base := func(spec string) Base {
		b, err := ParseBase(spec)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	git := base("git:" + repo + "#main")
	if src, ok := s.AtHand(ctx, git); ok {
		t.Errorf("AtHand before Resolve = %+v, want none", src)
	}
	want := resolve(t, s, git.String())
	if src, ok := s.AtHand(ctx, git); !ok || src.Dir != want.Dir || src.Hash != want.Hash {
		t.Errorf("AtHand = %+v, %v, want %s", src, ok, want.Dir)
	}
	sh(t, repo, "echo x > init/more.c && git add -A && git commit -qm two")
	if src, ok := s.AtHand(ctx, git); ok {
		t.Errorf("AtHand after the branch moved = %+v, want none", src)
	}
	if src, ok := s.AtHand(ctx, base("dir:"+repo)); !ok || src.Version == "" || src.Dir == "" {
		t.Errorf("AtHand of a folder = %+v, %v", src, ok)
	}
	for _, spec := range []string{"dir:" + t.TempDir(), "dir:" + repo + "/gone", "git:" + repo + "#nosuch", "git:https://example.org/x.git#main", "tar:/nowhere.tar", "debian:linux-source-9.9"} {
		if src, ok := s.AtHand(ctx, base(spec)); ok {
			t.Errorf("AtHand(%s) = %+v, want none", spec, src)
		}
	}
	if entries, err := os.ReadDir(s.src(".known")); err != nil || len(entries) != 1 {
		t.Errorf("AtHand left something: %v, %v", entries, err)
	}
}
