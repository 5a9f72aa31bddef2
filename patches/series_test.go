// SPDX-License-Identifier: Apache-2.0

package patches

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const goodTOML = `# SPDX-License-Identifier: Apache-2.0
id = "trial"
title = "audit: try it"
revision = 2
base = "debian:linux-source-6.12"
arches = ["amd64", "ppc64"]
config = ["audit"]
tests = ["./vmtest/guesttests/trial"]
benchmarks = ["./vmtest/guesttests/trial"]

[mail]
to = ["audit@vger.kernel.org", "Some One <one@example.org>"]

[guest]
cpus = 2
memory = "512MiB"
cmdline = ["audit=1"]

[[expect]]
test = "TestStall"
mended = 2
why = "stock loses a wakeup"

[[symbol]]
name = "kauditd_wakeup"
from = 2
arches = ["ppc64"]

[[changes]]
revision = 2
series = ["took the goto out"]
patches."0002" = ["no goto"]

[[changes]]
revision = 1
series = ["first posting"]
`

const goodCover = `# audit: try it out

This is why.

{{table "clone"}}

That was it.
`

const (
	diffOne = "diff --git a/f b/f\nindex 257cc56..3bd1f0e 100644\n--- a/f\n+++ b/f\n@@ -1,2 +1,3 @@\n one\n+two\n three\n"
	diffTwo = "diff --git a/f b/f\nindex 3bd1f0e..f00c965 100644\n--- a/f\n+++ b/f\n@@ -1,3 +1,4 @@\n one\n two\n three\n+four\n"
)

// trial returns the files of a good series.
func trial() map[string]string {
	return map[string]string{
		"series.toml":          goodTOML,
		"cover.md":             goodCover,
		"0001-add-two.patch":   mbox("one: add two", diffOne),
		"0002-add-four.patch":  mbox("two: add four", diffTwo),
		"0002-add-four.patch~": "an editor's leavings",
	}
}

