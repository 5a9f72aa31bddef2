// SPDX-License-Identifier: Apache-2.0

// Package house holds the rules of this repository that a machine can check: who may import whom, that every file says
// under which licence it stands, and that no stored patch carries anybody's sign-off.
package house

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/seriesrig/series"

// mayImport is the picture of ARCHITECTURE.md: what each package may import of ours. A name that ends in /... stands for
// everything below it. A package that is not listed is an error, so that a new one is a decision.
var mayImport = map[string][]string{
	"internal/run":            {},
	"internal/cache":          {"internal/flock"},
	"internal/flock":          {},
	"internal/fakeqemu":       {"vmtest/guest"},
	"internal/mutants":        {},
	"internal/need":           {"internal/run"},
	"internal/house":          {},
	"internal/smtptest":       {},
	"patches":                 {"internal/..."},
	"patches/lint":            {"patches"},
	"patches/mail":            {"patches", "results", "internal/..."},
	"patches/intake":          {"patches", "patches/mail", "internal/..."},
	"patches/mail/sent":       {"patches", "patches/mail", "internal/..."},
	"patches/mail/send":       {"patches/mail", "internal/..."},
	"patches/maintainers":     {"patches"},
	"kernel":                  {"patches", "kernel/kconfig", "internal/..."},
	"kernel/kconfig":          {},
	"kernel/delta":            {},
	"linker":                  {"internal/run"},
	"linker/gentable":         {"linker"},
	"vmtest":                  {"vmtest/...", "internal/..."},
	"vmtest/qmp":              {},
	"vmtest/guest":            {"vmtest/guest/agent"}, // its tests play the guest
	"vmtest/guest/agent":      {"vmtest/guest"},
	"vmtest/initramfs":        {"vmtest/guest", "internal/..."},
	"vmtest/initramfs/mkbase": {},
	"vmtest/guesttests/...":   {"vmtest/guesttests/...", "vmtest/taskdiag/..."},
	"vmtest/taskdiag":         {},
	"vmtest/taskdiag/...":     {"vmtest/taskdiag/..."},
	"results":                 {},
	"results/report":          {"results"},
	"cmd/guest":               {"vmtest/guest/..."},
	"cmd/series":              {"..."},
	"vmtest/internal/...":     {"vmtest/...", "internal/..."},
	"vmtest/counts":           {"internal/..."},
}

type pkg struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

// violations returns what the packages import against the rules. Tests may also use internal/need, and anything that
// the package itself may.
func violations(pkgs []pkg, rules map[string][]string) []string {
	var out []string
	for _, p := range pkgs {
		rel := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
		allowed, ok := lookup(rules, rel)
		if !ok {
			out = append(out, fmt.Sprintf("%s: no rule says what it may import; add it to mayImport and ARCHITECTURE.md", rel))
			continue
		}
		check := func(imports []string, test bool) {
			for _, imp := range imports {
				sub, ours := strings.CutPrefix(imp, module+"/")
				if !ours || sub == rel {
					continue
				}
				if test && slices.Contains([]string{"internal/need", "internal/run"}, sub) {
					continue
				}
				if !slices.ContainsFunc(allowed, func(a string) bool { return matches(a, sub) }) {
					out = append(out, fmt.Sprintf("%s imports %s", rel, sub))
				}
			}
		}
		check(p.Imports, false)
		check(p.TestImports, true)
		check(p.XTestImports, true)
	}
	return out
}

func lookup(rules map[string][]string, rel string) ([]string, bool) {
	if r, ok := rules[rel]; ok {
		return r, true
	}
	for name, r := range rules {
		if strings.HasSuffix(name, "/...") && matches(name, rel) {
			return r, true
		}
	}
	return nil, false
}

func matches(pattern, name string) bool {
	if pattern == "..." {
		return true
	}
	if base, ok := strings.CutSuffix(pattern, "/..."); ok {
		return name == base || strings.HasPrefix(name, base+"/")
	}
	return pattern == name
}

func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestImports(t *testing.T) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,TestImports,XTestImports", "-tags", "guest", "./...")
	cmd.Dir = root(t)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	b, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	var pkgs []pkg
	for dec := json.NewDecoder(bytes.NewReader(b)); ; {
		var p pkg
		if err := dec.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
	if len(pkgs) < 10 {
		t.Fatalf("go list found %d packages, want at least 10", len(pkgs))
	}
	for _, v := range violations(pkgs, mayImport) {
		t.Error(v)
	}
}

func TestImportsRejects(t *testing.T) {
	for _, p := range []pkg{
		{ImportPath: module + "/linker", Imports: []string{module + "/kernel"}},
		{ImportPath: module + "/results", TestImports: []string{module + "/patches"}},
		{ImportPath: module + "/newcomer"},
	} {
		if v := violations([]pkg{p}, mayImport); len(v) != 1 {
			t.Errorf("violations(%+v) = %q, want one", p, v)
		}
	}
}

// licence returns the SPDX line that a file must carry near its top, or "" for a file that needs none.
func licence(path string) string {
	switch ext := filepath.Ext(path); {
	case strings.HasPrefix(path, "LICENSES/"), strings.Contains(path, "/testdata/"), strings.HasPrefix(path, "results/"):
		return ""
	case ext == ".config":
		return "GPL-2.0-only"
	case ext == ".go", ext == ".toml", strings.HasPrefix(path, "scripts/") && ext == "", path == "Makefile", path == ".ci/run":
		return "Apache-2.0"
	}
	return "" // patches carry the kernel's licence and say so in the files that they add; prose needs none
}

func tracked(t *testing.T) []string {
	t.Helper()
	cmd := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	cmd.Dir = root(t)
	b, err := cmd.Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	return strings.Split(strings.TrimRight(string(b), "\x00"), "\x00")
}

func TestLicences(t *testing.T) {
	n := 0
	for _, path := range tracked(t) {
		want := licence(path)
		if want == "" {
			continue
		}
		b, err := os.ReadFile(filepath.Join(root(t), path))
		if os.IsNotExist(err) {
			continue // deleted in the work tree
		}
		if err != nil {
			t.Fatal(err)
		}
		n++
		if head := b[:min(len(b), 200)]; !bytes.Contains(head, []byte("SPDX-License-Identifier: "+want)) {
			t.Errorf("%s: no SPDX-License-Identifier: %s near its top", path, want)
		}
	}
	if n < 10 {
		t.Errorf("looked at %d files, want at least 10", n)
	}
}

var (
	signoff = regexp.MustCompile(`(?mi)^(Signed-off|Acked|Reviewed|Tested|Co-developed|Reported|Suggested)-by:`)
	author  = []byte("\nFrom: Series Rig <series@seriesrig.invalid>\n")
)

func TestPatchesAreNobodys(t *testing.T) {
	for _, path := range tracked(t) {
		ok, _ := filepath.Match("patches/*/*.patch", path)
		if !ok {
			continue
		}
		b, err := os.ReadFile(filepath.Join(root(t), path))
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if m := signoff.Find(b); m != nil {
			t.Errorf("%s: carries %q: such a line is a person's statement", path, m)
		}
		if !bytes.Contains(b, author) {
			t.Errorf("%s: is not From: Series Rig <series@seriesrig.invalid>", path)
		}
	}
}
