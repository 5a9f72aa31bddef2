// SPDX-License-Identifier: Apache-2.0

package initramfs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A plan does what go build would do: a package with assembly needs five steps, and what the first of them includes is there.
func TestPlan(t *testing.T) {
	src := t.TempDir()
	for _, f := range []string{"a.go", "b.s", "b.h"} {
		if err := os.WriteFile(filepath.Join(src, f), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b := &builder{dir: t.TempDir(), goarch: "ppc64", tool: gotool{root: t.TempDir()}, out: map[string]bool{}}
	headers := filepath.Join(b.tool.root, "pkg/include")
	if err := os.MkdirAll(headers, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, f := range asmHeaders {
		if err := os.WriteFile(filepath.Join(headers, f), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range []builtPackage{
		{ImportPath: "x/y", Dir: src, GoFiles: []string{"a.go"}, SFiles: []string{"b.s"}, HFiles: []string{"b.h"}, Standard: true},
		{ImportPath: "program", Dir: src, GoFiles: []string{"a.go"}},
	} {
		if err := b.compile(p); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, step := range b.plan.Steps {
		line := strings.Join(step, " ")
		for _, flags := range []string{" -I out/x/y -I src/x/y -I pkg/include -D GOOS_linux -D GOARCH_ppc64 -D GOAMD64_v1 -D GOPPC64_power8",
			" -importcfg importcfg -pack -c=1 -dwarf=false", " -trimpath src/x/y=>x/y", " -trimpath src/main=>main"} {
			line = strings.ReplaceAll(line, flags, "")
		}
		got = append(got, line)
	}
	want := []string{
		"bin/asm -p x/y -gensymabis -o out/x/y/symabis src/x/y/b.s",
		"bin/compile -p x/y -std -o out/x/y.a -symabis out/x/y/symabis -asmhdr out/x/y/go_asm.h src/x/y/a.go",
		"bin/asm -p x/y -o out/x/y/b.o src/x/y/b.s",
		"bin/pack r out/x/y.a out/x/y/b.o",
		"bin/compile -p main -o out/main.a src/main/a.go",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("steps (-want +got):\n%s", d)
	}
	for _, f := range []string{"src/x/y/b.h", "src/main/a.go", "pkg/include/go_asm.h", "pkg/include/textflag.h"} {
		if _, err := os.Stat(filepath.Join(b.dir, f)); err != nil {
			t.Error(err)
		}
	}
	if want := "packagefile x/y=out/x/y.a\n"; b.importcfg.String() != want {
		t.Errorf("importcfg %q, want %q", b.importcfg.String(), want)
	}
	if err := b.compile(builtPackage{ImportPath: "c", Dir: src, CgoFiles: []string{"a.go"}}); err == nil {
		t.Error("a package with C in it is planned as if it had none")
	}
}
