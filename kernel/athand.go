// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"context"
	"path/filepath"
)

// AtHand returns the source that a base gave the last time it was resolved, where that is still unpacked. It fetches and
// unpacks nothing, so a newer version may be had; ok is false where Resolve would have to work.
func (s *Store) AtHand(ctx context.Context, b Base) (src *Source, ok bool) {
	var k known
	switch b.Kind {
	case Debian:
		k, ok = s.recall(b.String())
	case Git:
		if b.Remote() {
			return nil, false
		}
		repo, err := b.path()
		if err != nil {
			return nil, false
		}
		tree, err := gitLine(ctx, repo, "rev-parse", "--verify", "--quiet", "--end-of-options", b.Rev+"^{tree}")
		if err != nil {
			return nil, false
		}
		k, ok = s.recall("git-tree " + tree)
	case Dir:
		// The folder itself: what is asked of a source at hand is read at once, and nothing is built of it.
		dir, err := b.path()
		if err == nil {
			dir, err = filepath.EvalSymlinks(dir)
		}
		if err != nil {
			return nil, false
		}
		v, err := kernelVersion(dir)
		if err != nil {
			return nil, false
		}
		return &Source{Base: b, Spec: b.String(), Version: v, Dir: dir}, true
	}
	if !ok {
		return nil, false
	}
	if src, err := newSource(b, s.src(k.Hash), k.Hash); err == nil {
		src.Package, src.Commit = k.Package, k.Commit
		return src, true
	}
	return nil, false
}
