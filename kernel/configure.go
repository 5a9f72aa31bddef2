// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/seriesrig/series/internal/cache"
	"github.com/seriesrig/series/internal/run"
	"github.com/seriesrig/series/kernel/kconfig"
)

// A Config is a resolved configuration: a complete .config.
type Config struct {
	Path    string  `json:"path"`
	Hash    string  `json:"hash"` // "sha256:…" of the file
	Cached  bool    `json:"cached"`
	Seconds float64 `json:"seconds"` // that make took, now or when it was resolved
}

// Configure resolves the job's fragments on top of allnoconfig, so that nothing is on but what is asked for and what that
// needs. A requested symbol that did not survive is a *kconfig.LostError, which says what is missing. Patches that
// touch nothing that Kconfig reads cost no new run.
func (b *Builder) Configure(ctx context.Context, j Job) (*Config, error) {
	if err := j.check(); err != nil {
		return nil, err
	}
	merged := kconfig.Merge(j.Fragments...)
	key, tc, err := b.configKey(ctx, j, merged)
	if err != nil {
		return nil, err
	}
	dir, cached, err := b.Store.Cache.Fill(ctx, "config", key, func(ctx context.Context, dir string) error {
		return b.configure(ctx, j, merged, tc, dir)
	})
	if err != nil {
		return nil, err
	}
	c := &Config{Path: filepath.Join(dir, "config"), Cached: cached}
	data, err := os.ReadFile(c.Path)
	if err != nil {
		return nil, fmt.Errorf("configure %s: %w", j.name(), err)
	}
	c.Hash = fmt.Sprintf("sha256:%x", sha256.Sum256(data))
	if text, err := os.ReadFile(filepath.Join(dir, "seconds")); err == nil {
		fmt.Sscan(string(text), &c.Seconds)
	}
	return c, nil
}

// configKey names what a configuration is made from.
func (b *Builder) configKey(ctx context.Context, j Job, merged *kconfig.Fragment) (key string, tc *Toolchain, err error) {
	if tc, err = b.Store.Toolchain(ctx, j.Arch); err != nil {
		return "", nil, err
	}
	files, err := j.overlay()
	if err != nil {
		return "", nil, err
	}
	return cache.KeyOf("config 1", j.Source.Hash, hashFiles(files, maybeKconfig), j.Arch.Name, string(merged.Bytes()), tc.ID), tc, nil
}

// Known tells whether the job has been built, without running anything: Build returns at once then.
func (b *Builder) Known(ctx context.Context, j Job) (bool, error) {
	if err := j.check(); err != nil {
		return false, err
	}
	key, _, err := b.configKey(ctx, j, kconfig.Merge(j.Fragments...))
	if err != nil {
		return false, err
	}
	if _, ok := b.Store.Cache.Get("config", key); !ok {
		return false, nil
	}
	spec, err := b.Spec(ctx, j)
	if err != nil {
		return false, err
	}
	_, ok := b.Cached(spec)
	return ok, nil
}

func (b *Builder) configure(ctx context.Context, j Job, merged *kconfig.Fragment, tc *Toolchain, dir string) error {
	t, err := b.Store.Tree(ctx, j.Source, j.Arch.Name)
	if err != nil {
		return err
	}
	defer t.Close()
	if _, err := t.Set(ctx, j.Files); err != nil {
		return err
	}
	b.Store.event(Event{Stage: "configure", Object: j.name()})
	obj := filepath.Join(b.Store.Dir, "obj", ".conf-"+j.Arch.Name)
	if err := errors.Join(os.RemoveAll(obj), os.MkdirAll(obj, 0o755)); err != nil {
		return fmt.Errorf("configure %s: %w", j.name(), err)
	}
	defer os.RemoveAll(obj)
	want := filepath.Join(dir, "requested")
	if err := os.WriteFile(want, merged.Bytes(), 0o644); err != nil {
		return fmt.Errorf("configure %s: %w", j.name(), err)
	}
	var out bytes.Buffer
	c := b.make(t, obj, j, tc)
	c.Args = append(c.Args, "-s", "KCONFIG_ALLCONFIG="+want, "allnoconfig")
	c.Stdout, c.Stderr = &out, &out
	start := time.Now()
	if err := c.Run(ctx); err != nil {
		return b.configureError(ctx, j, t, obj, out.Bytes(), err)
	}
	seconds := time.Since(start).Seconds()
	data, err := os.ReadFile(filepath.Join(obj, ".config"))
	if err != nil {
		return fmt.Errorf("configure %s: %w", j.name(), err)
	}
	resolved, err := kconfig.ParseConfig(bytes.NewReader(data), j.name()+" .config")
	if err != nil {
		return fmt.Errorf("configure %s: %w", j.name(), err)
	}
	load := func() (*kconfig.Model, error) {
		return kconfig.Load(os.DirFS(t.Dir), map[string]string{"SRCARCH": j.Arch.Kernel, "ARCH": j.Arch.Kernel, "srctree": "."})
	}
	if err := kconfig.Check(merged, resolved, load); err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "config"), data, 0o444),
		os.WriteFile(filepath.Join(dir, "seconds"), fmt.Appendln(nil, seconds), 0o444),
		os.WriteFile(filepath.Join(dir, "log"), out.Bytes(), 0o444),
	)
}

// configureError keeps the log, and makes a BuildError of what the source is to blame for.
func (b *Builder) configureError(ctx context.Context, j Job, t *Tree, obj string, out []byte, err error) error {
	var xe *run.ExitError
	if ctx.Err() != nil || !errors.As(err, &xe) {
		return fmt.Errorf("configure %s: %w", j.name(), err)
	}
	log := j.Log
	if log == "" {
		log = filepath.Join(b.Store.Dir, "obj", j.name()+".log")
	}
	if err := os.WriteFile(log, out, 0o644); err != nil {
		return fmt.Errorf("configure %s: %w", j.name(), err)
	}
	p := newLogParser(t.Dir, obj)
	p.Write(out)
	p.end()
	return p.failure("configure "+j.name(), log, err)
}
