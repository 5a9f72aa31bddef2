// SPDX-License-Identifier: Apache-2.0

package patches

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
)

// A Branch says which branch is made, where, and on what.
type Branch struct {
	Base Commit
	Name string // "series/kauditd-wakeup"

	// Repo is the repository that gets the branch; it may be the base's own. Where nothing is there a bare one is made.
	//
	// A new one borrows the base's objects (objects/info/alternates), so that it costs a few KB, and the base's repository
	// is not touched at all; but it lives only as long as that does. With Own it gets all objects of the base's
	// repository, as hard links where that can be.
	Repo string
	Own  bool

	// Force replaces a branch of that name that holds something else. One that is checked out is never replaced.
	Force bool
}

// ErrBranchExists says that a branch is there and holds something else.
var ErrBranchExists = errors.New("branch exists and holds something else")

// WriteBranch makes a branch with one commit per patch and returns the commits' ids; it puts them into res, too. res must be
// what Apply made of ps on the files of the base commit, which is checked.
//
// All commits are made in memory first. They reach a repository as one pack, through git index-pack, which checks every
// object and that nothing they refer to is missing, and only then is the branch set, if it still is what it was before.
// Should that fail, the pack is taken away again; so at no time does a repository hold half of a series. A new
// repository is made under another name and renamed when it is complete.
func WriteBranch(ctx context.Context, b Branch, ps []*Patch, res *Result) ([]string, error) {
	if len(ps) != len(res.Patches) {
		return nil, fmt.Errorf("make branch %s: %d patches, of which %d were applied", b.Name, len(ps), len(res.Patches))
	}
	ref := plumbing.NewBranchReferenceName(b.Name)
	if err := ref.Validate(); err != nil || strings.HasPrefix(b.Name, "-") || b.Name == "HEAD" {
		return nil, fmt.Errorf("%q is not a name for a branch", b.Name)
	}
	there, err := exists(b.Repo)
	if err != nil {
		return nil, fmt.Errorf("make branch %s: %w", b.Name, err)
	}
	built, base, ids, err := commitOn(ctx, b.Base, ps, res)
	if err != nil {
		return nil, fmt.Errorf("make branch %s: %w", b.Name, err)
	}
	tip := base
	if len(ids) > 0 {
		tip = ids[len(ids)-1]
	}
	if there {
		err = full(b.Repo, b.Repo, b.into(ctx, b.Repo, ref, base, tip, built))
	} else {
		err = b.create(ctx, ref, base, tip, built)
	}
	if err != nil {
		return nil, fmt.Errorf("make branch %s in %s: %w", b.Name, b.Repo, err)
	}
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = id.String()
		res.Patches[i].Commit = out[i]
	}
	return out, nil
}

// exists tells whether anything but an empty folder has the name.
func exists(name string) (bool, error) {
	if name == "" {
		return false, errors.New("no repository is named")
	}
	entries, err := os.ReadDir(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	}
	return len(entries) > 0, nil
}

// into puts the commits into a repository that is there.
func (b Branch) into(ctx context.Context, repo string, ref plumbing.ReferenceName, base, tip plumbing.Hash, built *builder) error {
	if top, err := gitLine(ctx, repo, "rev-parse", "--git-dir"); err != nil || top == "" {
		return fmt.Errorf("not a git repository: %w", err)
	}
	old, _ := gitLine(ctx, repo, "rev-parse", "--verify", "--quiet", ref.String())
	if old == tip.String() {
		return nil
	}
	if old == "" {
		old = plumbing.ZeroHash.String()
	} else {
		if !b.Force {
			return fmt.Errorf("%w (%.12s)", ErrBranchExists, old)
		}
		trees, err := gitLine(ctx, repo, "worktree", "list", "--porcelain")
		if err != nil {
			return err
		}
		bare, err := gitLine(ctx, repo, "rev-parse", "--is-bare-repository")
		if err != nil {
			return err
		}
		if bare != "true" && strings.Contains("\n"+trees+"\n", "\nbranch "+ref.String()+"\n") {
			return fmt.Errorf("the branch is checked out, and its files would no longer be those of its commit")
		}
	}
	giveBack, err := b.haveBase(ctx, repo, base)
	if err != nil {
		return err
	}
	undo, err := built.send(ctx, repo, b.Repo)
	if err != nil {
		giveBack()
		return err
	}
	if err := git(repo, "update-ref", "-m", "series apply", ref.String(), tip.String(), old).Run(ctx); err != nil {
		undo()
		giveBack()
		return err
	}
	return nil
}

// borrowsKey marks, in a repository's configuration, one that was made here and borrows objects.
const borrowsKey = "series.borrows"

// haveBase makes sure that the repository has the base commit. One that was made here, for another base, borrows from
// this one, too; in a repository that somebody else made nothing is borrowed behind his back. undo takes that back.
func (b Branch) haveBase(ctx context.Context, repo string, base plumbing.Hash) (undo func(), err error) {
	if git(repo, "cat-file", "-e", base.String()+"^{commit}").Run(ctx) == nil {
		return func() {}, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if mark, _ := gitLine(ctx, repo, "config", "--local", "--get", borrowsKey); mark != "true" {
		return nil, fmt.Errorf("it lacks the base commit %s; fetch that from %s, or name a folder that is not there yet", base, b.Base.Repo)
	}
	return borrow(ctx, repo, b.Base.Repo)
}

// borrow adds the objects of a repository to those of another.
func borrow(ctx context.Context, repo, from string) (undo func(), err error) {
	objects, err := gitPath(ctx, from, "objects")
	if err != nil {
		return nil, err
	}
	if strings.ContainsAny(objects, "\n\"") || strings.HasPrefix(objects, "#") {
		return nil, fmt.Errorf("the path of the base's objects, %q, cannot be written into a list of alternates", objects)
	}
	list, err := gitPath(ctx, repo, "objects/info/alternates")
	if err != nil {
		return nil, err
	}
	old, err := os.ReadFile(list)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(list), 0o755); err != nil {
		return nil, err
	}
	if err := replace(list, append(bytes.Clone(old), objects+"\n"...)); err != nil {
		return nil, err
	}
	return func() { replace(list, old) }, nil
}

