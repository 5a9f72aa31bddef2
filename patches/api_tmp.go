// SPDX-License-Identifier: Apache-2.0

package patches

import (
	"context"
	"errors"

	"github.com/seriesrig/series/internal/cache"
)

// Being written; the signatures stay.

// An ApplyError says which hunk of which patch does not fit, and what stands there. In JSON it is
// {"patch", "path", "hunk", "message"}.
type ApplyError struct {
	Patch   string   // the patch's file
	Line    int      // the hunk's first line in the patch's file
	Path    string   // the file to be changed
	Hunk    int      // 1 is the first of the file; 0 where the file as a whole is meant
	At      int      // the line where the hunk should fit; 1 is the first
	Want    []string // the lines that it expects
	Got     []string // the lines at the nearest match
	Nearest int      // the line of the nearest match; 0 where nothing is like it
	Places  []int    // the lines where it would fit, when there are several
	Already bool     // the patch seems to be applied already
	Msg     string
	Err     error
}

func (e *ApplyError) Error() string { return e.Msg }

// Detail shows the expected and the found lines side by side.
func (e *ApplyError) Detail() string { return "" }

// Apply applies patches in order, in memory: all or none.
func Apply(base Source, ps []*Patch) (*Result, error) { return nil, errors.ErrUnsupported }

// A Branch says which branch WriteBranch makes, and on what.
type Branch struct {
	Base  Commit
	Repo  string // the repository that gets the branch. Where nothing is there, a bare one is made that borrows the base's objects
	Name  string // "series/kauditd-wakeup"
	Force bool   // replace a branch of that name which holds something else
}

// A Commit is a commit in a git repository.
type Commit struct {
	Repo string // the repository's folder
	Rev  string // anything that git rev-parse takes
}

// WriteBranch makes a branch with one commit per patch and returns the commits' ids; they are put into res, too.
func WriteBranch(ctx context.Context, b Branch, ps []*Patch, res *Result) ([]string, error) {
	return nil, errors.ErrUnsupported
}

// GitSource returns the files of a commit that the patches touch, as a Source. One git process reads them all.
func GitSource(ctx context.Context, c Commit, ps []*Patch) (Source, error) {
	return nil, errors.ErrUnsupported
}

// ImportDir makes a commit of a plain folder, in a bare repository that is kept in the cache under the hash of the
// folder's content. name goes into the commit message: "debian:linux-source-6.12 6.12.117".
func ImportDir(ctx context.Context, c *cache.Cache, dir, hash, name string) (Commit, error) {
	return Commit{}, errors.ErrUnsupported
}

func (p *Patch) parseMessage() ([]byte, int, error) { return nil, 0, errors.ErrUnsupported }
func (p *Patch) parseDiff([]byte, int) error        { return errors.ErrUnsupported }
func (l Loader) readTOML(string) (*Series, *document, error) {
	return nil, nil, errors.ErrUnsupported
}

type document struct{}

func (*document) checkNumbers(*Series) error { return nil }
