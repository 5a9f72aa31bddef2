// SPDX-License-Identifier: Apache-2.0

package delta_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seriesrig/series/internal/need"
	"github.com/seriesrig/series/kernel/delta"
)

// compilers are those of two byte orders and two ideas of what a function's symbol is.
var compilers = []string{"", "powerpc64-linux-gnu-"}

const source = `
int zero, one = 1;
const int table[4] = {1, 2, 3, 4};
static int counter(void) { static int n; return ++n; }
static int other(void) { static int n = 7; return ++n; }
__attribute__((noinline)) int twice(int x) { return 2 * x; }
__attribute__((noinline)) int gone(int x) { return x - counter() + other(); }
void _start(void) { zero = twice(one) + gone(table[one]); for (;;); }
`

// link makes a file of C code the way a kernel is linked: freestanding, at a fixed place, not stripped.
func link(t *testing.T, cross, name, text string) string {
	t.Helper()
	gcc := need.Tool(t, cross+"gcc")
	dir := t.TempDir()
	src, out := filepath.Join(dir, name+".c"), filepath.Join(dir, name)
	if err := os.WriteFile(src, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	// A name of the file's own goes into the symbol table, hence the folder is left.
	cmd := exec.Command(gcc, "-O2", "-fno-pic", "-no-pie", "-ffreestanding", "-nostdlib", "-static", "-Wl,--build-id", "-o", out, src)
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	return out
}

func read(t *testing.T, path string) *delta.Image {
	t.Helper()
	im, err := delta.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	return im
}

func each(t *testing.T, f func(t *testing.T, cross string)) {
	for _, cross := range compilers {
		t.Run(strings.Trim("gcc "+cross, " -"), func(t *testing.T) { f(t, cross) })
	}
}

// Two builds of the same thing differ in nothing.
func TestSame(t *testing.T) {
	each(t, func(t *testing.T, cross string) {
		a, b := read(t, link(t, cross, "a", source)), read(t, link(t, cross, "a", source))
		d := delta.Compare(a, b)
		if len(d.Symbols) != 0 || len(d.Sections) != 0 || d.Text.By() != 0 || d.Data.By() != 0 || d.BSS.By() != 0 || d.Code.By() != 0 {
			t.Errorf("Compare of two builds of the same = %+v, want nothing", d)
		}
		if len(a.Symbols) < 5 || d.Code.Before == 0 || d.Vars.Before < 20 || d.Zero.Before < 4 {
			t.Errorf("Read = %+v, want the source's functions and variables", a)
		}
	})
}

// What was planted is found, and nothing else.
func TestPlanted(t *testing.T) {
	plant := strings.NewReplacer(
		"int zero,", "int zero, zeros[100],",
		"table[4] = {1, 2, 3, 4}", "table[6] = {1, 2, 3, 4, 5, 6}",
		"gone(int x) {", "added(int x) { zeros[x] = x;",
		"gone(table", "added(table",
		"void _start", `int __attribute__((section("extra"))) more = 3; void _start`,
	)
	each(t, func(t *testing.T, cross string) {
		d := delta.Compare(read(t, link(t, cross, "a", source)), read(t, link(t, cross, "a", plant.Replace(source))))
		var got []string
		for _, s := range d.Symbols {
			switch {
			case s.New:
				got = append(got, fmt.Sprintf("new %s %s", s.Kind, s.Name))
			case s.Gone:
				got = append(got, fmt.Sprintf("gone %s %s", s.Kind, s.Name))
			case s.Kind == delta.Func: // a call of another function may be another size
				got = append(got, "size "+s.Name)
			default:
				got = append(got, fmt.Sprintf("%s %+d", s.Name, s.Size.By()))
			}
			if s.Name == "zeros" && s.Size.After != 400 {
				t.Errorf("zeros has %d bytes, want 400", s.Size.After)
			}
		}
		want := map[string]bool{"new bss zeros": true, "new func added": true, "gone func gone": true, "table +8": true, "new data more": true}
		for _, g := range got {
			if !want[g] && g != "size _start" {
				t.Errorf("Compare says %q, which was not planted", g)
			}
			delete(want, g)
		}
		for w := range want {
			t.Errorf("Compare does not say %q: %q", w, got)
		}
		if d.Zero.By() != 400 || d.Vars.By() != 8+4 {
			t.Errorf("variables %+d and %+d, want 400 of zeros and 12", d.Zero.By(), d.Vars.By())
		}
		i := 0
		for ; i < len(d.Sections) && d.Sections[i].Name != "extra"; i++ {
		}
		if i == len(d.Sections) {
			t.Fatalf("no section extra: %+v", d.Sections)
		}
		if s := d.Sections[i]; s.Before != "" || s.After != "PROGBITS WA" || s.Size.After != 4 {
			t.Errorf("section extra: %+v", s)
		}
	})
}

// A section that is read-only in one and not in the other is told, with nothing else changed.
func TestFlags(t *testing.T) {
	const text = `__attribute__((section("tab"), used)) %s int entry = 1; void _start(void) { for (;;); }`
	each(t, func(t *testing.T, cross string) {
		ro, rw := link(t, cross, "a", fmt.Sprintf(text, "const")), link(t, cross, "a", fmt.Sprintf(text, ""))
		d := delta.Compare(read(t, ro), read(t, rw))
		want := []delta.SectionChange{{Name: "tab", Size: delta.Change{Before: 4, After: 4}, Before: "PROGBITS A", After: "PROGBITS WA"}}
		if diff := cmp.Diff(want, d.Sections); diff != "" {
			t.Errorf("sections (-want +got):\n%s", diff)
		}
	})
}

// size(1) counts sections as we do.
func TestSizeAgrees(t *testing.T) {
	tool := need.Tool(t, "size")
	each(t, func(t *testing.T, cross string) {
		path := link(t, cross, "a", source)
		b, err := exec.Command(tool, path).Output()
		if err != nil {
			t.Fatal(err)
		}
		var text, data, bss int64
		if _, err := fmt.Sscan(string(b[bytes.IndexByte(b, '\n')+1:]), &text, &data, &bss); err != nil {
			t.Fatalf("%v: %s", err, b)
		}
		im := read(t, path)
		if im.Text != text || im.Data != data || im.BSS != bss {
			t.Errorf("text %d, data %d, bss %d; size says %d %d %d", im.Text, im.Data, im.BSS, text, data, bss)
		}
	})
}

// Numbers that the compiler gives change when a line is added, and are no change of a patch's.
func TestNumbers(t *testing.T) {
	const text = `%[1]s static int __UNIQUE_ID_addressable_f%[2]d __attribute__((used)), __initcall__kmod_a__%[2]d_%[3]d_f6 __attribute__((used));
int f(void) { static int n; static const char *s[2]; s[1] = __func__; return ++n + (long)s[0]; }
int g(void) { static int n; return ++n; } void _start(void) { f(); g(); for (;;); }`
	d := delta.Compare(read(t, link(t, "", "a", fmt.Sprintf(text, "", 12, 700))),
		read(t, link(t, "", "a", fmt.Sprintf(text, "struct s { int a; }; extern int unused(struct s *, int (*)(void)); enum { A, B };", 13, 1024))))
	if len(d.Symbols) > 0 {
		t.Errorf("declarations changed %+v", d.Symbols)
	}
}

func TestReadRejects(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte("this is no ELF file, but text"), 0o644); err != nil {
		t.Fatal(err)
	}
	stripped := link(t, "", "a", source)
	if err := exec.Command(need.Tool(t, "strip"), stripped).Run(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(link(t, "", "b", source))
	if err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(dir, "cut")
	if err := os.WriteFile(cut, whole[:len(whole)/2], 0o644); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{text: "bad magic", stripped: "no symbols", cut: "cut", dir: "not a regular file", filepath.Join(dir, "none"): "no such file"} {
		if _, err := delta.Read(path); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("Read(%s) = %v, want %q", path, err, want)
		}
	}
}
