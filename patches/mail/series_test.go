// SPDX-License-Identifier: Apache-2.0

package mail_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seriesrig/series/internal/need"
	"github.com/seriesrig/series/patches"
	"github.com/seriesrig/series/patches/mail"
	"github.com/seriesrig/series/results"
)

// The series of this repository, on the kernel's own files: git am, b4 am and git format-patch agree with the thread.
func TestRepositorySeries(t *testing.T) {
	source := need.Source(t)
	all, err := patches.List("..")
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Fatal("there is no series")
	}
	for _, s := range all {
		t.Run(s.ID, func(t *testing.T) {
			r := newRepo(t)
			r.commit(change{write: baseFiles(t, source, s), subject: "base"})
			r.git("tag", "base")
			var files []string
			for _, p := range s.Patches {
				file, err := filepath.Abs(p.File)
				r.must(err)
				files = append(files, file)
			}
			r.git(append([]string{"am", "-q"}, files...)...)
			want := r.describe("base", "main")

			commit := strings.TrimSpace(r.git("rev-parse", "base"))
			th, err := mail.Render(mail.Options{Series: s, AllowMissing: true, ReadBase: r.readBase("base"), Base: results.Base{Commit: commit}})
			if err != nil {
				t.Fatal(err)
			}
			tip, err := r.am("base", patchMails(th))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, r.describe("base", tip)); d != "" {
				t.Errorf("git am of the thread and of the patches (-patches +thread):\n%s", d)
			}
			stat, _ := gitCover(r)
			stat = strings.Replace(stat, "\n\n\nbase-commit", "\n\nbase-commit", 1)
			if body, _, _ := strings.Cut(th.Messages[0].Body, "-- \nseries "); !strings.HasSuffix(body, "\n\n"+stat) {
				t.Errorf("the cover letter does not end as git's, which is\n%s\nbut\n%s", stat, body)
			}
			need.Tool(t, "b4")
			if d := cmp.Diff(want, b4am(t, r, th)); d != "" {
				t.Errorf("b4 am of the thread and git am of the patches (-patches +b4):\n%s", d)
			}
		})
	}
}

// baseFiles are the files of the kernel that a series touches, where they are there.
func baseFiles(t *testing.T, source string, s *patches.Series) map[string]string {
	t.Helper()
	out := map[string]string{"COPYING": "so that there is a file\n"}
	for _, p := range s.Patches {
		for _, name := range p.Paths() {
			data, err := os.ReadFile(filepath.Join(source, name))
			if err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			} else if err == nil {
				out[name] = string(data)
			}
		}
	}
	if len(out) == 1 {
		t.Fatalf("%s: %v", source, fs.ErrNotExist)
	}
	return out
}
