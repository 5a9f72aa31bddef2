// SPDX-License-Identifier: Apache-2.0

package linker

import (
	"context"
	"debug/elf"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seriesrig/series/internal/need"
	"github.com/seriesrig/series/internal/run"
)

var update = flag.Bool("update", false, "rewrite the tables in docs/linker.md")

// An abi is a compiler with its linker, as the columns of the tables have them.
type abi struct {
	name, cc, ld string
	flags        []string
	machine      elf.Machine
	data         elf.Data
}

var abis = []abi{
	{"x86_64", "gcc", "ld", nil, elf.EM_X86_64, elf.ELFDATA2LSB},
	{"ppc64 ELFv1", "powerpc64-linux-gnu-gcc", "powerpc64-linux-gnu-ld", []string{"-mabi=elfv1"}, elf.EM_PPC64, elf.ELFDATA2MSB},
	{"ppc64 ELFv2", "powerpc64-linux-gnu-gcc", "powerpc64-linux-gnu-ld", []string{"-mabi=elfv2"}, elf.EM_PPC64, elf.ELFDATA2MSB},
	{"ppc64le", "powerpc64le-linux-gnu-gcc", "powerpc64le-linux-gnu-ld", nil, elf.EM_PPC64, elf.ELFDATA2LSB},
}

// The forms of examples/forms.c: what they are called, the flags that they have with -fno-pie on x86_64 and on the three
// of powerpc, and those with -fPIE, which are the same everywhere.
var forms = []struct{ name, x86, ppc, pie string }{
	{"non-const pointer", "WA", "WA", "WA"},
	{"`const T *table[]`: the pointee is const", "WA", "WA", "WA"},
	{"const, function in the same file", "A", "A", "WA"},
	{"const, extern function", "A", "WA", "WA"},
	{"const array of linker symbols", "A", "WA", "WA"},
	{"asm \"a\", relative (PREL32)", "A", "A", "A"},
	{"asm \"a\", absolute, function in the same file", "A", "A", "A"},
	{"asm \"a\", absolute, extern function", "A", "A", "A"},
	{"asm without flags", "-", "-", "-"},
	{"code", "AX", "AX", "AX"},
}

func tool(t *testing.T, name string, args ...string) {
	t.Helper()
	if err := (run.Cmd{Name: name, Args: args, Dir: "examples"}).Run(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// compile makes DIR/formN.o and DIR/main.o.
func (a abi) compile(t *testing.T, dir, pie string, form int) string {
	t.Helper()
	out, src := filepath.Join(dir, fmt.Sprintf("form%d.o", form)), "forms.c"
	if form == 0 {
		out, src = filepath.Join(dir, "main.o"), "main.c"
	}
	tool(t, a.cc, append([]string{"-O2", pie, fmt.Sprintf("-DFORM=%d", form), "-c", "-o", out, src}, a.flags...)...)
	return out
}

func tableFlags(t *testing.T, path, section string) string {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := f.Section(section)
	if s == nil {
		t.Fatalf("%s: no section %s", path, section)
	}
	return flags(s.Flags)
}

// TestForms compiles every form with every compiler, and compares with the table that was written down beforehand: that
// of the notes, with what they had not tested.
func TestForms(t *testing.T) {
	rows := make([][]string, len(forms))
	complete := true
	for i, a := range abis {
		if !t.Run(a.name, func(t *testing.T) {
			complete = false
			need.Tool(t, a.cc)
			complete = true
			dir := t.TempDir()
			for n, form := range forms {
				want := form.ppc
				if i == 0 {
					want = form.x86
				}
				got := tableFlags(t, a.compile(t, dir, "-fno-pie", n+1), ".table")
				if got != want {
					t.Errorf("%s: flags %q, want %q", form.name, got, want)
				}
				pie := tableFlags(t, a.compile(t, dir, "-fPIE", n+1), ".table")
				if pie != form.pie {
					t.Errorf("%s, -fPIE: flags %q, want %q", form.name, pie, form.pie)
				}
				if i == 0 {
					rows[n] = []string{form.name}
				}
				rows[n] = append(rows[n], got)
				if i == len(abis)-1 {
					rows[n] = append(rows[n], pie)
				}
			}
		}) {
			complete = false
		}
	}
	if !complete {
		return
	}
	compareTable(t, "forms", []string{"form of the entry", "x86_64", "ppc64 ELFv1", "ppc64 ELFv2", "ppc64le", "any, -fPIE"}, rows)
}

// The cases of linking: which forms go in besides main.c, with which script.
var links = []struct {
	name   string
	forms  []int
	script string
	typ    string
	out    string
}{
	{"const only", []int{3}, "table.lds", "", ".table"},
	{"const, and one entry that is not", []int{3, 1}, "table.lds", "", ".table"},
	{"const, and one that is extern", []int{3, 4}, "table.lds", "", ".table"},
	{"asm \"a\" only", []int{6, 7, 8}, "table.lds", "", ".table"},
	{"asm \"a\", and code", []int{7, 10}, "table.lds", "", ".table"},
	{"not const, and code", []int{1, 10}, "table.lds", "", ".table"},
	{"not const, script says (READONLY)", []int{1}, "table.lds", "(READONLY)", ".table"},
	{"not const, in .rodata of a segment with FLAGS(5)", []int{1}, "phdrs.lds", "", ".rodata"},
}

// link links a case; it returns the path, and "" where the linker refuses it.
func (a abi) link(t *testing.T, dir, ld, script, typ string, objects []string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("examples", script))
	if err != nil {
		t.Fatal(err)
	}
	lds := filepath.Join(dir, "script.lds")
	if err := os.WriteFile(lds, []byte(strings.ReplaceAll(string(text), "TABLE_TYPE", typ)), 0o644); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "vmlinux")
	os.Remove(out)
	args := append([]string{"-T", lds, "-o", out}, objects...)
	if err := (run.Cmd{Name: ld, Args: args}).Run(context.Background()); err != nil {
		return ""
	}
	return out
}

