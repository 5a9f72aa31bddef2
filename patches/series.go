// SPDX-License-Identifier: Apache-2.0

// Package patches reads a patch series from its folder, applies it in memory and makes a git branch of it.
//
// The strict side is chosen everywhere: a key that is not known, a patch that is cut short or a hunk that could go to
// two places is an error which names the file and the line, and nothing is written before everything fits.
package patches

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A Series is what a series folder says, checked. It is a plain value: nothing in it is open or changes later.
type Series struct {
	Dir      string `json:"-"` // the folder it was loaded from
	ID       string `json:"id"`
	Title    string `json:"title"`
	Revision int    `json:"revision"` // 1 is the first posting
	Prefix   string `json:"prefix"`   // goes into [PATCH v2 1/3]; "PATCH" where series.toml has none
	Base     string `json:"base"`     // debian:, git:, tar: or dir: and what follows
	// ChangeID names the series through all of its versions, as b4 does; "" where series.toml has none.
	ChangeID string `json:"change_id,omitempty"`
	// Prerequisites are the ids (git patch-id --stable) of the patches between a base that is published and Base.
	Prerequisites []string  `json:"prerequisites,omitempty"`
	Arches        []string  `json:"arches"`           // Go's names: amd64, ppc64, ppc64le
	Config        []string  `json:"config,omitempty"` // fragments: configs/NAME.config
	Tests         []string  `json:"tests,omitempty"`  // Go packages
	Benchmarks    []string  `json:"benchmarks,omitempty"`
	Mail          Mail      `json:"mail"`
	Guest         Guest     `json:"guest"`
	Expect        []Expect  `json:"expect,omitempty"`
	Skips         []Skip    `json:"skips,omitempty"`
	Symbols       []Symbol  `json:"symbols,omitempty"`
	Sections      []Section `json:"sections,omitempty"`
	Variants      []Variant `json:"variants,omitempty"`
	Headline      Headline  `json:"headline,omitzero"`
	Changes       []Changes `json:"changes,omitempty"` // by revision, ascending
	Cover         Cover     `json:"cover"`
	Patches       []*Patch  `json:"patches"` // patch 1 first
}

// Mail says who gets the thread.
type Mail struct {
	To []string `json:"to,omitempty"` // RFC 5322 addresses, as series.toml has them
	Cc []string `json:"cc,omitempty"`
}

// Concern splits what a list of configurations has: the name of a fragment, and from which patch on it counts, 0 where it
// always does.
func Concern(config string) (name string, from int) {
	name, number, _ := strings.Cut(config, "@")
	from, _ = strconv.Atoi(number) // checked when the series was loaded
	return name, from
}

// Guest says what the tests of a series need of a guest. Zero values leave the choice to vmtest.
type Guest struct {
	CPUs    int      `json:"cpus,omitempty"`
	Memory  int64    `json:"memory,omitempty"` // bytes
	Cmdline []string `json:"cmdline,omitempty"`
	// Toolchain lists the packages of Tests and Benchmarks whose guests have Go's compiler, assembler and linker.
	Toolchain []string `json:"toolchain,omitempty"`
	// Programs are Go programs, or patterns of them, that guests have in their PATH: "./cmd/x", or "./cmd/x@386" for one
	// that is built for 386, as x-386, in guests that can run it.
	Programs []string `json:"programs,omitempty"`

	Fresh   bool `json:"fresh,omitempty"`   // the tests are about booting: no guest is restored from a snapshot
	Modules bool `json:"modules,omitempty"` // the build's modules are in the guest, below /lib/modules
	Icount  bool `json:"icount,omitempty"`  // benchmarks are counted in a guest of one CPU, whatever CPUs the tests have
	// MultiThread has QEMU run the CPUs of guests side by side even where vmtest thinks that this is not safe.
	MultiThread bool `json:"multi_thread,omitempty"`
}

// Expect says that a test fails on kernels before patch Mended and passes from it on. Such a failure is recorded and does
// not count against the series.
type Expect struct {
	Test   string `json:"test"`   // a Go test's name; Test/sub names a subtest
	Mended int    `json:"mended"` // 1..len(Patches)
	Why    string `json:"why"`
}

