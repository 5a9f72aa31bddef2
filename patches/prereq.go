// SPDX-License-Identifier: Apache-2.0

package patches

import (
	"context"
	"fmt"
	"os"
	"strings"
)

// Prerequisites returns the id of a commit that others have, and the ids (git patch-id --stable) of the patches between it
// and the base of a series, the oldest first, as git format-patch --base writes them.
func Prerequisites(ctx context.Context, base Commit, published string) (commit string, ids []string, err error) {
	fail := func(err error) (string, []string, error) {
		return "", nil, fmt.Errorf("patches between %s and the base: %w", published, err)
	}
	from, err := Commit{base.Repo, published}.resolve(ctx)
	if err != nil {
		return fail(err)
	}
	to, err := base.resolve(ctx)
	if err != nil {
		return fail(err)
	}
	if err := git(base.Repo, "merge-base", "--is-ancestor", from.String(), to.String()).Run(ctx); err != nil {
		return fail(fmt.Errorf("%s is no ancestor of the base %.12s: %w", published, to, err))
	}
	if from == to {
		return from.String(), nil, nil
	}
	text, err := formatOnTop(ctx, base.Repo, from.String(), to.String())
	if err != nil {
		return fail(err)
	}
	for line := range strings.Lines(text) {
		if id, ok := strings.CutPrefix(line, "prerequisite-patch-id: "); ok {
			ids = append(ids, strings.TrimSpace(id))
		}
	}
	return from.String(), ids, nil
}

// formatOnTop lets git format-patch --base write a commit that changes nothing, on top of the base: what git patch-id
// makes of the same diffs has other ids where one of them has no hunk. The commit is made in a folder of its own, so that
// the repository does not get it.
func formatOnTop(ctx context.Context, repo, from, to string) (string, error) {
	objects, err := gitPath(ctx, repo, "objects")
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "series-objects-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	env := []string{"GIT_OBJECT_DIRECTORY=" + dir, "GIT_ALTERNATE_OBJECT_DIRECTORIES=" + quoteAlternate(objects),
		"GIT_AUTHOR_NAME=Series Rig", "GIT_AUTHOR_EMAIL=series@seriesrig.invalid", "GIT_COMMITTER_NAME=Series Rig", "GIT_COMMITTER_EMAIL=series@seriesrig.invalid"}
	onTop := git(repo, "commit-tree", "-p", to, "-m", "x", to+"^{tree}")
	onTop.Env = append(onTop.Env, env...)
	tip, err := onTop.Output(ctx)
	if err != nil {
		return "", err
	}
	format := git(repo, "format-patch", "--stdout", "--always", "--no-attach", "--no-signoff", "--no-cover-letter", "--base="+from, "-1", strings.TrimSpace(string(tip)))
	format.Env = append(format.Env, env...)
	out, err := format.Output(ctx)
	return string(out), err
}

// quoteAlternate keeps a colon in a path from being taken for the end of it.
func quoteAlternate(path string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(path) + `"`
}
