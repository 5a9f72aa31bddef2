// SPDX-License-Identifier: Apache-2.0

package patches

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "rewrite golden files")

// TestApplyGolden applies the patches of testdata/apply/*.txtar to their source, from memory and from a folder. What is
// accepted must also be what git apply makes of it. In the files, "src" is a file of the base ("src+x" an executable,
// "src+link" a symbolic link, "+noeol" without the newline at its end), and "out" is what came of it: the hunks and all
// files after the last patch, or the error; and whether git apply takes the patches.
func TestApplyGolden(t *testing.T) {
	names, err := filepath.Glob("testdata/apply/*.txtar")
	if err != nil || len(names) < 30 {
		t.Fatalf("%d golden files, %v; want at least 30", len(names), err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			base, ps, want := readGolden(t, a)
			got := applied(t, base, ps)
			if *update {
				a.Files = append(withoutOut(a.Files), txtar.File{Name: "out", Data: []byte(got)})
				if err := os.WriteFile(name, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("%s(-want +got)\n%s", a.Comment, d)
			}
		})
	}
}

func withoutOut(files []txtar.File) []txtar.File {
	var out []txtar.File
	for _, f := range files {
		if f.Name != "out" {
			out = append(out, f)
		}
	}
	return out
}

func readGolden(t *testing.T, a *txtar.Archive) (base Map, ps []*Patch, want string) {
	base = Map{}
	for _, f := range a.Files {
		tag, name, isSrc := strings.Cut(f.Name, " ")
		switch {
		case isSrc && strings.HasPrefix(tag, "src"):
			file := &File{Data: f.Data, Mode: 0o644}
			for _, flag := range strings.Split(tag, "+")[1:] {
				switch flag {
				case "x":
					file.Mode = 0o755
				case "link":
					file.Mode = fs.ModeSymlink
					file.Data = f.Data[:len(f.Data)-1]
				case "noeol":
					file.Data = f.Data[:len(f.Data)-1]
				}
			}
			base[name] = file
		case strings.HasSuffix(f.Name, ".patch"):
			p, err := ParsePatch(f.Name, f.Data)
			if err != nil {
				t.Fatal(err)
			}
			ps = append(ps, p)
		case f.Name == "out":
			want = string(f.Data)
		default:
			t.Fatalf("unknown file %q", f.Name)
		}
	}
	return base, ps, want
}

// applied applies patches and tells what came of it.
func applied(t *testing.T, base Map, ps []*Patch) string {
	dir := t.TempDir()
	writeTree(t, dir, base)
	folder, err := Dir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	res, err := Apply(folder, ps)
	if memres, memerr := Apply(base, ps); (memerr == nil) != (err == nil) {
		t.Errorf("Apply on a map: %v; on a folder: %v", memerr, err)
	} else if err == nil {
		if d := cmp.Diff(treeText(res.Files(len(ps))), treeText(memres.Files(len(ps)))); d != "" {
			t.Errorf("Apply on a map differs from one on a folder (-folder +map)\n%s", d)
		}
	}
	bare := t.TempDir()
	if err := fastImport(t.Context(), bare, dir, "base"); err != nil {
		t.Fatal(err)
	}
	src, gerr := GitSource(t.Context(), Commit{bare, "HEAD"}, ps)
	if gerr != nil {
		t.Fatal(gerr)
	}
	if gitres, giterr := Apply(src, ps); (giterr == nil) != (err == nil) || err != nil && giterr.Error() != err.Error() && !errors.As(err, new(*fs.PathError)) {
		t.Errorf("Apply on a commit: %v; on a folder: %v", giterr, err)
	} else if err == nil {
		if d := cmp.Diff(treeText(res.Files(len(ps))), treeText(gitres.Files(len(ps)))); d != "" {
			t.Errorf("Apply on a commit differs from one on a folder (-folder +commit)\n%s", d)
		}
	}
	if d := cmp.Diff(treeText(base), treeText(readTree(t, dir))); d != "" {
		t.Errorf("Apply changed the folder (-before +after)\n%s", d)
	}
	want, gitTakes, said := gitApply(t, base, ps...)
	git := map[bool]string{true: "git apply takes it\n", false: "git apply refuses it\n"}[gitTakes]
	if err != nil {
		var e *ApplyError
		if !errors.As(err, &e) {
			t.Fatalf("Apply: %T %v, want an *ApplyError", err, err)
		}
		if strings.Contains(e.Error(), "\n") {
			t.Errorf("error has more than one line: %q", e.Error())
		}
		return strings.ReplaceAll(fmt.Sprintf("%+v\n", err), dir, "TREE") + git
	}
	if !gitTakes {
		t.Errorf("git apply refuses it: %s", said)
	} else if d := cmp.Diff(treeText(want), treeText(after(base, res, len(ps)))); d != "" {
		t.Errorf("not what git apply makes of it (-git +ours)\n%s", d)
	}
	var b strings.Builder
	for i, p := range res.Patches {
		fmt.Fprintf(&b, "%s\n", p.File)
		for _, h := range p.Hunks {
			fmt.Fprintf(&b, "  %s:%d %+d\n", h.Path, h.Line, h.Offset)
		}
		b.WriteString("  differ: " + strings.Join(sortedKeys(res.Files(i+1)), ", ") + "\n")
	}
	return b.String() + git + treeText(after(base, res, len(ps)))
}