// Section says that a kernel has a section from patch From on, and that it is read-only; or, as a control of what finds that
// out, that it is writable.
type Section struct {
	Name     string   `json:"name"`
	From     int      `json:"from"`               // 1..len(Patches)
	Writable bool     `json:"writable,omitempty"` // it has to be found writable, and the object that makes it so
	Module   string   `json:"module,omitempty"`   // the module that has it, by its path in kbuild's output folder; "" is vmlinux
	Arches   []string `json:"arches,omitempty"`   // none means all of the series
	Variants []string `json:"variants,omitempty"` // configurations, "release" or variants; none means all
}

// On tells whether the section is to be looked for on an architecture, in a configuration.
func (s Section) On(arch, config string) bool { return on(s.Arches, s.Variants, arch, config) }

// Symbol says that vmlinux has no symbol of this name before patch From, and has one from it on.
type Symbol struct {
	Name   string   `json:"name"`
	From   int      `json:"from"`             // 1..len(Patches)
	Arches []string `json:"arches,omitempty"` // none means all of the series

	Variants []string `json:"variants,omitempty"` // configurations, "release" or variants; none means all
}

// On tells whether the symbol is to be looked for on an architecture, in a configuration.
func (s Symbol) On(arch, config string) bool { return on(s.Arches, s.Variants, arch, config) }

func on(arches, variants []string, arch, config string) bool {
	return (len(arches) == 0 || slices.Contains(arches, arch)) && (len(variants) == 0 || slices.Contains(variants, config))
}

// Release is the name of the configuration that every series has: base, the architecture's fragment and the series' own.
const Release = "release"

// Variant is another configuration that the series has to build in: fragments on top of the release configuration's,
// symbols switched off, and, where Kconfig has no prompt for what is to be switched off, a patch that goes below the
// series and gives it one.
type Variant struct {
	Name   string   `json:"name"`
	Why    string   `json:"why"`
	Config []string `json:"config,omitempty"` // fragments: configs/NAME.config
	Off    []string `json:"off,omitempty"`    // symbols, without CONFIG_
	Patch  *Patch   `json:"patch,omitempty"`  // of the series' folder variants/
	Arches []string `json:"arches,omitempty"` // none means all of the series
	Test   bool     `json:"test,omitempty"`   // boot it and run the series' tests; else it is built and proved only
}

// On tells whether the variant is for an architecture.
func (v Variant) On(arch string) bool { return len(v.Arches) == 0 || slices.Contains(v.Arches, arch) }

// Headline names the figure that stands for a kernel where there is room for only one.
type Headline struct {
	Benchmark string `json:"benchmark"` // without "Benchmark", with its sub-benchmarks
	Unit      string `json:"unit"`
}

// Changes is what a revision changed.
type Changes struct {
	Revision int              `json:"revision"`
	Series   []string         `json:"series"`            // said in the cover letter
	Patches  map[int][]string `json:"patches,omitempty"` // by patch number, said below its ---
}

// A Loader reads series. The zero value works.
type Loader struct {
	// Arches are the architectures that a series may name. None means that any word of small letters and digits will do.
	Arches []string
}

// Load reads the series in folder dir, with the zero Loader.
func Load(dir string) (*Series, error) { return Loader{}.Load(dir) }

// List reads all series below root, with the zero Loader.
func List(root string) ([]*Series, error) { return Loader{}.List(root) }

