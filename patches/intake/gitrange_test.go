// SPDX-License-Identifier: Apache-2.0

package intake

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seriesrig/series/internal/need"
	"github.com/seriesrig/series/patches/mail"
)

// A repo is a git repository with a configuration that would spoil patches.
type repo struct {
	t      *testing.T
	dir    string
	author string
}

func newRepo(t *testing.T) repo {
	t.Helper()
	need.Tool(t, "git")
	r := repo{t, t.TempDir(), `Jörg "J" Müller`}
	r.git("init", "-q", "-b", "main")
	return r
}

// git runs git, and returns what it says.
func (r repo) git(args ...string) string {
	r.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = r.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=" + r.author, "GIT_AUTHOR_EMAIL=j@example.org",
		"GIT_COMMITTER_NAME=C", "GIT_COMMITTER_EMAIL=c@example.org", "GIT_AUTHOR_DATE=2026-01-02T03:04:05+0100", "GIT_COMMITTER_DATE=2026-01-02T03:04:05+0100"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %q: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func (r repo) commit(name, text, message string) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o644); err != nil {
		r.t.Fatal(err)
	}
	r.git("add", "-A")
	r.git("commit", "-q", "--allow-empty", "--cleanup=verbatim", "-m", message)
}

func TestGitRange(t *testing.T) {
	r := newRepo(t)
	r.commit("a.c", "1\n2\n3\n", "base")
	r.git("tag", "v1.0")
	r.commit("a.c", "1\ntwo\n3\n", "a: ein Wört\n\nFrom: is the first word.\nFrom here on more.\n\nSigned-off-by: J <j@example.org>\n")
	r.commit("ä name.c", "x\n", "b: add a file")
	for key, value := range map[string]string{"diff.noprefix": "true", "format.attach": "x", "format.signature": "me", "diff.external": "/bin/false", "format.subjectPrefix": "X",
		"format.headers": "X-Evil: 1", "format.signOff": "true", "diff.context": "0", "format.coverLetter": "true", "format.outputDirectory": "/nonexistent/x"} {
		r.git("config", key, value)
	}
	s, err := GitRange(t.Context(), r.dir, "v1.0..main")
	if err != nil {
		t.Fatal(err)
	}
	got := write(t, s)
	if want := "git:" + r.dir + "#" + r.git("rev-parse", "v1.0"); got.Base != want || got.ID != "a-ein-w-rt" || got.ChangeID == "" || len(got.Patches) != 2 {
		t.Errorf("base %q, id %q, change-id %q, %d patches; want base %q", got.Base, got.ID, got.ChangeID, len(got.Patches), want)
	}
	th := render(t, mail.Options{Series: got, From: jane})
	if !strings.Contains(th.Messages[0].Body, "\nbase-commit: "+r.git("rev-parse", "v1.0")+"\nchange-id: "+got.ChangeID+"\n") {
		t.Errorf("the cover letter does not name its base:\n%s", th.Messages[0].Body)
	}
	// What git am makes of the thread is what the commits are.
	var files []string
	for i, m := range th.Messages[1:] {
		name := filepath.Join(t.TempDir(), "m")
		if err := os.WriteFile(name, append([]byte(separator), m.Raw...), 0o644); err != nil {
			t.Fatal(i, err)
		}
		files = append(files, name)
	}
	describe := func(tip string) string { return r.git("log", "--format=%T %an <%ae>%n%B%x00", "v1.0.."+tip) }
	want := describe("main")
	r.git("checkout", "-q", "--detach", "v1.0")
	r.git(append([]string{"am", "-q", "--no-signoff"}, files...)...)
	if d := cmp.Diff(want, describe("HEAD")); d != "" {
		t.Errorf("git am of the imported commits (-commits +am):\n%s", d)
	}
}

