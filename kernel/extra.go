// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seriesrig/series/internal/cache"
	"github.com/seriesrig/series/internal/run"
)

// An Extra is what the compiler says of some files when it is asked for more warnings than a build wants, and sparse where
// it is installed.
type Extra struct {
	Asked    string                  `json:"asked"`    // "W=1" or "W=1 C=1"
	Files    []string                `json:"files"`    // that were compiled
	Warnings map[string][]Diagnostic `json:"warnings"` // by the file that was compiled; the place may be in a header of it
	Cached   bool                    `json:"-"`
}

// Extra compiles files of the job, which has been built, with W=1 and, where sparse is installed, C=1. Those that the job
// does not have, and what is not C, are left out. It works in an output folder of its own: the build's stays as it is, and
// so does what make would do in it. What is known of the same build and files is not compiled again.
func (b *Builder) Extra(ctx context.Context, j Job, files []string) (*Extra, error) {
	j.Targets = nil
	cfg, err := b.Configure(ctx, j)
	if err != nil {
		return nil, err
	}
	spec, err := b.spec(ctx, j, cfg)
	if err != nil {
		return nil, err
	}
	x := &Extra{Asked: "W=1", Files: []string{}, Warnings: map[string][]Diagnostic{}}
	for _, name := range files {
		has, err := j.has(name)
		if err != nil {
			return nil, err
		}
		if has && path.Ext(name) == ".c" && !slices.Contains(x.Files, name) {
			x.Files = append(x.Files, name)
		}
	}
	if len(x.Files) == 0 {
		return x, nil
	}
	slices.Sort(x.Files)
	sparse := ""
	if at, err := run.Look("sparse"); err == nil {
		x.Asked = "W=1 C=1"
		if sparse, err = cache.HashFile(at); err != nil {
			return nil, err
		}
	}
	key := cache.KeyOf(append([]string{"extra 1", spec.ID(), x.Asked, sparse}, x.Files...)...)
	dir, cached, err := b.Store.Cache.Fill(ctx, "extra", key, func(ctx context.Context, dir string) error {
		if err := b.extra(ctx, j, cfg, spec, x); err != nil {
			return fmt.Errorf("warnings %s: %w", j.name(), err)
		}
		return writeJSON(filepath.Join(dir, "extra.json"), x)
	})
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(filepath.Join(dir, "extra.json"))
	if err == nil {
		*x = Extra{}
		err = json.Unmarshal(data, x)
	}
	x.Cached = cached
	return x, err
}

// has tells whether the job has a file.
func (j Job) has(name string) (bool, error) {
	if f, ok := j.Files[name]; ok {
		return f != nil, nil
	}
	_, err := j.Source.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func (b *Builder) extra(ctx context.Context, j Job, cfg *Config, spec BuildSpec, x *Extra) error {
	w, err := b.workplace(ctx, j, cfg, spec, j.name()+"-extra", "extra 1", x.Asked)
	if err != nil {
		return err
	}
	defer w.Close()
	o := w.obj
	var targets []string
	for _, name := range x.Files {
		target := strings.TrimSuffix(name, ".c") + ".o"
		targets = append(targets, target)
		// What is there is not compiled again, and says nothing.
		if err := os.Remove(filepath.Join(o.dir, target)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	p, err := b.runMake(ctx, w, j, o.dir+".log", append(strings.Fields(x.Asked), append([]string{"-k"}, targets...)...))
	var xe *run.ExitError
	if err != nil && (ctx.Err() != nil || !errors.As(err, &xe) || xe.Signal != 0 || p.killed || p.rig != "" || len(p.errors) == 0) {
		return errorOr(ctx, fmt.Errorf("%w; log: %s", err, o.dir+".log"))
	}
	if err := b.finish(ctx, j, w, nil, false); err != nil {
		return err
	}
	for _, c := range p.warnings {
		if slices.Contains(x.Files, c.Origin) {
			x.Warnings[c.Origin] = append(x.Warnings[c.Origin], c.Diagnostic)
		}
	}
	for _, d := range p.errors { // a configuration may make errors of warnings
		if slices.Contains(x.Files, d.File) {
			x.Warnings[d.File] = append(x.Warnings[d.File], d)
		}
	}
	return nil
}
