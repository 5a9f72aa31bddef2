// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/seriesrig/series/internal/cache"
	"github.com/seriesrig/series/internal/run"
)

// A Toolchain is the set of programs whose output goes into a kernel.
type Toolchain struct {
	ID       string `json:"id"`       // hash of all of them
	Compiler string `json:"compiler"` // first line of the cross compiler's --version
	Linker   string `json:"linker"`
	Tools    []Tool `json:"tools"`
}

// A Tool is one program of a toolchain.
type Tool struct {
	Name    string `json:"name"`
	Path    string `json:"path"`
	Sum     string `json:"sum"` // SHA-256 of the file, in hex
	Version string `json:"version,omitempty"`

	Stamp stamp `json:"stamp"`
}

// The tools of a build: the cross compiler's, the host compiler's for the programs that kbuild makes and runs, and what
// generates code. From gcc also the programs that it calls are taken: gcc itself is a driver only.
var (
	crossTools = []string{"gcc", "ld", "as", "nm", "objcopy", "ar", "strip"}
	hostTools  = []string{"gcc", "ld", "as"}
	plainTools = []string{"make", "flex", "bison", "bc"}
	gccParts   = []string{"cc1", "as", "ld", "collect2"}
)

// Toolchain identifies the toolchain for an architecture. A tool that is not there is a *run.MissingError.
func (s *Store) Toolchain(ctx context.Context, a Arch) (*Toolchain, error) {
	programs, err := toolPaths(a)
	if err != nil {
		return nil, err
	}
	memo := filepath.Join(s.Dir, "cache", "toolchain-"+a.Name+".json")
	if tc, ok := recallToolchain(memo, programs); ok {
		return tc, nil
	}
	tc, err := identify(ctx, programs)
	if err != nil {
		return nil, fmt.Errorf("toolchain for %s: %w", a, err)
	}
	return tc, writeJSON(memo, tc)
}

// unchanged makes sure that a toolchain is still what it was when a build with it began. What an upgrade went into is made by
// two compilers, and has no id.
func (s *Store) unchanged(ctx context.Context, a Arch, was *Toolchain) error {
	now, err := s.Toolchain(ctx, a)
	if err == nil && now.ID != was.ID {
		err = changedToolchain(a)
	}
	return err
}

func changedToolchain(a Arch) error {
	return fmt.Errorf("the toolchain for %s changed while it was used; build again", a)
}

// toolPaths finds all programs, by "NAME PATH" so that two lists can be compared.
func toolPaths(a Arch) ([]string, error) {
	names := slices.Concat(plainTools, hostTools)
	for _, t := range crossTools {
		names = append(names, a.Cross+t)
	}
	slices.Sort(names)
	var list []string
	for _, name := range slices.Compact(names) {
		path, err := run.Look(name)
		if err != nil {
			return nil, err
		}
		list = append(list, name+" "+path)
	}
	return list, nil
}

// recallToolchain trusts what was found the last time, if PATH leads to the same programs and none has changed.
func recallToolchain(memo string, programs []string) (*Toolchain, bool) {
	data, err := os.ReadFile(memo)
	var tc Toolchain
	if err != nil || json.Unmarshal(data, &tc) != nil || tc.ID == "" {
		return nil, false
	}
	at := map[string]string{}
	for _, t := range tc.Tools {
		fi, err := os.Stat(t.Path)
		if err != nil || stampOf(fi) != t.Stamp {
			return nil, false
		}
		at[t.Name] = t.Path
	}
	for _, p := range programs {
		name, path, _ := strings.Cut(p, " ")
		if at[name] != path {
			return nil, false
		}
	}
	return &tc, true
}

func identify(ctx context.Context, programs []string) (*Toolchain, error) {
	tc := &Toolchain{}
	for _, p := range programs {
		name, path, _ := strings.Cut(p, " ")
		tc.Tools = append(tc.Tools, Tool{Name: name, Path: path})
		if name != "gcc" && !strings.HasSuffix(name, "-gcc") {
			continue
		}
		for _, part := range gccParts {
			out, err := run.Cmd{Name: path, Args: []string{"-print-prog-name=" + part}}.Output(ctx)
			if err != nil {
				return nil, err
			}
			at := strings.TrimSpace(string(out))
			if !strings.Contains(at, "/") { // gcc did not find it itself and leaves it to PATH
				if at, err = run.Look(at); err != nil {
					return nil, err
				}
			}
			tc.Tools = append(tc.Tools, Tool{Name: name + ":" + part, Path: at})
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(2)
	for i := range tc.Tools {
		g.Go(func() error { return tc.Tools[i].inspect(ctx) })
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	parts := []string{"toolchain 1"}
	for _, t := range tc.Tools {
		parts = append(parts, t.Name, t.Sum, t.Version)
		if base := t.Name; strings.HasSuffix(base, "gcc") && (tc.Compiler == "" || base != "gcc") {
			tc.Compiler = t.Version
		} else if strings.HasSuffix(base, "ld") && !strings.Contains(base, ":") && (tc.Linker == "" || base != "ld") {
			tc.Linker = t.Version
		}
	}
	tc.ID = cache.KeyOf(parts...)
	return tc, nil
}

func (t *Tool) inspect(ctx context.Context) error {
	fi, err := os.Stat(t.Path)
	if err != nil {
		return err
	}
	t.Stamp = stampOf(fi)
	if t.Sum, err = cache.HashFile(t.Path); err != nil {
		return err
	}
	if strings.Contains(t.Name, ":") { // cc1 and the like come with the driver, and have no --version
		return nil
	}
	out, err := run.Cmd{Name: t.Path, Args: []string{"--version"}}.Output(ctx)
	if err != nil {
		return fmt.Errorf("%s --version: %w", t.Path, err)
	}
	t.Version, _, _ = strings.Cut(string(out), "\n")
	if t.Version = strings.TrimSpace(t.Version); t.Version == "" {
		return errors.New(t.Path + " --version says nothing")
	}
	return nil
}
