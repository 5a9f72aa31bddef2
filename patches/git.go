// SPDX-License-Identifier: Apache-2.0

package patches

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"

	"github.com/seriesrig/series/internal/run"
)

// Objects are read through `git cat-file --batch` and not through go-git: one process reads what is asked for in some
// milliseconds, from any repository (alternates, partial clones, worktrees), where go-git would first load the index of
// every pack, which for a kernel repository is hundreds of MB.

// A Commit is a commit in a git repository.
type Commit struct {
	Repo string // the repository's folder, bare or not
	Rev  string // anything that git rev-parse takes
}

// git returns the command `git ARGS` for a repository. Nothing of a repository's configuration that runs programs is
// used: no hooks, no file system monitor, no lazy fetch, no prompt.
func git(repo string, args ...string) run.Cmd {
	args = append([]string{"-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "safe.bareRepository=all", "-C", repo}, args...)
	return run.Cmd{Name: "git", Args: args,
		Env: run.CleanEnv("GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "GIT_NO_REPLACE_OBJECTS=1", "GIT_NO_LAZY_FETCH=1", "GIT_OPTIONAL_LOCKS=0")}
}

func gitLine(ctx context.Context, repo string, args ...string) (string, error) {
	b, err := git(repo, args...).Output(ctx)
	return strings.TrimSuffix(string(b), "\n"), err
}

// Resolve returns the commit's id, 40 hex digits.
func (c Commit) Resolve(ctx context.Context) (string, error) {
	id, err := c.resolve(ctx)
	if err != nil {
		return "", err
	}
	return id.String(), nil
}

// resolve returns the commit's id.
func (c Commit) resolve(ctx context.Context) (plumbing.Hash, error) {
	if strings.HasPrefix(c.Rev, "-") {
		return plumbing.ZeroHash, fmt.Errorf("no commit %q", c.Rev)
	}
	id, err := gitLine(ctx, c.Repo, "rev-parse", "--verify", "--quiet", "--end-of-options", c.Rev+"^{commit}")
	var exit *run.ExitError
	switch {
	case errors.As(err, &exit) && exit.Stderr == "":
		return plumbing.ZeroHash, &InputError{File: c.Repo, Msg: fmt.Sprintf("no commit %q", c.Rev), Err: err}
	case errors.As(err, &exit) && (strings.Contains(exit.Stderr, "not a git repository") || strings.Contains(exit.Stderr, "cannot change to")):
		return plumbing.ZeroHash, &InputError{File: c.Repo, Msg: "not a git repository", Err: err}
	case err != nil:
		return plumbing.ZeroHash, fmt.Errorf("commit %s of %s: %w", c.Rev, c.Repo, err)
	case !plumbing.IsHash(id) || len(id) != 40:
		return plumbing.ZeroHash, fmt.Errorf("%s: commit %s is not named by SHA-1; other repositories are not supported", c.Repo, id)
	}
	return plumbing.NewHash(id), nil
}

// An object is what cat-file says of a name.
type obj struct {
	hash plumbing.Hash
	kind string
	data []byte
}

// readObjects reads objects by their names; one that is not there is missing in the answer.
func readObjects(ctx context.Context, repo string, names []string) (map[string]obj, error) {
	if len(names) == 0 {
		return nil, nil
	}
	cmd := git(repo, "cat-file", "--batch")
	cmd.Stdin = strings.NewReader(strings.Join(names, "\n") + "\n")
	out, err := cmd.Output(ctx)
	if err != nil {
		return nil, fmt.Errorf("read objects of %s: %w", repo, err)
	}
	objs := make(map[string]obj, len(names))
	r := bufio.NewReader(bytes.NewReader(out))
	for _, name := range names {
		head, err := r.ReadString('\n')
		if err != nil {
			return nil, fmt.Errorf("read objects of %s: git cat-file ended early", repo)
		}
		if strings.HasSuffix(head, " missing\n") {
			continue
		}
		w := strings.Fields(head)
		if len(w) != 3 {
			return nil, fmt.Errorf("read objects of %s: git cat-file says %q", repo, shorten(strings.TrimSpace(head)))
		}
		size, err := strconv.Atoi(w[2])
		if err != nil || size > maxFileSize {
			return nil, fmt.Errorf("read objects of %s: %s has %s bytes", repo, name, w[2])
		}
		data := make([]byte, size+1)
		if _, err := io.ReadFull(r, data); err != nil {
			return nil, fmt.Errorf("read objects of %s: git cat-file ended early", repo)
		}
		objs[name] = obj{plumbing.NewHash(w[0]), w[1], data[:size:size]}
	}
	return objs, nil
}

// A tree is one folder of a commit.
type tree map[string]object.TreeEntry

// readTrees reads the folders of a commit that hold the paths, from the top down; "." is the top.
func readTrees(ctx context.Context, repo string, commit plumbing.Hash, paths []string) (map[string]tree, error) {
	dirs := map[string]bool{".": true}
	for _, p := range paths {
		for d := path.Dir(p); d != "."; d = path.Dir(d) {
			dirs[d] = true
		}
	}
	var names []string
	byName := map[string]string{}
	for d := range dirs {
		name := commit.String() + ":"
		if d != "." {
			name += d
		}
		names = append(names, name)
		byName[name] = d
	}
	slices.Sort(names)
	objs, err := readObjects(ctx, repo, names)
	if err != nil {
		return nil, err
	}
	trees := map[string]tree{}
	for name, o := range objs {
		if o.kind != "tree" {
			continue
		}
		t, err := parseTree(o)
		if err != nil {
			return nil, fmt.Errorf("read tree %s of %s: %w", name, repo, err)
		}
		trees[byName[name]] = t
	}
	if trees["."] == nil {
		return nil, fmt.Errorf("%s: commit %s has no tree", repo, commit)
	}
	return trees, nil
}

func parseTree(o obj) (tree, error) {
	m := &plumbing.MemoryObject{}
	m.SetType(plumbing.TreeObject)
	if _, err := m.Write(o.data); err != nil {
		return nil, err
	}
	var t object.Tree
	if err := t.Decode(m); err != nil {
		return nil, err
	}
	out := make(tree, len(t.Entries))
	for _, e := range t.Entries {
		out[e.Name] = e
	}
	return out, nil
}

// entry finds a path in trees; nil means that there is nothing. A path that leads through something that is no folder is
// an error.
func entry(trees map[string]tree, name string) (*object.TreeEntry, error) {
	for i, c := range []byte(name) {
		if c != '/' {
			continue
		}
		dir := name[:i]
		e, ok := trees[path.Dir(dir)][path.Base(dir)]
		switch {
		case !ok:
			return nil, nil
		case e.Mode == filemode.Symlink:
			return nil, &fs.PathError{Op: "read", Path: name, Err: fmt.Errorf("%s is a symbolic link", dir)}
		case e.Mode != filemode.Dir:
			return nil, &fs.PathError{Op: "read", Path: name, Err: fmt.Errorf("%s: %w", dir, syscall.ENOTDIR)}
		}
	}
	e, ok := trees[path.Dir(name)][path.Base(name)]
	switch {
	case !ok:
		return nil, nil
	case e.Mode == filemode.Dir:
		return nil, &fs.PathError{Op: "read", Path: name, Err: syscall.EISDIR}
	case e.Mode == filemode.Submodule:
		return nil, &fs.PathError{Op: "read", Path: name, Err: errors.New("is a submodule")}
	}
	return &e, nil
}

// gitSource holds what a commit has at the paths that some patches touch.
type gitSource struct {
	trees map[string]tree
	blobs map[string]obj
	known map[string]bool
}

// GitSource returns the files of a commit that the patches touch, as a Source for Apply; it reads them all at once.
func GitSource(ctx context.Context, c Commit, ps []*Patch) (Source, error) {
	id, err := c.resolve(ctx)
	if err != nil {
		return nil, err
	}
	s := &gitSource{known: map[string]bool{}}
	var paths []string
	for _, p := range ps {
		for _, name := range p.Paths() {
			if !s.known[name] {
				s.known[name] = true
				paths = append(paths, name)
			}
		}
	}
	if s.trees, err = readTrees(ctx, c.Repo, id, paths); err != nil {
		return nil, err
	}
	var blobs []string
	for _, name := range paths {
		if e, err := entry(s.trees, name); err == nil && e != nil {
			blobs = append(blobs, e.Hash.String())
		}
	}
	slices.Sort(blobs)
	s.blobs, err = readObjects(ctx, c.Repo, slices.Compact(blobs))
	return s, err
}

// ReadFile implements Source.
func (s *gitSource) ReadFile(name string) (*File, error) {
	if !s.known[name] {
		return nil, &fs.PathError{Op: "read", Path: name, Err: errors.New("no patch names it, so it was not read")}
	}
	e, err := entry(s.trees, name)
	switch {
	case err != nil:
		return nil, err
	case e == nil:
		return nil, &fs.PathError{Op: "read", Path: name, Err: fs.ErrNotExist}
	}
	o, ok := s.blobs[e.Hash.String()]
	if !ok || o.kind != "blob" {
		return nil, &fs.PathError{Op: "read", Path: name, Err: fmt.Errorf("the repository lacks its blob %s", e.Hash)}
	}
	switch e.Mode {
	case filemode.Symlink:
		return &File{Data: o.data, Mode: fs.ModeSymlink}, nil
	case filemode.Executable:
		return &File{Data: o.data, Mode: 0o755}, nil
	}
	return &File{Data: o.data, Mode: 0o644}, nil
}

// gitPath returns where git keeps something of a repository: "objects" or "shallow".
func gitPath(ctx context.Context, repo, name string) (string, error) {
	p, err := gitLine(ctx, repo, "rev-parse", "--git-path", name)
	if err != nil {
		return "", err
	}
	if !filepath.IsAbs(p) {
		p = filepath.Join(repo, p)
	}
	return filepath.Abs(p)
}