// TestLinks links the cases with ld.bfd of every architecture and with ld.lld, and has Explain say why.
func TestLinks(t *testing.T) {
	header := []string{"inputs"}
	rows := make([][]string, len(links))
	for n := range links {
		rows[n] = []string{links[n].name}
	}
	complete := true
	for _, lld := range []bool{false, true} {
		for i, a := range abis {
			ld := a.ld
			column := a.name + ", bfd"
			if lld {
				ld = "ld.lld"
				column = a.name + ", lld"
			}
			header = append(header, column)
			if !t.Run(column, func(t *testing.T) {
				complete = false
				need.Tool(t, a.cc)
				need.Tool(t, ld)
				complete = true
				dir := t.TempDir()
				objects := map[int]string{0: a.compile(t, dir, "-fno-pie", 0)}
				for n, l := range links {
					files := []string{objects[0]}
					for _, f := range l.forms {
						if objects[f] == "" {
							objects[f] = a.compile(t, dir, "-fno-pie", f)
						}
						files = append(files, objects[f])
					}
					out := a.link(t, dir, ld, l.script, l.typ, files)
					if out == "" {
						rows[n] = append(rows[n], "refused")
						continue
					}
					cell := tableFlags(t, out, l.out)
					checkLink(t, l.name, out, l.out, i, cell, files, filepath.Join(dir, "script.lds"))
					if l.script == "phdrs.lds" {
						x, err := Explain(context.Background(), out, l.out, Inputs{})
						if err != nil || len(x.Segments) != 1 {
							t.Fatalf("%s: %v, segments %+v, want one", l.name, err, x)
						}
						cell += " in " + x.Segments[0].Flags
					}
					rows[n] = append(rows[n], cell)
				}
			}) {
				complete = false
			}
		}
	}
	if complete {
		compareTable(t, "links", header, rows)
	}
}

// checkLink wants the verdict that the flags of the inputs give, whatever the output's own flags are.
func checkLink(t *testing.T, name, out, section string, column int, flags string, files []string, script string) {
	t.Helper()
	x, err := Explain(context.Background(), out, section, Inputs{Files: files, Script: script})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	writable := strings.Contains(flags, "W")
	for _, f := range files[1:] {
		if w := strings.Contains(tableFlags(t, f, ".table"), "W"); w {
			writable = true
			if !strings.Contains(strings.Join(x.Why, "\n"), show(f)+" brings .table") {
				t.Errorf("%s: why does not name %s:\n%s", name, f, strings.Join(x.Why, "\n"))
			}
		}
	}
	want := ReadOnly
	if writable {
		want = Writable
	}
	if x.Verdict != want {
		t.Errorf("%s (column %d): verdict %s, want %s: %s", name, column, x.Verdict, want, strings.Join(x.Why, "; "))
	}
	for _, p := range x.Proofs() {
		if !p.Pass && want == ReadOnly {
			t.Errorf("%s: proof %s fails: %s", name, p.Name, p.Detail)
		}
	}
}

// compareTable compares a table with the one in docs/linker.md that stands between <!-- table NAME --> and <!-- end -->.
func compareTable(t *testing.T, name string, header []string, rows [][]string) {
	t.Helper()
	var b strings.Builder
	line := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	line(header)
	line(strings.Split(strings.TrimSuffix(strings.Repeat("---,", len(header)), ","), ","))
	for _, r := range rows {
		line(r)
	}
	const path = "../docs/linker.md"
	doc, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	begin := "<!-- table " + name + " -->\n"
	before, rest, ok := strings.Cut(string(doc), begin)
	inner, after, ok2 := strings.Cut(rest, "<!-- end -->")
	if !ok || !ok2 {
		t.Fatalf("%s has no place for table %s", path, name)
	}
	if *update {
		if err := os.WriteFile(path, []byte(before+begin+b.String()+"<!-- end -->"+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(inner, b.String()); d != "" {
		t.Errorf("%s, table %s differs from what was measured (go test ./linker -update writes it; -doc +measured):\n%s", path, name, d)
	}
}