func TestGitRangeFails(t *testing.T) {
	r := newRepo(t)
	r.commit("a.c", "1\n", "base")
	r.git("tag", "base")
	r.git("checkout", "-q", "-b", "side")
	r.commit("b.c", "1\n", "side")
	r.git("checkout", "-q", "main")
	r.commit("c.c", "1\n", "main")
	r.git("merge", "-q", "--no-edit", "side")
	r.git("tag", "merged")
	r.git("commit", "-q", "--allow-empty", "-m", "nothing")
	for source, want := range map[string]string{
		"base..nothere": `no commit "nothere"`, "base..base": "there is no commit in it", "base..main": "is a merge", "merged..main": "commit 1 of the range: is empty",
		"--output=x..main": "not a revision",
	} {
		if _, err := GitRange(t.Context(), r.dir, source); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("GitRange(%s) = %v, want an error with %q", source, err, want)
		}
	}
}

func TestIsRange(t *testing.T) {
	for source, want := range map[string]bool{"v1..v2": true, "topic/a..topic/b": true, "HEAD~3..": false, "../x.mbox": false, "a/../x.mbox": false, "x.mbox": false, "a...b": false, "..b": false} {
		if got := IsRange(source); got != want {
			t.Errorf("IsRange(%q) = %v, want %v", source, got, want)
		}
	}
}

// A thread that git format-patch made, cover letter and all, comes in; the patches that go out again make the commits that
// it was made of, and the diffs are the same byte for byte.
func TestFormatPatchThread(t *testing.T) {
	r := newRepo(t)
	r.author = "Jörg Müller" // git loses the quotes on its own way from format-patch to am
	r.commit("a.c", "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n", "base")
	r.git("tag", "v1.0")
	r.commit("a.c", "1\n2\n3\n4\nfünf\n6\n7\n8\n9\n10", "a: ein Wört with a subject that is so long that it has to be folded over two lines\n\nProse.\n\n  indented\n\nSigned-off-by: J <j@example.org>\n")
	r.commit("b.c", "From here\n>From there\n-- \n", "b: add a file\n\nText with --- in it.\n")
	r.git("mv", "a.c", "sub.c")
	r.commit("b.c", "From here on\n>From there\n-- \n", "all: rename\n\nCc: One <one@example.org>\n")
	want := r.git("log", "--format=%T %an <%ae> %ad%n%B%x00", "v1.0..main")
	base := r.git("rev-parse", "v1.0")
	for how, args := range map[string][]string{
		"thread":  {"--thread", "--cover-letter", "--base=v1.0", "-v3", "--subject-prefix=PATCH net-next", "--from=Someone Else <else@example.org>", "--to=list@example.org", "--cc=Änne <a@example.org>"},
		"bare":    {"-v3", "--subject-prefix=RFC PATCH"},
		"unnamed": {"-N"},
	} {
		folder := t.TempDir()
		r.git(append([]string{"format-patch", "-q", "-o", folder, "v1.0..main"}, args...)...)
		s, err := Read(folder, Options{})
		if err != nil {
			t.Errorf("%s: %v", how, err)
			continue
		}
		if how == "thread" && (s.Revision != 3 || s.Prefix != "PATCH net-next" || s.BaseCommit != base || len(s.To) != 1 || len(s.Cc) != 1 || s.Cc[0] != "Änne <a@example.org>") {
			t.Errorf("%s: v%d, prefix %q, base %q, to %q, cc %q", how, s.Revision, s.Prefix, s.BaseCommit, s.To, s.Cc)
		}
		if how == "thread" && strings.Contains(s.Cover, "changed") {
			t.Errorf("%s: the cover letter has a diffstat:\n%s", how, s.Cover)
		}
		got := write(t, s)
		var files []string
		for _, p := range got.Patches {
			files = append(files, p.File)
		}
		r.git("checkout", "-q", "--detach", "v1.0")
		r.git(append([]string{"am", "-q", "--no-signoff"}, files...)...)
		if d := cmp.Diff(want, r.git("log", "--format=%T %an <%ae> %ad%n%B%x00", "v1.0..HEAD")); d != "" {
			t.Errorf("%s: git am of the stored patches (-commits +am):\n%s", how, d)
		}
	}
}
