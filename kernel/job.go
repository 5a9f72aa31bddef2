// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/seriesrig/series/internal/cache"
	"github.com/seriesrig/series/kernel/kconfig"
	"github.com/seriesrig/series/patches"
)

// A Job is one kernel to be built: a source with some files changed, for one architecture, in one configuration.
type Job struct {
	Source    *Source
	Files     map[string]*patches.File // what the patches change; nil means the source as it is
	Arch      Arch
	Config    string              // the configuration's name, "" means "release"; with the architecture's it names the object folder
	Fragments []*kconfig.Fragment // later ones override earlier ones
	Targets   []string            // vmlinux is always built; "modules" may be added
	MakeArgs  []string            // more arguments, each NAME=VALUE, such as W=1
	Log       string              // where make's output is written while it runs; "" means beside the object folder
}

func (j Job) name() string {
	if j.Config == "" {
		return j.Arch.Name + "-release"
	}
	return j.Arch.Name + "-" + j.Config
}

func (j Job) targets() []string {
	if slices.Contains(j.Targets, "vmlinux") {
		return j.Targets
	}
	return append([]string{"vmlinux"}, j.Targets...)
}

var makeArgForm = regexp.MustCompile(`^([A-Z][A-Za-z0-9_]*)=[^\n]*$`)

// ourArgs are set by the Builder; a build would not be what it says if a caller set them too.
var ourArgs = []string{"ARCH", "CROSS_COMPILE", "CC", "HOSTCC", "O", "KBUILD_OUTPUT", "LOCALVERSION", "KCFLAGS", "KAFLAGS",
	"KCONFIG_ALLCONFIG", "KCONFIG_CONFIG", "KBUILD_BUILD_TIMESTAMP", "KBUILD_BUILD_USER", "KBUILD_BUILD_HOST", "KBUILD_BUILD_VERSION", "MAKEFLAGS", "SHELL"}

func (j Job) check() error {
	if j.Source == nil || j.Arch.Name == "" {
		return errors.New("build: a job needs a source and an architecture")
	}
	if !treeName.MatchString(j.name()) {
		return fmt.Errorf("build %s: bad name of a configuration", j.Config)
	}
	for _, t := range j.targets() {
		if t != "vmlinux" && t != "modules" {
			return fmt.Errorf("build %s: target %q is not one of vmlinux, modules", j.name(), t)
		}
	}
	for _, a := range j.MakeArgs {
		m := makeArgForm.FindStringSubmatch(a)
		if m == nil {
			return fmt.Errorf("build %s: %q is not a NAME=VALUE for make", j.name(), a)
		}
		if slices.Contains(ourArgs, m[1]) {
			return fmt.Errorf("build %s: %s is set by the build itself", j.name(), m[1])
		}
	}
	return nil
}

// A BuildSpec is all that can change the output of a build. It is a plain value; two builds with equal specs give the
// same files, byte for byte.
type BuildSpec struct {
	Base      string `json:"base"`    // content hash of the source
	Overlay   string `json:"overlay"` // hash of the files that differ from it
	Arch      string `json:"arch"`
	Config    string `json:"config"`    // hash of the resolved configuration
	Toolchain string `json:"toolchain"` // Toolchain.ID
	Targets   string `json:"targets"`
	Args      string `json:"args"` // make's, without what depends on the machine: folders, jobs, ccache
}

// buildFormat is raised when the way of building changes its output.
const buildFormat = "build 1"

// ID is the hash of the spec, 64 hex digits.
func (s BuildSpec) ID() string {
	return cache.KeyOf(buildFormat, s.Base, s.Overlay, s.Arch, s.Config, s.Toolchain, s.Targets, s.Args)
}

// overlay drops the files that are what the source has anyway: a series may change a file and change it back.
func (j Job) overlay() (map[string]*patches.File, error) {
	files := map[string]*patches.File{}
	for name, f := range j.Files {
		base, err := j.Source.ReadFile(name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("build %s: %w", j.name(), err)
		}
		switch {
		case f == nil && base == nil:
		case f != nil && base != nil && manifestMode(f.Mode) == manifestMode(base.Mode) && string(f.Data) == string(base.Data):
		default:
			files[name] = f
		}
	}
	return files, nil
}

// hashFiles hashes an overlay, or the part of it that keep keeps.
func hashFiles(files map[string]*patches.File, keep func(name string) bool) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if !keep(name) {
			continue
		}
		c := content{}
		if f := files[name]; f != nil {
			c = content{manifestMode(f.Mode), sha256.Sum256(f.Data)}
		}
		parts = append(parts, name, fmt.Sprintf("%o %x", c.mode, c.sum))
	}
	return cache.KeyOf(parts...)
}

// maybeKconfig tells whether a file can have a say in what a configuration resolves to. Kconfig files, makefiles and
// scripts do, and what scripts compile to see what the compiler can. C code, headers and documents elsewhere do not.
func maybeKconfig(name string) bool {
	switch path.Ext(name) {
	case ".c", ".h", ".S", ".rst", ".dts", ".dtsi", ".dtso", ".yaml", ".txt":
	default:
		return true
	}
	for part := range strings.SplitSeq(path.Dir(name), "/") {
		if part == "scripts" || part == "tools" {
			return true
		}
	}
	return strings.HasPrefix(path.Base(name), "Kconfig")
}

// Spec returns what would be built. It configures, if that has not been done.
func (b *Builder) Spec(ctx context.Context, j Job) (BuildSpec, error) {
	cfg, err := b.Configure(ctx, j)
	if err != nil {
		return BuildSpec{}, err
	}
	return b.spec(ctx, j, cfg)
}

func (b *Builder) spec(ctx context.Context, j Job, cfg *Config) (BuildSpec, error) {
	tc, err := b.Store.Toolchain(ctx, j.Arch)
	if err != nil {
		return BuildSpec{}, err
	}
	files, err := j.overlay()
	if err != nil {
		return BuildSpec{}, err
	}
	return BuildSpec{
		Base:      j.Source.Hash,
		Overlay:   hashFiles(files, func(string) bool { return true }),
		Arch:      j.Arch.Name,
		Config:    cfg.Hash,
		Toolchain: tc.ID,
		Targets:   strings.Join(j.targets(), " "),
		Args:      cache.KeyOf(j.MakeArgs...),
	}, nil
}
