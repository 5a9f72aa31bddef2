// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/seriesrig/series/kernel"
	"github.com/seriesrig/series/patches"
)

// loader reads series with the architectures that this program can build.
func (a *app) loader() patches.Loader {
	var l patches.Loader
	for _, arch := range kernel.Arches {
		l.Arches = append(l.Arches, arch.Name)
	}
	return l
}

// load reads a series by its id, or by the path of its folder.
func (a *app) load(id string) (*patches.Series, error) {
	dir := filepath.Join(a.cli.Patches, id)
	if strings.ContainsRune(id, filepath.Separator) {
		dir = id
	}
	return a.loader().Load(dir)
}

// chooseArches returns the architectures to work on: the ones asked for, or all that the series names.
func chooseArches(s *patches.Series, asked []string) ([]kernel.Arch, error) {
	names := asked
	if len(names) == 0 {
		names = s.Arches
	}
	var arches []kernel.Arch
	for _, name := range names {
		arch, err := kernel.FindArch(name)
		if err != nil {
			return nil, usage("--arch: %v", err)
		}
		if slices.Contains(arches, arch) {
			return nil, usage("--arch: %s is named twice", name)
		}
		arches = append(arches, arch)
	}
	return arches, nil
}

// chooseVariants returns the configurations to work on; nil is the release configuration.
func chooseVariants(s *patches.Series, asked []string) ([]*patches.Variant, error) {
	known := []string{patches.Release}
	all := []*patches.Variant{nil}
	for i := range s.Variants {
		known, all = append(known, s.Variants[i].Name), append(all, &s.Variants[i])
	}
	var chosen []*patches.Variant
	for _, name := range asked {
		if name == "all" {
			return all, nil
		}
		i := slices.Index(known, name)
		switch {
		case i < 0:
			return nil, usage("--config: %s has no configuration %q (it has %s; all means all of them)", s.ID, name, strings.Join(known, ", "))
		case slices.Contains(chosen, all[i]):
			return nil, usage("--config: %s is named twice", name)
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

// choose makes the cells that the flags ask for.
func (s *session) choose(arch, config []string, prefixes []int) ([]*cell, error) {
	arches, err := chooseArches(s.series, arch)
	if err != nil {
		return nil, err
	}
	variants, err := chooseVariants(s.series, config)
	if err != nil {
		return nil, err
	}
	cells := s.cells(arches, variants, prefixes)
	if len(cells) == 0 {
		return nil, usage("--config %s: the series has it on none of the architectures asked for", strings.Join(config, ","))
	}
	return cells, nil
}

// chooseEnds makes the cells of the base and of the last patch, and of all prefixes between them where each is asked for.
func (s *session) chooseEnds(arch, config []string, each bool) ([]*cell, error) {
	prefixes := []int{0, len(s.series.Patches)}
	if each {
		var err error
		if prefixes, err = choosePatches(s.series, true, nil); err != nil {
			return nil, err
		}
	}
	return s.choose(arch, config, prefixes)
}

// choosePatches returns the prefixes of the series to work on, each by the number of its last patch.
func choosePatches(s *patches.Series, each bool, patch *int) ([]int, error) {
	n := len(s.Patches)
	switch {
	case each && patch != nil:
		return nil, usage("--each and --patch exclude each other")
	case patch != nil:
		if *patch < 0 || *patch > n {
			return nil, usage("--patch %d: %s has patches 1 to %d, and 0 is the base", *patch, s.ID, n)
		}
		return []int{*patch}, nil
	case each:
		all := make([]int, n+1)
		for i := range all {
			all[i] = i
		}
		return all, nil
	}
	return []int{n}, nil
}

// A session is a series on a base, with the work folder locked for this process.
type session struct {
	app     *app
	series  *patches.Series
	store   *kernel.Store
	source  *kernel.Source
	applied *patches.Result
	show    *progress
	hush    func() // ends the plain lines about what is under way; nil where there are none
	lock    *workLock
	journal *journal // nil: the verb keeps none
	extra   bool     // W=1 and sparse for the files that patches touch

	onlyKnown bool // no guest is booted: errNotKnown where one would have to be

	noting      sync.Mutex // what cells have behind them
	identifying sync.Mutex
	guestIDs    map[string]guestID // by architecture
	reading     sync.Mutex
	images      map[string]readImage // by architecture, the last that was compared
	building    sync.Mutex
	binaries    map[string]testBinary // by architecture and package
}

// baseSpec names the base that a series goes on.
func (a *app) baseSpec(s *patches.Series) string {
	if a.cli.Base != "" {
		return a.cli.Base
	}
	return s.Base
}

// baseStore is where the base that spec names is to be found, without taking the work folder.
func (a *app) baseStore(spec string) (*kernel.Store, kernel.Base, error) {
	base, err := kernel.ParseBase(spec)
	if err != nil {
		return nil, base, err
	}
	work, err := a.work()
	if err != nil {
		return nil, base, err
	}
	store, err := kernel.OpenStore(work)
	if err != nil {
		return nil, base, err
	}
	store.Log = a.log
	return store, base, nil
}

// source returns a base's source: the one that is at hand, or, with the work folder taken, one that is fetched and unpacked.
func (a *app) source(ctx context.Context, spec, verb string) (*kernel.Source, error) {
	store, base, err := a.baseStore(spec)
	if err != nil {
		return nil, err
	}
	if src, ok := store.AtHand(ctx, base); ok {
		return src, nil
	}
	lock, err := lockWork(ctx, store.Dir, "series "+verb, a.cli.NoWait, a.stderr)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	end := newProgress(a.stderr, a.cli.Quiet).stage("base", 1).begin(spec)
	src, err := store.Resolve(ctx, base)
	if err != nil {
		return nil, err
	}
	end("%s", src.Version)
	return src, nil
}

// open loads a series, takes the work folder, finds the base and applies the patches in memory. What ask says is wrong with the
// flags, for this series, is said before anything is waited for; the session has no more than the series then.
func (a *app) open(ctx context.Context, id, verb string, ask func(*session) error) (s *session, err error) {
	series, err := a.load(id)
	if err != nil {
		return nil, err
	}
	spec := a.baseSpec(series)
	base, err := kernel.ParseBase(spec)
	if err != nil {
		return nil, err
	}
	work, err := a.work()
	if err != nil {
		return nil, err
	}
	opened := &session{app: a, series: series}
	if err := ask(opened); err != nil {
		return nil, err
	}
	s = opened
	defer func() {
		if err != nil { // s is nil by then
			opened.Close()
		}
	}()
	if s.lock, err = lockWork(ctx, work, "series "+verb+" "+series.ID, a.cli.NoWait, a.stderr); err != nil {
		return nil, err
	}
	if s.store, err = kernel.OpenStore(work); err != nil {
		return nil, err
	}
	if err = a.tend(s.store.Cache); err != nil {
		return nil, err
	}
	s.store.Log = a.log
	s.store.Inherit = append(s.store.Inherit, s.lock.File)
	s.show = newProgress(a.stderr, a.cli.Quiet)
	if err = s.attend(verb); err != nil {
		return nil, err
	}

	st := s.show.stage("base", 1)
	end := st.begin(spec)
	if s.source, err = s.store.Resolve(ctx, base); err != nil {
		st.abort()
		return nil, err
	}
	end("%s", s.source.Version)
	st.end("%s is Linux %s", spec, s.source.Version)

	st = s.show.stage("apply", len(series.Patches))
	if s.applied, err = patches.Apply(s.source, series.Patches); err != nil {
		st.abort()
		return nil, err
	}
	hunks, moved := 0, 0
	for _, p := range s.applied.Patches {
		for _, h := range p.Hunks {
			hunks++
			if h.Offset != 0 {
				moved++
			}
		}
	}
	st.end("%d patches, %d hunks, %d at an offset", len(series.Patches), hunks, moved)
	return s, nil
}

// Close gives the work folder back.
func (s *session) Close() {
	if s.hush != nil {
		s.hush()
		s.hush = nil
	}
	if s.show != nil {
		s.show.wait()
	}
	s.journal.close()
	if s.lock != nil {
		s.lock.Close()
	}
}

// version is what the base's version is called: the package's where there is one.
func (s *session) version() string { return cmp.Or(s.source.Package, s.source.Version) }

func (s *session) name(arch kernel.Arch, patch int) string {
	return fmt.Sprintf("%s %d/%d", arch.Name, patch, len(s.series.Patches))
}