// replace writes a file whole or not at all.
func replace(name string, data []byte) error {
	tmp := name + ".new"
	if err := os.WriteFile(tmp, data, 0o644); err != nil {
		os.Remove(tmp)
		return err
	}
	return os.Rename(tmp, name)
}

// send sends the objects to a repository as a pack; where is the name that errors have for the repository. undo takes the
// pack away again if it was not there before.
//
// The pack is made in a folder of its own, from where it is moved when it is complete, as git receive-pack does: a git
// index-pack that fails on a full disk leaves what it has written.
func (b *builder) send(ctx context.Context, repo, where string) (undo func(), err error) {
	if len(b.order) == 0 {
		return func() {}, nil
	}
	pack, sum, err := b.encode()
	if err != nil {
		return nil, err
	}
	objects, err := gitPath(ctx, repo, "objects")
	if err != nil {
		return nil, err
	}
	stored := filepath.Join(objects, "pack", "pack-"+sum.String())
	if _, err := os.Lstat(stored + ".idx"); err == nil {
		return func() {}, nil
	}
	tmp, err := os.MkdirTemp(objects, "tmp_objdir-series-") // a name that git gc removes, should this process be killed
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	if err := os.Mkdir(filepath.Join(tmp, "pack"), 0o755); err != nil {
		return nil, err
	}
	cmd := git(repo, "index-pack", "--stdin", "--strict")
	cmd.Env = append(cmd.Env, "GIT_OBJECT_DIRECTORY="+tmp, "GIT_ALTERNATE_OBJECT_DIRECTORIES="+alternate(objects))
	cmd.Stdin = pack
	out, err := cmd.Output(ctx)
	if err != nil {
		return nil, full(where, tmp, err)
	}
	if !strings.Contains(string(out), sum.String()) {
		return nil, fmt.Errorf("git index-pack stored %q, not pack %s", shorten(strings.TrimSpace(string(out))), sum)
	}
	undo = func() {
		for _, ext := range []string{".idx", ".rev", ".pack"} { // without its index a pack is not seen
			os.Remove(stored + ext)
		}
	}
	if err := os.MkdirAll(filepath.Dir(stored), 0o755); err != nil {
		return nil, err
	}
	for _, ext := range []string{".pack", ".rev", ".idx"} {
		err := os.Rename(filepath.Join(tmp, "pack", "pack-"+sum.String()+ext), stored+ext)
		if err != nil && !(ext == ".rev" && errors.Is(err, fs.ErrNotExist)) { // git before 2.41 makes none by itself
			undo()
			return nil, err
		}
	}
	return undo, nil
}

// alternate is a path in git's list of alternates in the environment, which colons divide.
func alternate(path string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(path) + `"`
}

// create makes a new bare repository with the branch.
func (b Branch) create(ctx context.Context, ref plumbing.ReferenceName, base, tip plumbing.Hash, built *builder) error {
	target, err := filepath.Abs(b.Repo)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return full(b.Repo, "", err)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(target), "."+filepath.Base(target)+".tmp-")
	if err != nil {
		return full(b.Repo, "", err)
	}
	defer os.RemoveAll(tmp)
	return full(b.Repo, tmp, b.createBy(ctx, tmp, target, ref, base, tip, built))
}

// createBy is create, by way of a folder beside the target.
func (b Branch) createBy(ctx context.Context, tmp, target string, ref plumbing.ReferenceName, base, tip plumbing.Hash, built *builder) error {
	repo := filepath.Join(tmp, "repo")
	if err := b.prepare(ctx, tmp, repo); err != nil {
		return err
	}
	if err := b.into(ctx, repo, ref, base, tip, built); err != nil {
		return err
	}
	if err := git(repo, "symbolic-ref", "HEAD", ref.String()).Run(ctx); err != nil {
		return err
	}
	// An empty folder may stand there: rename replaces it, and fails if it is no longer empty.
	return os.Rename(repo, target)
}

// prepare makes a repository that has, or borrows, the base's objects.
func (b Branch) prepare(ctx context.Context, tmp, repo string) error {
	from, err := filepath.Abs(b.Base.Repo)
	if err != nil {
		return err
	}
	if b.Own {
		if err := git(tmp, "-c", "clone.defaultRemoteName=origin", "clone", "--quiet", "--bare", "--local", "--no-tags", "--template=", from, repo).Run(ctx); err != nil {
			return err
		}
		return git(repo, "remote", "remove", "origin").Run(ctx)
	}
	if err := git(tmp, "init", "--quiet", "--bare", "--object-format=sha1", "--template=", repo).Run(ctx); err != nil {
		return err
	}
	if err := git(repo, "config", "--local", borrowsKey, "true").Run(ctx); err != nil {
		return err
	}
	if _, err := borrow(ctx, repo, from); err != nil {
		return err
	}
	// Where history ends in the base, it must end here.
	shallow, err := gitPath(ctx, from, "shallow")
	if err != nil {
		return err
	}
	data, err := os.ReadFile(shallow)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(repo, "shallow"), data, 0o644)
}
