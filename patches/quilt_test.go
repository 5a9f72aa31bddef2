// SPDX-License-Identifier: Apache-2.0

package patches

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seriesrig/series/internal/need"
)

// quilt push -a makes of the tree what Apply makes of it, and quilt pop -a takes it back.
func TestQuilt(t *testing.T) {
	need.Tool(t, "quilt")
	r := aHistory(t)
	ps := r.ps[:4] // the fifth puts a folder where a file was, see WriteQuilt
	dir, tree := filepath.Join(t.TempDir(), "patches"), t.TempDir()
	if err := WriteQuilt(dir, ps); err != nil {
		t.Fatal(err)
	}
	before := readTree(t, r.dir)
	writeTree(t, tree, before)
	quilt := func(args ...string) {
		t.Helper()
		cmd := exec.Command("quilt", append([]string{"--quiltrc", "-"}, args...)...)
		cmd.Dir = tree
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "QUILT_PATCHES=" + dir, "HOME=/nonexistent"}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("quilt %q: %v\n%s", args, err, out)
		}
	}
	files := func() map[string]string {
		out := map[string]string{}
		for name, f := range readTree(t, tree) {
			if !strings.HasPrefix(name, ".pc/") {
				out[name] = string(f.Data)
			}
		}
		return out
	}
	want := map[string]string{}
	for name, f := range before {
		want[name] = string(f.Data)
	}
	for _, p := range applyTo(t, Map(before), ps).Patches {
		for name, f := range p.Changed {
			if delete(want, name); f != nil {
				want[name] = string(f.Data)
			}
		}
	}
	quilt("push", "-a")
	if d := cmp.Diff(want, files()); d != "" {
		t.Errorf("quilt push -a (-applied +quilt):\n%s", d)
	}
	quilt("pop", "-a")
	want = map[string]string{}
	for name, f := range before {
		want[name] = string(f.Data)
	}
	if d := cmp.Diff(want, files()); d != "" {
		t.Errorf("quilt pop -a (-before +after):\n%s", d)
	}
}

func TestQuiltRefuses(t *testing.T) {
	r := aHistory(t)
	var bad *InputError
	dir := filepath.Join(t.TempDir(), "patches")
	if err := WriteQuilt(dir, append(r.ps[:1:1], r.ps[0])); !errors.As(err, &bad) {
		t.Errorf("the same name twice: %v", err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Errorf("%s was made", dir)
	}
}
