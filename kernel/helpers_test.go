// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seriesrig/series/patches"
)

// fakeKernel is the least that is taken for a kernel source. A path that ends in * is executable, a value that begins
// with -> is a link.
var fakeKernel = map[string]string{
	"Makefile":                "# SPDX\nVERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 7\nEXTRAVERSION = -rc3\nNAME = x\n",
	"Kbuild":                  "obj-y += init/\n",
	"Kconfig":                 "config A\n\tbool \"a\"\nconfig B\n\tbool \"b\"\n\tdepends on C\nconfig C\n\tbool \"c\"\n",
	"init/main.c":             "int main;\n",
	"kernel/fork.c":           "int fork;\n",
	"kernel/audit/audit.c":    "int audit;\n",
	"include/linux/a.h":       "#define A\n",
	"include/uapi/a.h":        "#define UA\n",
	"scripts/run.sh*":         "#!/bin/sh\n",
	"scripts/dtc/arm":         "->../../init",
	"Documentation/Changes":   "->process/changes.rst",
	"Documentation/empty.rst": "",
	".gitignore":              "*.o\n",
}

// with returns a copy of files with changes; an empty path's value is dropped, "-" removes.
func with(files map[string]string, changes ...string) map[string]string {
	out := maps.Clone(files)
	for i := 0; i < len(changes); i += 2 {
		if changes[i+1] == "-" {
			delete(out, changes[i])
			continue
		}
		out[changes[i]] = changes[i+1]
	}
	return out
}

func writeTree(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		mode := fs.FileMode(0o644)
		if rest, ok := strings.CutSuffix(name, "*"); ok {
			name, mode = rest, 0o755
		}
		full := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(full), 0o755)
		if target, ok := strings.CutPrefix(text, "->"); ok && err == nil {
			err = os.Symlink(target, full)
		} else if err == nil {
			err = os.WriteFile(full, []byte(text), mode)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// readTree is the inverse of writeTree.
func readTree(t testing.TB, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == dir {
			return err
		}
		name := p[len(dir)+1:]
		if d.IsDir() {
			list, err := os.ReadDir(p)
			if len(list) == 0 {
				files[name+"/"] = ""
			}
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		if fi.Mode()&fs.ModeSymlink != 0 {
			target, err := os.Readlink(p)
			files[name] = "->" + target
			return err
		}
		if fi.Mode()&0o222 != 0 {
			t.Errorf("%s has mode %v, want a read-only file", p, fi.Mode())
		}
		if fi.Mode()&0o100 != 0 {
			name += "*"
		}
		data, err := os.ReadFile(p)
		files[name] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// overlay turns the same notation into what Tree.Set takes.
func overlay(changes ...string) map[string]*patches.File {
	out := map[string]*patches.File{}
	for i := 0; i < len(changes); i += 2 {
		name, text := changes[i], changes[i+1]
		f := &patches.File{Data: []byte(text), Mode: 0o644}
		if rest, ok := strings.CutSuffix(name, "*"); ok {
			name, f.Mode = rest, 0o755
		}
		if target, ok := strings.CutPrefix(text, "->"); ok {
			f.Data, f.Mode = []byte(target), fs.ModeSymlink
		}
		if text == "-" {
			f = nil
		}
		out[name] = f
	}
	return out
}

// makeTar writes an archive with a top folder, unless top is "".
func makeTar(t testing.TB, top string, files map[string]string, extra ...*tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	add := func(h *tar.Header, data string) {
		h.Size = int64(len(data))
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		h := &tar.Header{Name: path.Join(top, name), Mode: 0o644, Typeflag: tar.TypeReg}
		if rest, ok := strings.CutSuffix(h.Name, "*"); ok {
			h.Name, h.Mode = rest, 0o755
		}
		data := files[name]
		if target, ok := strings.CutPrefix(data, "->"); ok {
			h.Typeflag, h.Linkname, data = tar.TypeSymlink, target, ""
		}
		add(h, data)
	}
	for _, h := range extra {
		add(h, "")
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipped(data []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write(data)
	w.Close()
	return b.Bytes()
}

func makeStore(t testing.TB) *Store {
	t.Helper()
	// In memory where there is such a file system: the tests make thousands of small files and wait for each on disk.
	dir, err := os.MkdirTemp("/dev/shm", "series-test-")
	if err != nil {
		dir = t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s, err := OpenStore(filepath.Join(dir, "work"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func resolve(t testing.TB, s *Store, spec string) *Source {
	t.Helper()
	b, err := ParseBase(spec)
	if err != nil {
		t.Fatal(err)
	}
	src, err := s.Resolve(t.Context(), b)
	if err != nil {
		t.Fatalf("Resolve(%s) = %v", spec, err)
	}
	return src
}

// resolveErr resolves what cannot be, and checks that nothing is left of it.
func resolveErr(t testing.TB, s *Store, spec string) error {
	t.Helper()
	b, err := ParseBase(spec)
	if err != nil {
		t.Fatal(err)
	}
	src, err := s.Resolve(t.Context(), b)
	if err == nil {
		t.Fatalf("Resolve(%s) = %v, want an error", spec, src)
	}
	list, _ := filepath.Glob(s.src(".tmp-*"))
	if len(list) > 0 {
		t.Errorf("Resolve(%s) left %v", spec, list)
	}
	return err
}

// fakeSource writes a source straight from a map.
func fakeSource(t testing.TB, s *Store, files map[string]string) *Source {
	t.Helper()
	name := filepath.Join(t.TempDir(), "k.tar")
	if err := os.WriteFile(name, makeTar(t, "linux", files), 0o644); err != nil {
		t.Fatal(err)
	}
	return resolve(t, s, "tar:"+name)
}

func sh(t testing.TB, dir, script string) string {
	t.Helper()
	c := exec.Command("sh", "-ec", script)
	c.Dir = dir
	c.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b")
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return strings.TrimSpace(string(out))
}

func checkContent(t testing.TB, dir string, want map[string]string) {
	t.Helper()
	got := readTree(t, dir)
	for name, text := range want {
		if have, ok := got[name]; !ok || have != text {
			t.Errorf("%s: %s = %q (%v), want %q", dir, name, have, ok, text)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s: unexpected %s", dir, name)
		}
	}
}