// writeTrial puts files into root/trial and returns root.
func writeTrial(t testing.TB, files map[string]string) (root string) {
	t.Helper()
	root = t.TempDir()
	for name, s := range files {
		p := filepath.Join(root, "trial", name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(s), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestLoad(t *testing.T) {
	root := writeTrial(t, trial())
	s, err := Load(filepath.Join(root, "trial"))
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Patches) != 2 || s.Patches[1].Number != 2 || s.Patches[1].Subject != "two: add four" {
		t.Fatalf("patches are %+v", s.Patches)
	}
	got := *s
	got.Dir, got.Patches = "", nil
	want := Series{
		ID: "trial", Title: "audit: try it", Revision: 2, Prefix: "PATCH", Base: "debian:linux-source-6.12",
		Arches: []string{"amd64", "ppc64"}, Config: []string{"audit"},
		Tests: []string{"./vmtest/guesttests/trial"}, Benchmarks: []string{"./vmtest/guesttests/trial"},
		Mail:    Mail{To: []string{"audit@vger.kernel.org", "Some One <one@example.org>"}},
		Guest:   Guest{CPUs: 2, Memory: 512 << 20, Cmdline: []string{"audit=1"}},
		Expect:  []Expect{{"TestStall", 2, "stock loses a wakeup"}},
		Symbols: []Symbol{{Name: "kauditd_wakeup", From: 2, Arches: []string{"ppc64"}}},
		Changes: []Changes{
			{1, []string{"first posting"}, map[int][]string{}},
			{2, []string{"took the goto out"}, map[int][]string{2: {"no goto"}}},
		},
		Cover: Cover{Subject: "audit: try it out", Body: "This is why.\n\n{{table \"clone\"}}\n\nThat was it.\n", Tables: []string{"clone"}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("Load (-want +got)\n%s", d)
	}
	for n := range 3 {
		if u, err := s.Upto(n); err != nil || len(u.Patches) != n || len(s.Patches) != 2 {
			t.Errorf("Upto(%d) = %v, %v", n, u, err)
		}
	}
	for _, n := range []int{-1, 3} {
		if _, err := s.Upto(n); err == nil || !strings.Contains(err.Error(), "has 1 to 2") {
			t.Errorf("Upto(%d) = %v, want an error", n, err)
		}
	}
}

func TestLoadFromInside(t *testing.T) {
	t.Chdir(filepath.Join(writeTrial(t, trial()), "trial"))
	if _, err := Load("."); err != nil {
		t.Errorf(`Load(".") = %v`, err)
	}
}

func TestUptoIsOfItsOwn(t *testing.T) {
	s, err := Load(filepath.Join(writeTrial(t, trial()), "trial"))
	if err != nil {
		t.Fatal(err)
	}
	u, _ := s.Upto(1)
	u.Patches = append(u.Patches, nil)
	if s.Patches[1] == nil {
		t.Error("appending to what Upto returned changed the series")
	}
}

// bad are changes to the good series, each with the error that it must give.
var bad = map[string]struct {
	file, old, new string // in file, old becomes new; without old, the file becomes new
	want           string
}{
	"unknown key":           {"series.toml", `arches = ["amd64", "ppc64"]`, `arch = ["amd64"]`, `series.toml:6: unknown key "arch" (did you mean "arches"?)`},
	"unknown key in table":  {"series.toml", "memory = ", "memroy = ", `series.toml:16: unknown key "guest.memroy" (did you mean "memory"?)`},
	"unknown key in list":   {"series.toml", "mended = 2", "mended = 2\nblame = 3", `series.toml:22: unknown key "expect.blame" (known are test, mended, why)`},
	"bad change-id":         {"series.toml", `config = ["audit"]`, `change-id = "a b"`, `series.toml:7: change-id "a b" is not one`},
	"empty change-id":       {"series.toml", `config = ["audit"]`, `change-id = ""`, `series.toml:7: change-id "" is not one`},
	"bad prerequisite":      {"series.toml", `config = ["audit"]`, `prerequisites = ["1234"]`, `series.toml:7: "1234" is not what git patch-id prints`},
	"unknown table":         {"series.toml", "[guest]", "[guests]", `series.toml:14: unknown key "guests" (did you mean "guest"?)`},
	"string for number":     {"series.toml", "revision = 2\nbase", "revision = \"2\"\nbase", `series.toml:4: "revision" must be a number, such as 1`},
	"from patch 0":          {"series.toml", `config = ["audit"]`, `config = ["audit@0"]`, `series.toml:7: "audit@0" is not the name of a fragment`},
	"number for list":       {"series.toml", `config = ["audit"]`, `config = 1`, `series.toml:7: "config" must be a list of strings`},
	"list of numbers":       {"series.toml", `config = ["audit"]`, `config = [1]`, `series.toml:7: "config`},
	"float for number":      {"series.toml", "cpus = 2", "cpus = 2.5", `series.toml:15: "guest.cpus" must be a number`},
	"table for list":        {"series.toml", "[[expect]]", "[expect]", `series.toml:19: "expect" must be a list of tables: [[expect]]`},
	"key twice":             {"series.toml", "revision = 2\nbase", "revision = 2\nrevision = 3\nbase", `series.toml:5: "revision": key revision is already defined`},
	"no TOML":               {"series.toml", `title = "audit: try it"`, `title = "audit: try it`, `series.toml:3: `},
	"empty toml":            {"series.toml", "", "", `series.toml: missing key "id"`},
	"missing key":           {"series.toml", `base = "debian:linux-source-6.12"`, ``, `series.toml: missing key "base"`},
	"missing key in table":  {"series.toml", "why = \"stock loses a wakeup\"\n", "", `series.toml:19: missing key "expect[0].why"`},
	"missing to":            {"series.toml", `to = ["audit@vger.kernel.org", "Some One <one@example.org>"]`, `cc = []`, `series.toml:11: missing key "mail.to"`},
	"toml with NUL":         {"series.toml", "audit: try it", "audit:\x00try", "series.toml:3: NUL byte"},
	"toml not UTF-8":        {"series.toml", "audit: try it", "audit:\xfftry", "series.toml:3: "},
	"id of another folder":  {"series.toml", `id = "trial"`, `id = "trail"`, `series.toml:2: id "trail" is not the folder's name, "trial"`},
	"id with capitals":      {"series.toml", `id = "trial"`, `id = "Trial"`, `series.toml:2: id "Trial" is not of small letters, digits and hyphens`},
	"title of two lines":    {"series.toml", `title = "audit: try it"`, `title = "a\nb"`, `series.toml:3: title must be one line`},
	"empty title":           {"series.toml", `title = "audit: try it"`, `title = ""`, `series.toml:3: title must be one line`},
	"revision 0":            {"series.toml", "revision = 2\nbase", "revision = 0\nbase", `series.toml:4: revision 0: the first posting is 1`},
	"empty base":            {"series.toml", `base = "debian:linux-source-6.12"`, `base = ""`, `series.toml:5: base "" is not of the form`},
	"unknown base":          {"series.toml", `debian:linux`, `ubuntu:linux`, `series.toml:5: base "ubuntu:linux-source-6.12" is not of the form`},
	"no arches":             {"series.toml", `arches = ["amd64", "ppc64"]`, `arches = []`, `series.toml:6: arches is empty`},
	"arch twice":            {"series.toml", `arches = ["amd64", "ppc64"]`, `arches = ["amd64", "amd64"]`, `series.toml:6: arch "amd64" is there twice`},
	"arch on its own line":  {"series.toml", `arches = ["amd64", "ppc64"]`, "arches = [\n  \"amd64\",\n  \"PPC\"\n]", `series.toml:8: "PPC" is not the name of an architecture`},
	"prefix in brackets":    {"series.toml", `id = "trial"`, "id = \"trial\"\nprefix = \"[PATCH]\"", `series.toml:3: prefix "[PATCH]" is not one such as`},
	"config with suffix":    {"series.toml", `config = ["audit"]`, `config = ["audit.config"]`, `series.toml:7: "audit.config" is not the name of a fragment`},
	"test with a flag":      {"series.toml", `tests = ["./vmtest/guesttests/trial"]`, `tests = ["-exec=evil"]`, `series.toml:8: "-exec=evil" is not the path of a Go package`},
	"bad address":           {"series.toml", `one@example.org>"`, `one@>"`, `series.toml:12: "Some One <one@>" is no address`},
	"no cpus":               {"series.toml", "cpus = 2", "cpus = 0", `series.toml:15: guest.cpus is 0, must be 1 to 512`},
	"memory without a unit": {"series.toml", `"512MiB"`, `"512"`, `series.toml:16: guest.memory is "512", must be a size`},
	"toolchain for nobody":  {"series.toml", "cpus = 2", `toolchain = ["./x"]`, `series.toml:15: "./x" is none of the packages of tests and benchmarks`},
	"program with a flag":   {"series.toml", "cpus = 2", `programs = ["./x", "-toolexec=evil"]`, `series.toml:15: "-toolexec=evil" is not the path of a Go package, nor PACKAGE@GOARCH`},
	"program for two":       {"series.toml", "cpus = 2", `programs = ["./x@386@arm"]`, `series.toml:15: "./x@386@arm" is not the path of a Go package, nor PACKAGE@GOARCH`},
	"memory in vain":        {"series.toml", `"512MiB"`, `"512KiB"`, `series.toml:16: guest.memory is 512KiB, must be 16MiB to`},
	"cmdline of two words":  {"series.toml", `"audit=1"`, `"audit=1 quiet"`, `series.toml:17: "audit=1 quiet" is not one word`},
	"threads by name":       {"series.toml", "cpus = 2", `multi-thread = "amd64"`, `series.toml:15: "guest.multi-thread"`},
	"expect no test":        {"series.toml", `"TestStall"`, `"Stall"`, `series.toml:20: "Stall" is not the name of a Go test`},
	"expect no reason":      {"series.toml", `"stock loses a wakeup"`, `" "`, `series.toml:22: why is empty`},
	"mended too late":       {"series.toml", "mended = 2", "mended = 3", `series.toml:21: mended = 3: the series has patches 1 to 2`},
	"mended by the base":    {"series.toml", "mended = 2", "mended = 0", `series.toml:21: mended = 0: the series has patches 1 to 2`},
	"symbol of nothing":     {"series.toml", `"kauditd_wakeup"`, `"a b"`, `series.toml:25: "a b" is not the name of a symbol`},
	"symbol too late":       {"series.toml", "from = 2", "from = 9", `series.toml:26: from = 9: the series has patches 1 to 2`},
	"symbol elsewhere":      {"series.toml", `arches = ["ppc64"]`, `arches = ["riscv64"]`, `series.toml:27: arch "riscv64" is not one of the series' arches (amd64, ppc64)`},
	"symbol of no variant":  {"series.toml", `arches = ["ppc64"]`, `variants = ["tiny"]`, `series.toml:27: `},
	"changes to come":       {"series.toml", "[[changes]]\nrevision = 2", "[[changes]]\nrevision = 3", `series.toml:30: changes of revision 3: the series is at revision 2`},
	"changes twice":         {"series.toml", "[[changes]]\nrevision = 1", "[[changes]]\nrevision = 2", `series.toml:35: changes of revision 2 are there twice`},
	"changes of nothing":    {"series.toml", `series = ["first posting"]`, `series = []`, `series.toml:36: series is empty: say what revision 1 changed`},
	"changes to no patch":   {"series.toml", `patches."0002"`, `patches."0004"`, `series.toml:32: no patch 0004: the series has 0001 to 0002`},
	"changes to no number":  {"series.toml", `patches."0002"`, `patches."two"`, `series.toml:32: "two" is not a patch's number`},

	"cover with another place": {"cover.md", `{{table "clone"}}`, `{{graph "clone"}}`, `cover.md:5: {{graph "clone"}}: the places that can be filled are {{table "name"}}`},
	"cover with half a place":  {"cover.md", `{{table "clone"}}`, `{{table "clone"`, `cover.md:5: {{: the places`},
	"place in the subject":     {"cover.md", `# audit: try it out`, `# {{table "clone"}}`, `cover.md:1: {{table "clone"}}: the places`},
	"cover not UTF-8":          {"cover.md", "why", "wh\xff", `cover.md: is not UTF-8 text`},
	"cover with CR":            {"cover.md", "why.\n", "why.\r\n", `cover.md:3: carriage return`},
	"cover with no subject":    {"cover.md", "# audit: try it out", "# ", `cover.md:1: empty heading`},

	"gap":                   {"0004-later.patch", "", mbox("four", diffTwo), `0004-later.patch: patch 0003 is missing before it`},
	"number twice":          {"0002-also.patch", "", mbox("two", diffTwo), `patch 0002 is there twice: 0002-`},
	"number zero":           {"0000-cover.patch", "", mbox("zero", diffOne), `0000-cover.patch: patches are numbered from 0001`},
	"no number":             {"fix.patch", "", mbox("fix", diffOne), `fix.patch: name is not of the form NNNN-some-words.patch`},
	"bad patch in a series": {"0002-add-four.patch", "", "no patch", `0002-add-four.patch:1: does not start with "From <commit id> <date>"`},
}

func TestLoadRefuses(t *testing.T) {
	for name, tc := range bad {
		t.Run(name, func(t *testing.T) {
			files := trial()
			if tc.old == "" {
				files[tc.file] = tc.new
			} else {
				if n := strings.Count(files[tc.file], tc.old); n != 1 {
					t.Fatalf("%q stands %d times in %s, want once", tc.old, n, tc.file)
				}
				files[tc.file] = strings.Replace(files[tc.file], tc.old, tc.new, 1)
			}
			dir := filepath.Join(writeTrial(t, files), "trial")
			_, err := Load(dir)
			wantError(t, err, filepath.Dir(dir), "trial/", tc.want)
		})
	}
}

// wantError checks that err is an input error of one line that says want, and names the file by its path.
func wantError(t *testing.T, err error, root, prefix, want string) {
	t.Helper()
	var in *InputError
	if !errors.As(err, &in) {
		t.Fatalf("error is %v (%T), want an *InputError with %q", err, err, want)
	}
	msg := err.Error()
	if root != "" {
		msg = strings.ReplaceAll(msg, root+"/", "")
	}
	if strings.ContainsAny(msg, "\n\x00") {
		t.Errorf("error has more than one line: %q", msg)
	}
	if !strings.HasPrefix(msg, prefix) || !strings.Contains(msg, want) {
		t.Errorf("error is\n%s\nwant %s...%s", msg, prefix, want)
	}
}

func TestLoadEmptySeries(t *testing.T) {
	files := map[string]string{"series.toml": goodTOML}
	root := writeTrial(t, files)
	_, err := Load(filepath.Join(root, "trial"))
	wantError(t, err, root, "trial: ", "empty series: no NNNN-*.patch in it")
}

func TestLoadMissing(t *testing.T) {
	root := writeTrial(t, trial())
	for id, want := range map[string]string{
		"trail": `no such series (did you mean "trial"?)`,
		"other": `has "trial"`,
	} {
		_, err := Load(filepath.Join(root, id))
		wantError(t, err, root, id+": ", want)
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Load(%s) = %v, want fs.ErrNotExist", id, err)
		}
	}
	_, err := Load(filepath.Join(root, "none", "trial"))
	wantError(t, err, root, "none/trial: ", "nor a folder")
	_, err = Load(filepath.Join(root, "trial", "series.toml"))
	wantError(t, err, root, "trial/series.toml: ", "is not a folder")
}

func TestLoadWithoutTOML(t *testing.T) {
	files := trial()
	delete(files, "series.toml")
	_, err := Load(filepath.Join(writeTrial(t, files), "trial"))
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "series.toml") {
		t.Errorf("Load = %v, want series.toml to be missing", err)
	}
}

func TestLoadCoverIsOptional(t *testing.T) {
	files := trial()
	delete(files, "cover.md")
	s, err := Load(filepath.Join(writeTrial(t, files), "trial"))
	if err != nil || s.Cover.Subject != s.Title || s.Cover.Body != "" {
		t.Errorf("Load = %+v, %v, want a cover with the title alone", s, err)
	}
	files["cover.md"] = "\nOnly prose, # no heading.\n"
	s, err = Load(filepath.Join(writeTrial(t, files), "trial"))
	if err != nil || s.Cover.Subject != s.Title || s.Cover.Body != "Only prose, # no heading.\n" {
		t.Errorf("Load = %+v, %v, want the title and the prose", s, err)
	}
}

// TestLoadPipe makes sure that a pipe of a patch's name is not waited for.
func TestLoadPipe(t *testing.T) {
	root := writeTrial(t, trial())
	if err := syscall.Mkfifo(filepath.Join(root, "trial", "0003-pipe.patch"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := Load(filepath.Join(root, "trial"))
	wantError(t, err, root, "trial/0003-pipe.patch: ", "is not a regular file")
}

func TestLoadOversize(t *testing.T) {
	files := trial()
	files["0003-big.patch"] = strings.Repeat("x", maxPatchSize+1)
	root := writeTrial(t, files)
	_, err := Load(filepath.Join(root, "trial"))
	wantError(t, err, root, "trial/0003-big.patch: ", "is larger than 10 MiB")
}

func TestLoaderArches(t *testing.T) {
	dir := filepath.Join(writeTrial(t, trial()), "trial")
	if _, err := (Loader{Arches: []string{"ppc64", "amd64", "ppc64le"}}).Load(dir); err != nil {
		t.Error(err)
	}
	_, err := Loader{Arches: []string{"amd64", "ppc64le"}}.Load(dir)
	wantError(t, err, filepath.Dir(dir), "trial/series.toml:6: ", `unknown arch "ppc64" (did you mean "ppc64le"?)`)
	_, err = Loader{Arches: []string{"amd64", "riscv64"}}.Load(dir)
	wantError(t, err, filepath.Dir(dir), "trial/series.toml:6: ", `unknown arch "ppc64" (known are amd64, riscv64)`)
}

func TestList(t *testing.T) {
	root := writeTrial(t, trial())
	for _, name := range []string{"lint", "another"} {
		if err := os.Mkdir(filepath.Join(root, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "another", "series.toml"), []byte("id = 3\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	all, err := List(root)
	if len(all) != 1 || all[0].ID != "trial" {
		t.Errorf("List = %v, want trial alone", all)
	}
	wantError(t, err, root, "another/series.toml:1: ", `"id" must be a string`)
	if _, err := List(filepath.Join(root, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("List(none) = %v, want fs.ErrNotExist", err)
	}
}

func TestCoverFill(t *testing.T) {
	c := Cover{Body: "a {{table \"x\"}} b {{ table \"y\" }}\n"}
	got, err := c.Fill(func(name string) (string, error) { return "<" + name + " {{table \"z\"}}>", nil }, nil)
	if want := "a <x {{table \"z\"}}> b <y {{table \"z\"}}>\n"; got != want || err != nil {
		t.Errorf("Fill = %q, %v, want %q", got, err, want)
	}
	c.Body = `{{verdicts}}, {{ diffstat }}, {{shortlog}}, {{changes}}, {{"{{"}}table "x"}}`
	got, err = c.Fill(func(name string) (string, error) { return "<" + name + ">", nil }, strings.ToUpper)
	if want := `<verdicts>, DIFFSTAT, SHORTLOG, CHANGES, {{table "x"}}`; got != want || err != nil {
		t.Errorf("Fill = %q, %v, want %q", got, err, want)
	}
	c.Body = "{{diffstat}} {{table \"x\"}}"
	if got, err := c.Fill(nil, nil); err == nil {
		t.Errorf("Fill without parts = %q", got)
	}
	fail := errors.New("no such table")
	c.Body = "{{table \"x\"}}"
	if _, err := c.Fill(func(string) (string, error) { return "", fail }, nil); !errors.Is(err, fail) {
		t.Errorf("Fill = %v, want the table's error", err)
	}
}

func TestNearest(t *testing.T) {
	for _, tc := range []struct {
		word string
		want []string
	}{
		{"arch", []string{"arches"}}, {"titel", []string{"title"}}, {"ID", []string{"id"}}, {"nothing", nil},
	} {
		got := nearest(tc.word, []string{"id", "title", "arches", "benchmarks"})
		if d := cmp.Diff(tc.want, got); d != "" {
			t.Errorf("nearest(%q) (-want +got)\n%s", tc.word, d)
		}
	}
}
