// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/seriesrig/series/internal/cache"
	"github.com/seriesrig/series/internal/flock"
	"github.com/seriesrig/series/internal/run"
)

var objectName = regexp.MustCompile(`^[0-9a-f]{40}([0-9a-f]{24})?$`)

// git runs git on a repository. Replacement objects and lazy prompts stay out: what counts is what the name stands for.
func git(repo string, args ...string) run.Cmd {
	return run.Cmd{Name: "git", Args: append([]string{"-C", repo, "-c", "core.quotePath=false"}, args...),
		Env: run.CleanEnv("GIT_NO_REPLACE_OBJECTS=1", "GIT_TERMINAL_PROMPT=0", "GIT_OPTIONAL_LOCKS=0",
			"GIT_ALLOW_PROTOCOL=https:http:ssh:git:file", "GIT_SSH_COMMAND=ssh -oBatchMode=yes -oConnectTimeout=10")}
}

func gitLine(ctx context.Context, repo string, args ...string) (string, error) {
	out, err := git(repo, args...).Output(ctx)
	return strings.TrimSpace(string(out)), err
}

func (s *Store) resolveGit(ctx context.Context, b Base) (*Source, error) {
	repo, commit, note, err := s.findCommit(ctx, b)
	if err != nil {
		return nil, err
	}
	tree, err := gitLine(ctx, repo, "rev-parse", "--verify", "--end-of-options", commit+"^{tree}")
	if err != nil {
		return nil, b.errorf(err, "commit %.12s has no tree", commit)
	}
	key := "git-tree " + tree
	k, ok := s.recall(key)
	if !ok {
		k, err = s.unpack(ctx, b, known{Key: key}, false, func(u *unpacker) error { return checkOut(u, repo, tree) })
		if err != nil {
			return nil, err
		}
	}
	src, err := newSource(b, s.src(k.Hash), k.Hash)
	if err != nil {
		return nil, err
	}
	src.Commit, src.Repo, src.Note = commit, repo, note
	return src, nil
}

// findCommit returns the repository that has the base's commit, and the commit's full name.
func (s *Store) findCommit(ctx context.Context, b Base) (repo, commit, note string, err error) {
	if b.Remote() {
		return s.fetchCommit(ctx, b)
	}
	if repo, err = b.path(); err != nil {
		return "", "", "", b.errorf(err, "bad path")
	}
	if _, err := os.Stat(repo); err != nil {
		return "", "", "", b.errorf(underlying(err), "no repository there")
	}
	if _, err := gitLine(ctx, repo, "rev-parse", "--git-dir"); err != nil {
		return "", "", "", gitError(b, err, "not a git repository")
	}
	commit, err = gitLine(ctx, repo, "rev-parse", "--verify", "--quiet", "--end-of-options", b.Rev+"^{commit}")
	if err != nil {
		return "", "", "", gitError(b, err, fmt.Sprintf("the repository has no commit %q", b.Rev))
	}
	return repo, commit, "", nil
}

// gitError makes a BaseError of what git said, and leaves other failures, such as that there is no git, as they are.
func gitError(b Base, err error, msg string) error {
	var xe *run.ExitError
	if !errors.As(err, &xe) {
		return fmt.Errorf("base %s: %w", b, err)
	}
	if xe.Stderr == "" { // --quiet
		return b.errorf(nil, "%s", msg)
	}
	return b.errorf(err, "%s", msg)
}

