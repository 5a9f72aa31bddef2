// SPDX-License-Identifier: Apache-2.0

package mail_test

import (
	"bytes"
	"fmt"
	netmail "net/mail"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seriesrig/series/internal/need"
	"github.com/seriesrig/series/internal/run"
	"github.com/seriesrig/series/patches"
	"github.com/seriesrig/series/patches/mail"
)

// A repo is a real git repository in a temporary folder.
type repo struct {
	t   testing.TB
	dir string
	env []string
}

// gitEnv keeps the configuration of the person who runs the tests out of them.
func gitEnv(t testing.TB) []string {
	return run.CleanEnv("HOME="+t.TempDir(), "XDG_CONFIG_HOME=/nonexistent", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=Series Rig", "GIT_AUTHOR_EMAIL=series@seriesrig.invalid",
		"GIT_COMMITTER_NAME=Committer", "GIT_COMMITTER_EMAIL=c@seriesrig.invalid",
		"GIT_AUTHOR_DATE=2026-01-02T03:04:05+0100", "GIT_COMMITTER_DATE=2026-01-02T03:04:05+0100")
}

func newRepo(t testing.TB) *repo {
	t.Helper()
	need.Tool(t, "git")
	r := &repo{t: t, dir: t.TempDir(), env: gitEnv(t)}
	r.git("init", "-q", "-b", "main")
	// b4 ends without a word where these are not set.
	r.git("config", "user.name", "Committer")
	r.git("config", "user.email", "c@seriesrig.invalid")
	return r
}

func (r *repo) command(env []string, args ...string) (string, error) {
	r.t.Helper()
	var out, errs bytes.Buffer
	err := run.Cmd{Name: "git", Args: args, Dir: r.dir, Env: append(slices.Clone(r.env), env...), Stdout: &out, Stderr: &errs}.Run(r.t.Context())
	if err != nil {
		err = fmt.Errorf("git %s: %w\n%s%s", strings.Join(args, " "), err, out.String(), errs.String())
	}
	return out.String(), err
}

func (r *repo) git(args ...string) string {
	r.t.Helper()
	out, err := r.command(nil, args...)
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

// A change is a commit to be made: files to write ("" as content deletes nothing; use remove), and a message.
type change struct {
	write   map[string]string
	remove  []string
	rename  [][2]string
	chmod   map[string]os.FileMode
	author  patches.Person // zero: Series Rig
	subject string
	body    string
}

func (r *repo) commit(c change) {
	r.t.Helper()
	for _, mv := range c.rename {
		r.mkdir(mv[1])
		r.must(os.Rename(filepath.Join(r.dir, mv[0]), filepath.Join(r.dir, mv[1])))
	}
	for _, name := range c.remove {
		r.must(os.Remove(filepath.Join(r.dir, name)))
	}
	for name, text := range c.write {
		r.mkdir(name)
		r.must(os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o644))
	}
	for name, mode := range c.chmod {
		r.must(os.Chmod(filepath.Join(r.dir, name), mode))
	}
	r.git("add", "-A")
	if c.author == (patches.Person{}) {
		c.author = patches.Person{Name: "Series Rig", Email: "series@seriesrig.invalid"}
	}
	message := c.subject + "\n"
	if c.body != "" {
		message += "\n" + c.body
	}
	file := filepath.Join(r.t.TempDir(), "message")
	r.must(os.WriteFile(file, []byte(message), 0o644))
	env := []string{"GIT_AUTHOR_NAME=" + c.author.Name, "GIT_AUTHOR_EMAIL=" + c.author.Email}
	if _, err := r.command(env, "commit", "-q", "--cleanup=verbatim", "--allow-empty-message", "-F", file); err != nil {
		r.t.Fatal(err)
	}
}

func (r *repo) mkdir(name string) {
	r.must(os.MkdirAll(filepath.Dir(filepath.Join(r.dir, name)), 0o755))
}

func (r *repo) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// series makes a series of the commits since base, through git format-patch and the project's own parser.
func (r *repo) series(base string, args ...string) *patches.Series {
	r.t.Helper()
	out := r.t.TempDir()
	r.git(append([]string{"format-patch", "-q", "-o", out, base}, args...)...)
	files, err := filepath.Glob(filepath.Join(out, "*.patch"))
	r.must(err)
	s := &patches.Series{ID: "trial", Title: "a trial", Revision: 1, Prefix: "PATCH", Base: "git:.#" + base,
		Cover: patches.Cover{Subject: "a trial", Body: "What it is about.\n"}}
	for i, name := range files {
		p, err := patches.LoadPatch(name)
		r.must(err)
		p.Number = i + 1
		s.Patches = append(s.Patches, p)
	}
	return s
}

// readBase reads a file of the base commit.
func (r *repo) readBase(base string) func(string) ([]byte, error) {
	return func(path string) ([]byte, error) {
		out, err := r.command(nil, "show", base+":"+path)
		return []byte(out), err
	}
}

// am applies an mbox to base in a fresh branch and returns the commits it made.
func (r *repo) am(base string, mbox []byte, args ...string) (string, error) {
	r.t.Helper()
	file := filepath.Join(r.t.TempDir(), "thread.mbox")
	r.must(os.WriteFile(file, mbox, 0o644))
	r.git("checkout", "-q", "--detach", base)
	defer r.git("checkout", "-q", "main")
	if _, err := r.command(nil, append(append([]string{"am", "-q"}, args...), file)...); err != nil {
		r.git("am", "--abort")
		return "", err
	}
	return strings.TrimSpace(r.git("rev-parse", "HEAD")), nil
}

// describe lists what a series of commits is: of each the tree, the author and the message, byte for byte.
func (r *repo) describe(base, tip string) string {
	return r.git("log", "--reverse", "--format=tree %T%nauthor %an <%ae>%n%B%x00", base+".."+tip)
}

// patchMails drops the cover letter, which git am would stop at for want of a patch.
func patchMails(t *mail.Thread) []byte {
	var b bytes.Buffer
	only := mail.Thread{}
	for _, m := range t.Messages {
		if m.Number > 0 || len(t.Messages) == 1 {
			only.Messages = append(only.Messages, m)
		}
	}
	if _, err := only.WriteTo(&b); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func mbox(t *mail.Thread) []byte {
	var b bytes.Buffer
	if _, err := t.WriteTo(&b); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func numbered(prefix string, from, to int) string {
	var b strings.Builder
	for i := from; i <= to; i++ {
		fmt.Fprintf(&b, "%s %d\n", prefix, i)
	}
	return b.String()
}

// longLines are lines of about 175 bytes, of which the last part may be changed.
func longLines(middle, end string) string {
	var b strings.Builder
	for i := range 40 {
		fmt.Fprintf(&b, "%s %d %s %d %s\n", strings.Repeat("x", 100), i, strings.Repeat(middle, 10), i, end)
	}
	return b.String()
}

var (
	jane = netmail.Address{Name: "Jane Sender", Address: "jane@example.org"}
	zoe  = netmail.Address{Name: `Zoë "the" Sender`, Address: "zoe@example.org"}
)
