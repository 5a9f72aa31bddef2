// SPDX-License-Identifier: Apache-2.0

package intake

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/seriesrig/series/internal/run"
	"github.com/seriesrig/series/patches"
	"github.com/seriesrig/series/patches/mail"
)

// IsRange tells whether a source is a range of commits, REV..REV, and not a file of that name.
func IsRange(source string) bool {
	if _, err := os.Lstat(source); err == nil {
		return false
	}
	from, to, ok := strings.Cut(source, "..")
	// A path that leads up has a slash at the dots: ../x.mbox, a/../x.mbox.
	return ok && from != "" && to != "" && !strings.HasSuffix(from, "/") && !strings.HasPrefix(to, "/") && !strings.HasPrefix(to, ".") &&
		!strings.ContainsAny(source, " \t\n")
}

// git returns the command `git ARGS` for a repository, without its hooks and what else of a configuration would run
// programs or change the form of patches.
func git(repo string, args ...string) run.Cmd {
	args = append([]string{"-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "safe.bareRepository=all", "-c", "core.quotePath=true",
		"-c", "core.attributesFile=/dev/null", "-C", repo}, args...)
	return run.Cmd{Name: "git", Args: args, Env: run.CleanEnv("GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "GIT_NO_LAZY_FETCH=1",
		"GIT_OPTIONAL_LOCKS=0", "GIT_NO_REPLACE_OBJECTS=1")}
}

func gitLine(ctx context.Context, repo string, args ...string) (string, error) {
	b, err := git(repo, args...).Output(ctx)
	return strings.TrimSpace(string(b)), err
}

// commit resolves a name of a commit.
func commit(ctx context.Context, repo, rev string) (string, error) {
	if strings.HasPrefix(rev, "-") {
		return "", &patches.InputError{File: repo, Msg: fmt.Sprintf("%q is not a revision", rev)}
	}
	id, err := gitLine(ctx, repo, "rev-parse", "--verify", "--quiet", "--end-of-options", rev+"^{commit}")
	var exit *run.ExitError
	switch {
	case errors.As(err, &exit) && exit.Stderr == "":
		return "", &patches.InputError{File: repo, Msg: fmt.Sprintf("no commit %q", rev)}
	case errors.As(err, &exit) && (strings.Contains(exit.Stderr, "not a git repository") || strings.Contains(exit.Stderr, "cannot change to")):
		return "", &patches.InputError{File: repo, Msg: "not a git repository"}
	}
	return id, err
}

// HasCommit tells whether a folder is in a git repository that has the commit.
func HasCommit(ctx context.Context, repo, id string) bool {
	return git(repo, "cat-file", "-e", id+"^{commit}").Run(ctx) == nil
}

// GitRange makes a series of the commits REV..REV of a repository. Its base is the commit that they begin on.
func GitRange(ctx context.Context, repo, source string) (*Series, error) {
	s, err := gitRange(ctx, repo, source)
	if err != nil {
		return nil, fmt.Errorf("import %s of %s: %w", source, repo, err)
	}
	return s, nil
}

func gitRange(ctx context.Context, repo, source string) (*Series, error) {
	from, to, _ := strings.Cut(source, "..")
	first, err := commit(ctx, repo, from)
	if err != nil {
		return nil, err
	}
	last, err := commit(ctx, repo, to)
	if err != nil {
		return nil, err
	}
	base, err := gitLine(ctx, repo, "merge-base", first, last)
	if err != nil {
		return nil, fmt.Errorf("the two have no commit in common: %w", err)
	}
	list, err := gitLine(ctx, repo, "rev-list", "--parents", "--reverse", fmt.Sprintf("--max-count=%d", maxCommits+1), base+".."+last)
	if err != nil {
		return nil, err
	}
	commits := strings.Split(list, "\n")
	switch {
	case list == "":
		return nil, &patches.InputError{File: source, Msg: "there is no commit in it"}
	case len(commits) > maxCommits:
		return nil, &patches.InputError{File: source, Msg: fmt.Sprintf("more than %d commits", maxCommits)}
	}
	for _, c := range commits {
		if words := strings.Fields(c); len(words) != 2 {
			return nil, &patches.InputError{File: source, Msg: fmt.Sprintf("%.12s is a merge, or has no parent; a series is a line of commits", words[0])}
		}
	}
	top, err := gitLine(ctx, repo, "rev-parse", "--absolute-git-dir")
	if err != nil {
		return nil, err
	}
	if filepath.Base(top) == ".git" {
		top = filepath.Dir(top)
	}
	s := &Series{Revision: 1, Prefix: "PATCH", BaseCommit: base, Base: "git:" + top + "#" + base}
	if s.Patches, err = formatPatches(ctx, repo, base, last); err != nil {
		return nil, err
	}
	if len(s.Patches) != len(commits) {
		return nil, fmt.Errorf("git made %d patches of %d commits", len(s.Patches), len(commits))
	}
	s.Title = s.Patches[0].Subject
	s.ID = slug(s.Title)
	s.ChangeID = newChangeID(s.ID, s.Patches)
	return s, nil
}

// maxCommits is what four digits can number.
const maxCommits = 9999

// formatPatches lets git write the commits, in its own form whatever is configured, and brings them into ours.
func formatPatches(ctx context.Context, repo, base, last string) ([]*patches.Patch, error) {
	dir, err := os.MkdirTemp("", "series-import-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	cmd := git(repo, "format-patch", "--quiet", "--output-directory", dir, "--zero-commit", "--no-attach", "--no-thread", "--no-cover-letter",
		// The author goes to the top of the body, so that a message that itself begins like a header is not taken for one.
		"--from=Import <import@seriesrig.invalid>", "--no-to", "--no-cc", "--no-add-header", "--no-notes", "--no-signoff", "--no-base", "--subject-prefix=PATCH", "--numbered",
		"--suffix=.patch", "--encode-email-headers", "--no-ext-diff", "--no-textconv", "--no-color", "--src-prefix=a/", "--dst-prefix=b/",
		"--unified=3", "--inter-hunk-context=0", "--no-relative", "--stat", "--summary", "-M", "-O/dev/null", "--signature=git", base+".."+last)
	if err := cmd.Run(ctx); err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.patch"))
	if err != nil {
		return nil, err
	}
	// The authors as they are: quotes in a name do not come through a From: of format-patch.
	list, err := git(repo, "log", "--reverse", "--format=%an%x1f%ae", base+".."+last).Output(ctx)
	if err != nil {
		return nil, err
	}
	authors := strings.Split(strings.TrimSuffix(string(list), "\n"), "\n")
	if len(authors) != len(files) {
		return nil, fmt.Errorf("git made %d patches of %d commits", len(files), len(authors))
	}
	var out []*patches.Patch
	for i, name := range files {
		p, err := patches.LoadPatch(name)
		var bad *patches.InputError
		if errors.As(err, &bad) {
			bad.File = fmt.Sprintf("commit %d of the range", i+1)
		}
		if err == nil {
			if name, email, ok := strings.Cut(authors[i], "\x1f"); ok && name != "" {
				p.Author = patches.Person{Name: name, Email: email}
			}
			p, err = mail.Store(p, i+1, len(files))
		}
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}
