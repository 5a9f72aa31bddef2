// SPDX-License-Identifier: Apache-2.0

// Package sent keeps what went out: of each version of a series a tag in a git repository, with the messages byte for byte
// and the patches as commits, and compares versions with git range-diff.
//
// The tag ID/vN (refs/tags/ID/vN) is an annotated one. Its commit holds thread.mbox and the patches as files; the commit's
// parent is the last of the patches as commits, and below these stands their base. The commits are made of the patches
// alone (mail.Skeleton): `git range-diff ID/v1^~3..ID/v1^ ID/v2^~3..ID/v2^` compares two versions of three patches in any
// clone of the repository, without a kernel.
package sent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	netmail "net/mail"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"github.com/seriesrig/series/internal/run"
	"github.com/seriesrig/series/patches"
	"github.com/seriesrig/series/patches/mail"
)

// A Store is the git repository that keeps versions.
type Store struct {
	GitDir string // a bare repository, or the .git of another; made where nothing is there
}

// Find returns the store for a folder of series: the git repository that the folder is in, so that the tags go where the
// patches go; where it is in none, fallback.
func Find(ctx context.Context, folder, fallback string) Store {
	out, err := run.Cmd{Name: "git", Args: []string{"-C", folder, "rev-parse", "--path-format=absolute", "--git-common-dir"}, Env: run.CleanEnv()}.Output(ctx)
	if dir := strings.TrimSuffix(string(out), "\n"); err == nil && filepath.IsAbs(dir) {
		return Store{dir}
	}
	return Store{fallback}
}

// Errors that callers ask for.
var (
	// ErrNotSent says that no such version is kept.
	ErrNotSent = errors.New("no such version was recorded as sent")
	// ErrSentOtherwise says that this version went out with other messages.
	ErrSentOtherwise = errors.New("this version was sent before, with other messages; raise the revision")
)

// A Version is one that went out.
type Version struct {
	Series   string
	Revision int
	When     time.Time
	Mbox     []byte // the messages as they went out
	Thread   *mail.Thread
	Patches  []*patches.Patch
}

var idForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`)

func tagName(id string, revision int) plumbing.ReferenceName {
	return plumbing.NewTagReferenceName(fmt.Sprintf("%s/v%d", id, revision))
}

// Record keeps a version that went out. The id and the revision are those of its Message-Ids, where series mail made them;
// for another program's thread id says which series it is, and the subjects which revision; otherwise id may be "". Recorded
// again, the same messages change nothing; others are ErrSentOtherwise. who and when become the tag's. It returns the tag's
// name.
func (s Store) Record(id string, mbox []byte, who netmail.Address, when time.Time) (tag string, err error) {
	v, err := read(id, mbox)
	if err != nil {
		return "", fmt.Errorf("record as sent: %w", err)
	}
	v.When = when
	if tag, err = s.record(v, who); err != nil {
		return "", fmt.Errorf("record %s v%d as sent: %w", v.Series, v.Revision, err)
	}
	return tag, nil
}

// Same tells whether a thread says what went out, in messages of the same Message-Ids. Dates and recipients that were added
// when it was sent do not count, nor do the signatures, in which the program's version stands.
func (v *Version) Same(t *mail.Thread) bool {
	return slices.EqualFunc(v.Thread.Messages, t.Messages, func(a, b *mail.Message) bool {
		return a.ID == b.ID && a.Subject == b.Subject && sameText(a, b)
	})
}

// Again tells whether a thread is a RESEND of what went out, unmodified.
func (v *Version) Again(t *mail.Thread) bool {
	summary := func(m *mail.Message) string { _, s, _ := strings.Cut(m.Subject, "] "); return s }
	return t.IsResend() && slices.EqualFunc(v.Thread.Messages, t.Messages, func(a, b *mail.Message) bool {
		return a.Number == b.Number && summary(a) == summary(b) && sameText(a, b)
	})
}

func sameText(a, b *mail.Message) bool {
	text := func(m *mail.Message) string {
		if i := strings.LastIndex(m.Body, "\n-- \n"); i >= 0 {
			return m.Body[:i]
		}
		return strings.TrimRight(m.Body, "\n")
	}
	return a.From == b.From && text(a) == text(b)
}

// read takes an mbox apart.
func read(id string, mbox []byte) (*Version, error) {
	ms, err := mail.Parse(bytes.NewReader(mbox))
	if err != nil {
		return nil, err
	}
	v := &Version{Mbox: mbox, Thread: &mail.Thread{Messages: ms}}
	for i, m := range ms {
		name, revision, err := seriesOf(id, m)
		switch {
		case err != nil:
			return nil, fmt.Errorf("message %d (line %d): %w", i+1, m.Line, err)
		case i == 0:
			v.Series, v.Revision = name, revision
		case name != v.Series || revision != v.Revision:
			return nil, fmt.Errorf("message %d (line %d) is of %s v%d, not of %s v%d", i+1, m.Line, name, revision, v.Series, v.Revision)
		}
	}
	v.Patches, err = v.Thread.Patches()
	return v, err
}

var bracketForm = regexp.MustCompile(`^\[([^\]]*)\]`)
var versionForm = regexp.MustCompile(`(?i)(?:^|[ ,]|PATCH)v([0-9]{1,3})(?:[ ,]|$)`)

// seriesOf tells of which series and revision a message is: by its Message-Id, or by id and its subject.
func seriesOf(id string, m *mail.Message) (string, int, error) {
	if own, revision, ok := mail.SeriesOf(m.ID); ok {
		if id != "" && own != id {
			return "", 0, fmt.Errorf("it is of the series %s, not %s", own, id)
		}
		return own, revision, nil
	}
	bracket := bracketForm.FindStringSubmatch(m.Subject)
	switch {
	case id == "" || !idForm.MatchString(id):
		return "", 0, fmt.Errorf("the Message-Id %q is none that series mail makes", m.ID)
	case bracket == nil:
		return "", 0, fmt.Errorf("the subject %q is no patch's", m.Subject)
	}
	if n := versionForm.FindStringSubmatch(bracket[1]); n != nil {
		revision, err := strconv.Atoi(n[1])
		if err != nil || revision < 1 {
			return "", 0, fmt.Errorf("the subject %q has no version", m.Subject)
		}
		return id, revision, nil
	}
	return id, 1, nil
}

func (s Store) open() *filesystem.Storage {
	return filesystem.NewStorage(osfs.New(s.GitDir), cache.NewObjectLRUDefault())
}

// record writes the tag ID/vN, or ID/vN-resend-K for the K-th RESEND of it.
func (s Store) record(v *Version, who netmail.Address) (tag string, err error) {
	if err := s.make(); err != nil {
		return "", err
	}
	st := s.open()
	ref := tagName(v.Series, v.Revision)
	for k := 0; ; k++ {
		if k > 0 {
			ref = plumbing.ReferenceName(fmt.Sprintf("%s-resend-%d", tagName(v.Series, v.Revision), k))
		}
		if _, err := st.Reference(ref); err != nil {
			break
		}
		have, err := s.at(ref, v.Series, v.Revision)
		switch {
		case err != nil:
			return "", err
		case have.Same(v.Thread):
			return ref.Short(), nil
		case !have.Again(v.Thread):
			return "", ErrSentOtherwise
		}
	}
	w := &writer{st: st}
	var parents []plumbing.Hash
	// Patches that do not follow from each other make no commits; the messages are kept all the same.
	if _, ids, err := w.commits(v.Patches); err == nil {
		parents = []plumbing.Hash{ids[len(ids)-1]}
	}
	files := patches.Map{"thread.mbox": {Data: v.Mbox, Mode: 0o644}}
	for _, p := range v.Patches {
		files[filepath.Base(p.File)] = &patches.File{Data: p.Raw, Mode: 0o644}
	}
	tree, err := w.tree(files)
	if err != nil {
		return "", err
	}
	sig := object.Signature{Name: plain(who.Name), Email: plain(who.Address), When: v.When}
	subject := fmt.Sprintf("%s v%d, as it was sent\n", v.Series, v.Revision)
	commit, err := w.put(plumbing.CommitObject, (&object.Commit{Author: sig, Committer: sig, Message: subject, TreeHash: tree, ParentHashes: parents}).Encode)
	if err != nil {
		return "", err
	}
	text := subject + "\n"
	for _, m := range v.Thread.Messages {
		text += "Message-Id: <" + m.ID + ">\n"
	}
	made, err := w.put(plumbing.TagObject, (&object.Tag{Name: ref.Short(), Tagger: sig, Message: text, TargetType: plumbing.CommitObject, Target: commit}).Encode)
	if err != nil {
		return "", err
	}
	return ref.Short(), st.SetReference(plumbing.NewHashReference(ref, made))
}

// plain keeps a name from breaking an object's line.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '<' || r == '>' {
			return -1
		}
		return r
	}, s)
}

// make makes the repository where there is none.
func (s Store) make() error {
	if _, err := os.Stat(filepath.Join(s.GitDir, "HEAD")); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(s.GitDir, 0o755); err != nil {
		return err
	}
	st := s.open()
	if err := st.Init(); err != nil {
		return err
	}
	config := "[core]\n\trepositoryformatversion = 0\n\tbare = true\n"
	if err := os.WriteFile(filepath.Join(s.GitDir, "config"), []byte(config), 0o644); err != nil {
		return err
	}
	return st.SetReference(plumbing.NewSymbolicReference(plumbing.HEAD, plumbing.NewBranchReferenceName("main")))
}

// Get returns a version that went out. One that is not there is ErrNotSent.
func (s Store) Get(id string, revision int) (*Version, error) {
	v, err := s.get(id, revision)
	if err != nil {
		return nil, fmt.Errorf("%s v%d in %s: %w", id, revision, s.GitDir, err)
	}
	return v, nil
}

func (s Store) get(id string, revision int) (*Version, error) {
	if !idForm.MatchString(id) || revision < 1 {
		return nil, ErrNotSent
	}
	if _, err := os.Stat(filepath.Join(s.GitDir, "HEAD")); err != nil {
		return nil, ErrNotSent
	}
	return s.at(tagName(id, revision), id, revision)
}

// at reads the version that a tag holds.
func (s Store) at(name plumbing.ReferenceName, id string, revision int) (*Version, error) {
	st := s.open()
	ref, err := st.Reference(name)
	if errors.Is(err, plumbing.ErrReferenceNotFound) {
		return nil, ErrNotSent
	}
	if err != nil {
		return nil, err
	}
	tag, err := object.GetTag(st, ref.Hash())
	if err != nil {
		return nil, err
	}
	commit, err := tag.Commit()
	if err != nil {
		return nil, err
	}
	f, err := commit.File("thread.mbox")
	if err != nil {
		return nil, fmt.Errorf("the tag has no thread.mbox: %w", err)
	}
	r, err := f.Reader()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	mbox, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	v, err := read(id, mbox)
	if err != nil {
		return nil, err
	}
	if v.Series != id || v.Revision != revision {
		return nil, fmt.Errorf("the tag holds %s v%d", v.Series, v.Revision)
	}
	v.When = tag.Tagger.When
	return v, nil
}

// List returns the revisions of a series that went out, in order.
func (s Store) List(id string) ([]int, error) {
	if _, err := os.Stat(filepath.Join(s.GitDir, "HEAD")); err != nil || !idForm.MatchString(id) {
		return nil, nil
	}
	refs, err := s.open().IterReferences()
	if err != nil {
		return nil, fmt.Errorf("list versions of %s in %s: %w", id, s.GitDir, err)
	}
	defer refs.Close()
	var out []int
	err = refs.ForEach(func(r *plumbing.Reference) error {
		rest, ok := strings.CutPrefix(string(r.Name()), "refs/tags/"+id+"/v")
		if n, err := strconv.Atoi(rest); ok && err == nil && n > 0 {
			out = append(out, n)
		}
		return nil
	})
	slices.Sort(out)
	return out, err
}
