// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/seriesrig/series/internal/cache"
)

// A workplace is a job's tree and an output folder for it, in which make may begin. It is this job's alone until Close.
type workplace struct {
	*Tree
	obj   *objDir
	tools *Toolchain
	setup string
	fresh string // why object files of earlier builds were removed; "" where none were

	configured bool // the configuration was there already
}

// workplace prepares the output folder of that name. What else the objects in it depend on, beside what the spec has, is in
// kind and asked.
func (b *Builder) workplace(ctx context.Context, j Job, cfg *Config, spec BuildSpec, name, kind string, asked ...string) (_ *workplace, err error) {
	w := &workplace{}
	if w.Tree, err = b.Store.Tree(ctx, j.Source, j.Arch.Name); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			w.Close()
		}
	}()
	if _, err := w.Set(ctx, j.Files); err != nil {
		return nil, err
	}
	if w.tools, err = b.Store.Toolchain(ctx, j.Arch); err != nil {
		return nil, err
	}
	if w.tools.ID != spec.Toolchain { // it may have been a long wait for the tree
		return nil, changedToolchain(j.Arch)
	}
	w.obj = b.Store.openObj(name)
	parts := slices.Concat([]string{kind, w.state.ID, j.Source.Version, w.tools.ID, b.Store.Dir}, asked, []string{spec.Args, strconv.FormatBool(b.ccache())})
	w.setup = cache.KeyOf(parts...)
	if w.fresh, err = w.obj.prepare(w.Tree, w.setup); err != nil {
		return nil, fmt.Errorf("build %s: %w", j.name(), err)
	}
	if w.configured, err = sameFile(cfg.Path, filepath.Join(w.obj.dir, ".config")); err != nil {
		w.configured = false
	}
	if err := replaceConfig(cfg.Path, filepath.Join(w.obj.dir, ".config")); err != nil {
		return nil, fmt.Errorf("build %s: %w", j.name(), err)
	}
	if err := w.obj.begin(w.Tree, w.setup); err != nil {
		return nil, fmt.Errorf("build %s: %w", j.name(), err)
	}
	return w, nil
}

// finish puts down that make has come to its end, if with the compilers that it began with, and whether with all that it was
// asked for.
func (b *Builder) finish(ctx context.Context, j Job, w *workplace, warnings []carried, all bool) error {
	if err := b.Store.unchanged(ctx, j.Arch, w.tools); err != nil {
		return err // the stamp stays: what was written is not to be believed
	}
	return w.obj.finish(w.Tree, w.setup, warnings, all)
}
