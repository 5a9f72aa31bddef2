// SPDX-License-Identifier: Apache-2.0

package initramfs

import (
	"bytes"
	"debug/buildinfo"
	"debug/elf"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/modfile"

	"github.com/seriesrig/series/internal/cache"
)

// What this package carries as text is what the checkout has as files.
func TestEmbedded(t *testing.T) {
	main, err := os.ReadFile("../../cmd/guest/main.go")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(main), agentMain); diff != "" {
		t.Errorf("cmd/guest/main.go and agentMain differ:\n%s", diff)
	}
	file, err := parser.ParseFile(token.NewFileSet(), "mkbase/commands.go", nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	var imports []string
	for _, i := range file.Imports {
		path, _ := strconv.Unquote(i.Path.Value)
		imports = append(imports, path)
	}
	if diff := cmp.Diff(Commands, imports); diff != "" {
		t.Errorf("Commands and mkbase/commands.go differ:\n%s", diff)
	}
	if !slices.IsSorted(Commands) {
		t.Error("Commands are not sorted")
	}
}

// The base image is built from the versions that our go.mod names.
func TestBaseVersions(t *testing.T) {
	ours, base := requires(t, "../../go.mod"), requires(t, "mkbase/base.mod")
	for _, path := range []string{"github.com/u-root/u-root", "github.com/u-root/mkuimage"} {
		if base[path] == "" || base[path] != ours[path] {
			t.Errorf("%s: base.mod has %q, go.mod %q", path, base[path], ours[path])
		}
	}
}

func requires(t *testing.T, path string) map[string]string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := modfile.Parse(path, b, nil)
	if err != nil {
		t.Fatal(err)
	}
	versions := make(map[string]string)
	for _, r := range f.Require {
		versions[r.Mod.Path] = r.Mod.Version
	}
	return versions
}

func TestUnknownArch(t *testing.T) {
	c, err := cache.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Image(t.Context(), c, "riscv64"); err == nil || !strings.Contains(err.Error(), "amd64, ppc64, ppc64le") {
		t.Errorf("Image(riscv64) = %v", err)
	}
}

// The agent is built from what the program carries, alike each time, and for the architecture that was asked for.
func TestAgentBuild(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Fatal(err) // who runs this test has it
	}
	first, second := open(t), open(t)
	for arch, machine := range map[string]elf.Machine{"amd64": elf.EM_X86_64, "ppc64": elf.EM_PPC64} {
		path, err := Agent(t.Context(), first, arch)
		if err != nil {
			t.Fatal(err)
		}
		f, err := elf.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if f.Machine != machine || f.Section(".symtab") != nil || f.Section(".interp") != nil {
			t.Errorf("%s: machine %v, or with symbols, or not static", arch, f.Machine)
		}
		f.Close()
		info, err := buildinfo.ReadFile(path)
		if err != nil || info.Path != "github.com/seriesrig/series/cmd/guest" || len(info.Deps) > 0 {
			t.Errorf("%s: build information %+v, %v", arch, info, err)
		}
		if left, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); err != nil || len(left) != 1 {
			t.Errorf("%s: cache entry holds %v, %v", arch, left, err)
		}
		if arch != "amd64" {
			continue
		}
		again, err := Agent(t.Context(), second, arch)
		if err != nil {
			t.Fatal(err)
		}
		if a, b := read(t, path), read(t, again); !bytes.Equal(a, b) {
			t.Errorf("%s: two builds differ", arch)
		}
	}
}

func open(t *testing.T) *cache.Cache {
	t.Helper()
	c, err := cache.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