// fetchCommit gets a commit, without its history, into a bare repository of ours. A name such as a branch's may have
// moved, so the server is asked each time; a full object name that is there needs nobody.
func (s *Store) fetchCommit(ctx context.Context, b Base) (repo, commit, note string, err error) {
	id := cache.KeyOf(b.Name)[:20]
	repo = filepath.Join(s.Dir, "git", id)
	if err := os.MkdirAll(filepath.Dir(repo), 0o755); err != nil {
		return "", "", "", s.unpackError(b, err)
	}
	lock, err := flock.Acquire(ctx, repo+".lock")
	if err != nil {
		return "", "", "", fmt.Errorf("fetch %s: %w", b, err)
	}
	defer lock.Release()
	if _, err := git(filepath.Dir(repo), "init", "-q", "--bare", id).Output(ctx); err != nil {
		return "", "", "", fmt.Errorf("fetch %s: %w", b, err)
	}
	ref := "refs/series/" + cache.KeyOf(b.Rev)[:20]
	have, _ := gitLine(ctx, repo, "rev-parse", "--verify", "--quiet", ref+"^{commit}")
	if have != "" && objectName.MatchString(b.Rev) {
		return repo, have, "", nil
	}
	fetch := git(repo, "fetch", "-q", "--depth=1", "--no-tags", "--no-write-fetch-head", "--end-of-options", b.Name, "+"+b.Rev+":"+ref)
	if err := fetch.Run(ctx); err != nil {
		if have == "" || ctx.Err() != nil {
			return "", "", "", gitError(b, err, "fetch")
		}
		note = fmt.Sprintf("%s did not answer, the commit that %s was when it last did is used: %v", b.Name, b.Rev, err)
		s.warn("base not asked anew", "base", b.String(), "commit", have, "cause", err.Error())
		return repo, have, note, nil
	}
	commit, err = gitLine(ctx, repo, "rev-parse", "--verify", "--quiet", ref+"^{commit}")
	if err != nil {
		return "", "", "", gitError(b, err, fmt.Sprintf("%q is not a commit", b.Rev))
	}
	return repo, commit, "", nil
}

// A treeEntry is one line of git ls-tree.
type treeEntry struct {
	mode uint32
	id   string
	path string
}

func listTree(ctx context.Context, repo, tree string) ([]treeEntry, error) {
	out, err := git(repo, "ls-tree", "-r", "-z", "--full-tree", tree).Output(ctx)
	if err != nil {
		return nil, err
	}
	var list []treeEntry
	for rec := range bytes.SplitSeq(bytes.TrimSuffix(out, []byte{0}), []byte{0}) {
		head, name, ok := strings.Cut(string(rec), "\t")
		f := strings.Fields(head)
		if !ok || len(f) != 3 {
			return nil, fmt.Errorf("git ls-tree: unexpected %q", rec)
		}
		mode, err := strconv.ParseUint(f[0], 8, 32)
		if err != nil {
			return nil, fmt.Errorf("git ls-tree: unexpected %q", rec)
		}
		switch f[1] {
		case "blob":
			list = append(list, treeEntry{uint32(mode), f[2], name})
		case "commit": // a submodule is no part of this tree
		}
	}
	return list, nil
}

// checkOut unpacks a tree object. It goes by the objects themselves and not by git archive or a checkout, which would
// convert line ends and expand keywords as attributes and the user's configuration say.
func checkOut(u *unpacker, repo, tree string) error {
	list, err := listTree(u.ctx, repo, tree)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(u.ctx)
	defer cancel()
	ask, asked, err := os.Pipe()
	if err != nil {
		return err
	}
	c := git(repo, "cat-file", "--batch", "--buffer")
	c.Stdin = ask
	c.Grace = time.Second
	out, err := pipeThrough(ctx, c)
	ask.Close()
	if err != nil {
		asked.Close()
		return err
	}
	defer out.Close()
	go func() {
		w := bufio.NewWriter(asked)
		for _, e := range list {
			fmt.Fprintln(w, e.id)
		}
		w.Flush()
		asked.Close()
	}()
	r := bufio.NewReaderSize(out, 1<<20)
	for _, e := range list {
		if err := takeBlob(u, r, e); err != nil {
			return err
		}
	}
	if _, err := r.ReadByte(); err != io.EOF {
		return fmt.Errorf("git cat-file: more than was asked for, or %v", err)
	}
	return nil
}

func takeBlob(u *unpacker, r *bufio.Reader, e treeEntry) error {
	line, err := r.ReadString('\n')
	if err != nil {
		return fmt.Errorf("git cat-file: %w", err)
	}
	f := strings.Fields(line)
	if len(f) != 3 || f[0] != e.id || f[1] != "blob" {
		return fmt.Errorf("git cat-file: %s (%s): %s", e.id, e.path, strings.TrimSpace(line))
	}
	size, err := strconv.ParseInt(f[2], 10, 64)
	if err != nil {
		return fmt.Errorf("git cat-file: unexpected %q", line)
	}
	if e.mode == modeLink {
		target := make([]byte, min(size, 4096))
		if _, err = io.ReadFull(r, target); err == nil {
			err = u.symlink(e.path, string(target))
		}
	} else {
		err = u.file(e.path, e.mode&0o100 != 0, size, r)
	}
	if err != nil {
		return err
	}
	_, err = r.Discard(1) // the newline after each object
	return err
}