var (
	idForm   = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`)
	fileForm = regexp.MustCompile(`^([0-9]{4})-[A-Za-z0-9][A-Za-z0-9._+-]*\.patch$`)
)

// tomlName and coverName are the files of a series besides its patches.
const (
	tomlName  = "series.toml"
	coverName = "cover.md"
)

// Load reads the series in folder dir. An error about the input is an *InputError; one about a folder that is not there
// wraps fs.ErrNotExist and suggests the series that may have been meant.
func (l Loader) Load(dir string) (*Series, error) {
	dir = filepath.Clean(dir)
	fi, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, notFound(dir)
	case err != nil:
		return nil, fmt.Errorf("load series: %w", err)
	case !fi.IsDir():
		return nil, &InputError{File: dir, Msg: "is not a folder; a series is a folder with a " + tomlName}
	}
	s, doc, err := l.readTOML(dir)
	if err != nil {
		return nil, err
	}
	if s.Patches, err = loadPatches(dir); err != nil {
		return nil, err
	}
	if err := doc.checkNumbers(s); err != nil {
		return nil, err
	}
	if s.Cover, err = loadCover(filepath.Join(dir, coverName), s.Title); err != nil {
		return nil, err
	}
	return s, nil
}

// List reads every folder below root that has a series.toml, in the order of their names. It returns what can be read
// together with the joined errors of what cannot.
func (l Loader) List(root string) ([]*Series, error) {
	ids, err := seriesIn(root)
	if err != nil {
		return nil, fmt.Errorf("list series: %w", err)
	}
	var all []*Series
	var bad []error
	for _, id := range ids {
		if s, err := l.Load(filepath.Join(root, id)); err != nil {
			bad = append(bad, err)
		} else {
			all = append(all, s)
		}
	}
	return all, errors.Join(bad...)
}

// seriesIn returns the names of the folders in root that hold a series.
func seriesIn(root string) ([]string, error) {
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, e := range entries {
		if _, err := os.Lstat(filepath.Join(root, e.Name(), tomlName)); err == nil {
			ids = append(ids, e.Name())
		}
	}
	return ids, nil
}

func notFound(dir string) error {
	root, id := filepath.Dir(dir), filepath.Base(dir)
	e := &InputError{File: dir, Msg: "no such series", Err: fs.ErrNotExist}
	ids, err := seriesIn(root)
	switch near := nearest(id, ids); {
	case err != nil:
		e.Msg += fmt.Sprintf(" (nor a folder %s)", root)
	case len(near) > 0:
		e.Msg += fmt.Sprintf(" (did you mean %s?)", quoted(near))
	case len(ids) == 0:
		e.Msg += fmt.Sprintf(" (%s has none)", root)
	default:
		e.Msg += fmt.Sprintf(" (%s has %s)", root, quoted(ids[:min(len(ids), 8)]))
	}
	return e
}

// loadPatches reads the patches of a folder: 0001 to the last one, each number once.
func loadPatches(dir string) ([]*Patch, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("load series: %w", err)
	}
	var ps []*Patch
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".patch") {
			continue
		}
		path := filepath.Join(dir, e.Name())
		m := fileForm.FindStringSubmatch(e.Name())
		if m == nil {
			return nil, &InputError{File: path, Msg: "name is not of the form NNNN-some-words.patch, so its place in the series is unknown"}
		}
		n, err := strconv.Atoi(m[1])
		if err != nil {
			return nil, &InputError{File: path, Msg: err.Error()}
		}
		switch want := len(ps) + 1; { // ReadDir sorts, and the numbers have one width
		case n == want:
		case n == want-1 && n > 0:
			return nil, &InputError{File: path, Msg: fmt.Sprintf("patch %04d is there twice: %s", n, filepath.Base(ps[n-1].File))}
		case n == 0:
			return nil, &InputError{File: path, Msg: "patches are numbered from 0001; the cover letter is " + coverName}
		default:
			return nil, &InputError{File: path, Msg: fmt.Sprintf("patch %04d is missing before it", want)}
		}
		p, err := LoadPatch(path)
		if err != nil {
			return nil, err
		}
		p.Number = n
		ps = append(ps, p)
	}
	if len(ps) == 0 {
		return nil, &InputError{File: dir, Msg: "empty series: no NNNN-*.patch in it"}
	}
	return ps, nil
}

// Upto returns the series with its first n patches only; n is 0 (the base) to len(s.Patches).
func (s *Series) Upto(n int) (*Series, error) {
	if n < 0 || n > len(s.Patches) {
		return nil, &InputError{File: s.Dir, Msg: fmt.Sprintf("no patch %d: the series has 1 to %d, and 0 is the base", n, len(s.Patches))}
	}
	t := *s
	t.Patches = slices.Clip(s.Patches[:n])
	return &t, nil
}