// TestApplyJSON holds the shape of `series apply --json` still.
func TestApplyJSON(t *testing.T) {
	p := parse(t, mbox("one", diffOne))
	res, err := Apply(Map{"f": text1("one\nthree\n")}, []*Patch{p})
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(res)
	if want := `{"patches":[{"file":"x.patch","hunks":[{"path":"f","line":1,"offset":0}]}]}`; string(got) != want || err != nil {
		t.Errorf("result in JSON = %s, %v, want %s", got, err, want)
	}
	_, err = Apply(Map{"f": text1("none\n")}, []*Patch{p})
	got, _ = json.Marshal(err)
	want := `{"patch":"x.patch","path":"f","hunk":1,"message":"x.patch:14: hunk 1 of f does not fit at line 1, and nothing in the file is like it","line":14,"at":1,"want":["one\n","three\n"],"got":["none\n"]}`
	if string(got) != want {
		t.Errorf("error in JSON =\n%s\nwant\n%s", got, want)
	}
}

// TestApplyIsAllOrNothing has the second of two patches fail.
func TestApplyIsAllOrNothing(t *testing.T) {
	f := text1("one\nthree\n")
	base := Map{"f": f}
	res, err := Apply(base, []*Patch{parse(t, mbox("one", diffOne)), parse(t, mbox("one", diffOne))})
	if res != nil || err == nil {
		t.Errorf("Apply = %v, %v, want an error alone", res, err)
	}
	if string(f.Data) != "one\nthree\n" || base["f"] != f {
		t.Errorf("Apply changed the base: %q", f.Data)
	}
}

// failing is a source that cannot be read.
type failing struct{ error }

func (f failing) ReadFile(string) (*File, error) { return nil, f.error }

func TestApplyReadError(t *testing.T) {
	disk := errors.New("input/output error")
	_, err := Apply(failing{disk}, []*Patch{parse(t, mbox("one", diffOne))})
	var e *ApplyError
	if !errors.Is(err, disk) || !errors.As(err, &e) {
		t.Errorf("Apply = %v, want an *ApplyError that wraps the source's", err)
	}
}

// TestDirStaysInside tries the ways out of a folder.
func TestDirStaysInside(t *testing.T) {
	outer := t.TempDir()
	dir := filepath.Join(outer, "tree")
	writeTree(t, outer, map[string]*File{
		"secret":        text1("secret\n"),
		"outside/x":     text1("secret\n"),
		"tree/a/b":      text1("b\n"),
		"tree/out":      {Data: []byte("../secret"), Mode: fs.ModeSymlink},
		"tree/outdir":   {Data: []byte("../outside"), Mode: fs.ModeSymlink},
		"tree/absolute": {Data: []byte(outer), Mode: fs.ModeSymlink},
		"tree/inside":   {Data: []byte("a"), Mode: fs.ModeSymlink},
	})
	d, err := Dir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, name := range []string{"../secret", "/etc/passwd", "a/../../secret", "", ".", "a//b", "a/./b",
		"outdir/x", "absolute/secret", "inside/b", "a", "a/b/c"} {
		if f, err := d.ReadFile(name); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("ReadFile(%q) = %v, %v, want a refusal", name, f, err)
		}
	}
	if f, err := d.ReadFile("out"); err != nil || f.Mode != fs.ModeSymlink || string(f.Data) != "../secret" {
		t.Errorf(`ReadFile("out") = %v, %v, want the link itself`, f, err)
	}
	for _, name := range []string{"none", "none/x", "a/c"} {
		if _, err := d.ReadFile(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("ReadFile(%q) = %v, want fs.ErrNotExist", name, err)
		}
	}
	if f, err := d.ReadFile("a/b"); err != nil || string(f.Data) != "b\n" || f.Mode != 0o644 {
		t.Errorf(`ReadFile("a/b") = %v, %v`, f, err)
	}
}

// TestDetailOfALongHunk makes sure that Detail stays readable, and quick, for whatever a patch holds.
func TestDetailOfALongHunk(t *testing.T) {
	var diff, base strings.Builder
	const n = 3000
	fmt.Fprintf(&diff, "diff --git a/f b/f\nindex 257cc56..3bd1f0e 100644\n--- a/f\n+++ b/f\n@@ -1,%d +1,%d @@\n", n+1, n)
	for i := range n {
		fmt.Fprintf(&diff, " line %d %s\n", i, strings.Repeat("x", 100))
		fmt.Fprintf(&base, "line %d %s\n", i, strings.Repeat("x", 100))
	}
	diff.WriteString("-last\n")
	_, err := Apply(Map{"f": text1(base.String() + "least\n")}, []*Patch{parse(t, mbox("long", diff.String()))})
	var e *ApplyError
	if !errors.As(err, &e) {
		t.Fatalf("Apply = %v, want an *ApplyError", err)
	}
	lines := strings.Split(strings.TrimSuffix(e.Detail(), "\n"), "\n")
	for _, l := range lines {
		if len(l) > 160 {
			t.Fatalf("detail has a line of %d bytes: %s", len(l), l)
		}
	}
	if len(lines) > 60 {
		t.Errorf("detail has %d lines, want the surroundings of what differs", len(lines))
	}
	if !strings.Contains(e.Detail(), "least") {
		t.Errorf("detail does not show the line that differs:\n%s", e.Detail())
	}
}
