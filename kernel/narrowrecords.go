// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/seriesrig/series/internal/cache"
)

// readRecords reads all that kbuild and the build system of tools keep in an output folder of how they made what and from
// what: .NAME.cmd beside NAME, and lists of dependencies (*.d) that no such file has taken in. Only those that keep wants stay;
// all of them are some 60 MB.
func readRecords(dir string, keep func(record) bool) ([]record, error) {
	var records []record
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name := d.Name()
		if ext := path.Ext(name); ext != ".cmd" && ext != ".d" {
			return nil
		}
		r := record{path: p[len(dir)+1:]}
		if inner, ok := strings.CutSuffix(name, ".cmd"); ok && strings.HasPrefix(inner, ".") {
			r.target = path.Join(path.Dir(r.path), inner[1:])
		}
		records = append(records, r)
		return nil
	})
	if err != nil {
		return nil, err
	}
	var g errgroup.Group
	workers := runtime.GOMAXPROCS(0)
	for chunk := range slices.Chunk(records, max(1, (len(records)+workers-1)/workers)) {
		g.Go(func() error {
			var buf bytes.Buffer
			for i := range chunk {
				r := chunk[i]
				buf.Reset()
				if err := readInto(&buf, filepath.Join(dir, r.path)); err != nil {
					return err
				}
				if r.data = buf.Bytes(); keep(r) {
					chunk[i].data = slices.Clone(r.data)
				}
			}
			return nil
		})
	}
	err = g.Wait()
	return slices.DeleteFunc(records, func(r record) bool { return r.data == nil }), err
}

func readInto(buf *bytes.Buffer, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = buf.ReadFrom(f)
	return err
}

// namedForm is a source file's name in a makefile, or a pattern of such names.
var namedForm = regexp.MustCompile(`[A-Za-z0-9_+,@*?-][A-Za-z0-9_.+,@*?-]*\.[chS]\b`)

// isMakefile tells whether a file is a part of how a kernel is made. The programs in tools that no kernel needs are left out:
// they have whole lists of headers.
func isMakefile(name string) bool {
	base := path.Base(name)
	if !isKbuild(name) && path.Ext(base) != ".mk" && path.Ext(base) != ".sh" {
		return false
	}
	if strings.HasPrefix(name, "Documentation/") {
		return false
	}
	rest, ok := strings.CutPrefix(name, "tools/")
	return !ok || slices.ContainsFunc([]string{"objtool/", "build/", "lib/", "scripts/", "bpf/resolve_btfids/"}, func(p string) bool { return strings.HasPrefix(rest, p) })
}

func isKbuild(name string) bool {
	base := path.Base(name)
	return strings.HasPrefix(base, "Makefile") || strings.HasPrefix(base, "Kbuild")
}

// named are the C and assembler files that makefiles and their scripts name, without their folders: a rule may make something
// of these that no compiler's list of dependencies tells of.
type named struct {
	Names   map[string]bool // those with * or ? are patterns
	Folders map[string]bool // whose makefile has a pattern that is any name
}

// namedInMakefiles reads the makefiles of a tree.
func (w *workplace) namedInMakefiles(ctx context.Context) (*named, error) {
	const list = "names.json"
	m, err := w.src.manifest()
	if err != nil {
		return nil, err
	}
	dir, _, err := w.store.Cache.Fill(ctx, "makefiles", cache.KeyOf("names 2", w.src.Hash), func(_ context.Context, dir string) error {
		n := &named{map[string]bool{}, map[string]bool{}}
		for _, e := range m.entries {
			if e.mode == modeLink || !isMakefile(e.path) {
				continue
			}
			data, err := os.ReadFile(filepath.Join(w.src.Dir, e.path))
			if err != nil {
				return err
			}
			n.add(e.path, data)
		}
		return writeJSON(filepath.Join(dir, list), n)
	})
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(filepath.Join(dir, list))
	if err != nil {
		return nil, err
	}
	var n named
	if err := json.Unmarshal(data, &n); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, list), err)
	}
	for name, f := range w.state.Files {
		if f.Mode == 0 || f.Mode == modeLink || !isMakefile(name) {
			continue
		}
		data, err := os.ReadFile(filepath.Join(w.Dir, name))
		if err != nil {
			return nil, err
		}
		n.add(name, data)
	}
	return &n, nil
}

// add takes the names in one makefile. What the top one and those in scripts look for is not what a kernel is made of.
func (n *named) add(makefile string, data []byte) {
	for _, name := range namedForm.FindAll(data, -1) {
		if strings.Trim(string(name[:len(name)-2]), "*?") != "" {
			n.Names[string(name)] = true
		} else if dir := path.Dir(makefile); isKbuild(makefile) && dir != "." && dir != "scripts" {
			n.Folders[dir] = true
		}
	}
}

// has says by which name a makefile may mean a file, "" where by none.
func (n *named) has(file string) string {
	base := path.Base(file)
	if n.Names[base] {
		return base
	}
	for name := range n.Names {
		if !strings.ContainsAny(name, "*?") {
			continue
		}
		if ok, err := path.Match(name, base); ok || err != nil {
			return name
		}
	}
	for dir := path.Dir(file); dir != "."; dir = path.Dir(dir) {
		if n.Folders[dir] {
			return "all files in " + dir
		}
	}
	return ""
}
