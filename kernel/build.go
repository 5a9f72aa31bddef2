// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/seriesrig/series/internal/run"
)

// A Builder configures and builds jobs. It may be used by several goroutines; jobs of one architecture wait for each
// other, since they share a tree.
type Builder struct {
	Store    *Store
	Jobs     int  // compilers at a time; 0 means as many as there are CPUs
	NoCcache bool // do not use ccache where it is installed; the output is the same
	Wide     bool // have kbuild look through all folders each time; the output is the same
}

// A Build is the record of a build. Its JSON form is the "build" object of what series prints.
type Build struct {
	ID          string       `json:"id"`    // BuildSpec.ID
	Image       string       `json:"image"` // vmlinux
	SystemMap   string       `json:"system_map"`
	Config      string       `json:"config"` // the resolved configuration
	Log         string       `json:"log"`    // what make printed
	Cached      bool         `json:"cached"`
	Seconds     float64      `json:"seconds"`           // that make took when it was built
	Objects     int          `json:"objects"`           // files that make made then
	Fresh       string       `json:"fresh,omitempty"`   // why object files of earlier builds were removed then
	Folders     []string     `json:"folders,omitempty"` // that make was asked for then; none means all
	Wide        string       `json:"wide,omitempty"`    // why it was asked for all
	WarningsNew []Diagnostic `json:"warnings_new"`      // that the previous patch has not; filled in by who knows that one
	Warnings    []Diagnostic `json:"warnings"`          // that a build from nothing prints
	Errors      []Diagnostic `json:"errors"`            // always empty: a build with errors is a BuildError
	Spec        BuildSpec    `json:"spec"`
	Toolchain   string       `json:"toolchain"` // the compiler's version
}

// A BuildError says that the source does not build. When the machine was at fault, such as by a full disk, the error is
// of another type.
type BuildError struct {
	What   string // "build amd64-release"
	Errors []Diagnostic
	Log    string
	Err    error
}

func (e *BuildError) Error() string {
	s := e.What + ": "
	if first := e.First(); first != nil {
		s += first.String()
		if n := len(e.Errors); n > 1 {
			s += fmt.Sprintf(" (and %d more)", n-1)
		}
	} else {
		s += e.Err.Error()
	}
	return s + "; log: " + e.Log
}

func (e *BuildError) Unwrap() error { return e.Err }

// First is the first error that a tool printed; nil where none was recognised.
func (e *BuildError) First() *Diagnostic {
	if len(e.Errors) == 0 {
		return nil
	}
	return &e.Errors[0]
}

// Build builds the job, or finds that it has been built. Nothing is written for one that has.
func (b *Builder) Build(ctx context.Context, j Job) (*Build, error) {
	cfg, err := b.Configure(ctx, j)
	if err != nil {
		return nil, err
	}
	spec, err := b.spec(ctx, j, cfg)
	if err != nil {
		return nil, err
	}
	id := spec.ID()
	dir, cached, err := b.Store.Cache.Fill(ctx, "build", id, func(ctx context.Context, dir string) error {
		return b.build(ctx, j, cfg, spec, dir)
	})
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(filepath.Join(dir, "build.json"))
	if err != nil {
		return nil, fmt.Errorf("build %s: %w", j.name(), err)
	}
	var r Build
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("build %s: %s: %w", j.name(), filepath.Join(dir, "build.json"), err)
	}
	r.Cached = cached
	r.Image, r.SystemMap = filepath.Join(dir, "vmlinux"), filepath.Join(dir, "System.map")
	r.Config, r.Log = filepath.Join(dir, "config"), filepath.Join(dir, "build.log")
	return &r, nil
}

// Cached returns the build of a spec, if it has been built.
func (b *Builder) Cached(spec BuildSpec) (dir string, ok bool) {
	return b.Store.Cache.Get("build", spec.ID())
}

// build runs make and puts what it made into dir.
func (b *Builder) build(ctx context.Context, j Job, cfg *Config, spec BuildSpec, dir string) error {
	w, err := b.workplace(ctx, j, cfg, spec, j.name(), "setup 1")
	if err != nil {
		return err
	}
	defer w.Close()
	o := w.obj
	r := Build{ID: spec.ID(), Spec: spec, Toolchain: w.tools.Compiler, Fresh: w.fresh, WarningsNew: []Diagnostic{}, Errors: []Diagnostic{}}
	wrap := func(err error) error {
		if err == nil {
			return nil
		}
		return fmt.Errorf("build %s: %w", j.name(), err)
	}
	log := j.Log
	if log == "" {
		log = o.dir + ".log"
	}
	start := time.Now()
	p, err := b.makeKernel(ctx, w, j, cfg, log, &r)
	r.Seconds = time.Since(start).Seconds()
	if p != nil {
		r.Objects = p.rules
	}
	var xe *run.ExitError
	if err != nil && (ctx.Err() != nil || p == nil || !errors.As(err, &xe) || xe.Signal != 0 || p.killed) {
		// The stamp stays as it is: what was being written is not to be believed.
		return errorOr(ctx, wrap(err))
	}
	warnings := p.carry(o.stamp.Warnings)
	if err2 := b.finish(ctx, j, w, warnings, err == nil); err2 != nil {
		return wrap(err2)
	}
	if err != nil {
		return p.failure("build "+j.name(), log, err)
	}
	if same, err := sameFile(cfg.Path, filepath.Join(o.dir, ".config")); err != nil || !same {
		return wrap(errors.Join(err, errors.New("kbuild changed the resolved configuration; see "+filepath.Join(o.dir, ".config"))))
	}
	r.Warnings = []Diagnostic{}
	for _, c := range warnings {
		r.Warnings = append(r.Warnings, c.Diagnostic)
	}
	return wrap(keepBuild(o, j, cfg, log, dir, &r))
}

func errorOr(ctx context.Context, err error) error {
	if ctx.Err() != nil && !errors.Is(err, ctx.Err()) && !errors.Is(err, context.Cause(ctx)) {
		return fmt.Errorf("%w: %w", err, context.Cause(ctx))
	}
	return err
}

// makeKernel has make do what there is to do for a kernel, in a narrow way where that comes to the same. A failure of the
// narrow way is never believed: what is wrong with a source is for the whole make to say.
func (b *Builder) makeKernel(ctx context.Context, w *workplace, j Job, cfg *Config, log string, r *Build) (*logParser, error) {
	r.Wide = "it was asked for"
	var first *logParser // what a narrow make that did not do had to say
	if !b.Wide {
		n, why, err := w.narrow(ctx, j, cfg)
		if err != nil {
			return nil, err
		}
		if r.Wide = why; why == "" {
			p, err := b.runNarrow(ctx, w, j, cfg, n, log)
			var not *errNotNarrow
			if !errors.As(err, &not) {
				r.Folders = n.folders()
				return p, err
			}
			r.Wide, first = not.why, p
		}
	}
	p, err := b.runMake(ctx, w, j, log, j.targets())
	p.follow(first)
	return p, err
}

// runMake runs make for some targets, and arguments that go with them.
func (b *Builder) runMake(ctx context.Context, w *workplace, j Job, log string, targets []string) (*logParser, error) {
	c := b.make(w.Tree, w.obj.dir, j, w.tools)
	c.Args = append(append(c.Args, j.MakeArgs...), targets...)
	return b.logged(ctx, w, j, log, c)
}

// logged runs a make with its output going into the log and through the parser.
func (b *Builder) logged(ctx context.Context, w *workplace, j Job, log string, c run.Cmd) (*logParser, error) {
	p := newLogParser(w.Dir, w.obj.dir)
	p.onRule = func(n int, target string) {
		b.Store.event(Event{Stage: "build", Object: j.name(), Done: int64(n), Detail: target})
	}
	if err := os.MkdirAll(filepath.Dir(log), 0o755); err != nil {
		return p, err
	}
	f, err := os.Create(log)
	if err != nil {
		return p, err
	}
	out := &logWriter{file: f, parser: p}
	c.Stdout, c.Stderr = out, out
	err = c.Run(ctx)
	p.end()
	if out.err = errors.Join(out.err, f.Close()); out.err != nil {
		return p, out.err
	}
	return p, err
}

// A logWriter writes to the log and the parser. It goes on when the log cannot be written, so that make is not ended by
// a broken pipe, which would look like something else.
type logWriter struct {
	file   *os.File
	parser *logParser
	err    error
}

func (w *logWriter) Write(b []byte) (int, error) {
	if w.err == nil {
		_, w.err = w.file.Write(b)
	}
	return w.parser.Write(b)
}

func (b *Builder) ccache() bool {
	if b.NoCcache {
		return false
	}
	_, err := run.Look("ccache")
	return err == nil
}

// make is make with all that does not depend on the target. The environment is made so that the same input gives the
// same output: who builds, where, when and how often is nowhere in a vmlinux.
//
// Paths of source files get into a kernel by __FILE__ and by debug information. kbuild maps the source's own folder away;
// here the object folder is mapped as well, and the source's name relative to the object folder, under which ccache
// compiles so that work folders can share what it keeps.
func (b *Builder) make(t *Tree, obj string, j Job, tc *Toolchain) run.Cmd {
	cc, hostcc := j.Arch.Cross+"gcc", "gcc"
	env := []string{"KBUILD_BUILD_TIMESTAMP=Thu Jan  1 00:00:00 UTC 1970", "KBUILD_BUILD_USER=series", "KBUILD_BUILD_HOST=series",
		"KBUILD_BUILD_VERSION=1", "SOURCE_DATE_EPOCH=0"}
	if b.ccache() {
		cc, hostcc = "ccache "+cc, "ccache "+hostcc
		env = append(env, "CCACHE_BASEDIR="+b.Store.Dir, "CCACHE_NOHASHDIR=1", "CCACHE_SLOPPINESS=", "CCACHE_COMPILERCHECK=string:"+tc.ID)
	}
	rel, err := filepath.Rel(obj, t.Dir)
	if err != nil {
		rel = t.Dir
	}
	maps := fmt.Sprintf("-ffile-prefix-map=%s/= -ffile-prefix-map=%s/= -ffile-prefix-map=%s/= -fdebug-prefix-map=%s=.", t.Dir, rel, obj, obj)
	return run.Cmd{
		Name: "make",
		Args: []string{"-C", t.Dir, "O=" + obj, "ARCH=" + j.Arch.Kernel, "CROSS_COMPILE=" + j.Arch.Cross, "CC=" + cc, "HOSTCC=" + hostcc,
			"LOCALVERSION=", "KCFLAGS=" + maps, "KAFLAGS=" + maps, "-j" + strconv.Itoa(b.jobs())},
		Env:   run.CleanEnv(env...),
		Files: append([]*os.File{t.lock.File}, b.Store.Inherit...),
		Grace: 10 * time.Second,
	}
}

func (b *Builder) jobs() int {
	if b.Jobs > 0 {
		return b.Jobs
	}
	return runtime.NumCPU()
}

// replaceConfig writes the configuration unless it is there already: its time is what kbuild goes by.
func replaceConfig(from, to string) error {
	if same, err := sameFile(from, to); err == nil && same {
		return nil
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return writeFile(to, data)
}

func sameFile(a, b string) (bool, error) {
	x, err := os.ReadFile(a)
	if err != nil {
		return false, err
	}
	y, err := os.ReadFile(b)
	return err == nil && bytes.Equal(x, y), err
}

// failure makes an error of a make that failed.
func (p *logParser) failure(what, log string, err error) error {
	if p.rig != "" {
		return fmt.Errorf("%s: %s; log: %s: %w", what, p.rig, log, err)
	}
	e := &BuildError{What: what, Errors: p.errors, Log: log, Err: err}
	if len(e.Errors) == 0 {
		e.Errors = p.fallback
	}
	for _, d := range e.Errors {
		if pkg := missingHeader(d.Message); pkg != "" {
			return fmt.Errorf("%s: %s: %s; on Debian: apt-get install %s; log: %s: %w", what, d.File, d.Message, pkg, log, err)
		}
	}
	return e
}

// hostHeaders are headers of the host's that kbuild's own programs need, and the packages that bring them.
var hostHeaders = map[string]string{"gelf.h": "libelf-dev", "libelf.h": "libelf-dev", "openssl/": "libssl-dev", "dwarf.h": "libdw-dev",
	"yaml.h": "libyaml-dev", "gmp.h": "libgmp-dev", "gcc-plugin.h": "gcc-12-plugin-dev"}

func missingHeader(msg string) (pkg string) {
	name, ok := strings.CutSuffix(msg, ": No such file or directory")
	if !ok {
		return ""
	}
	for h, pkg := range hostHeaders {
		if name == h || strings.HasSuffix(h, "/") && strings.HasPrefix(name, h) {
			return pkg
		}
	}
	return ""
}

// keepBuild copies what is kept of a build.
func keepBuild(o *objDir, j Job, cfg *Config, log, dir string, r *Build) error {
	list := [][2]string{{filepath.Join(o.dir, "vmlinux"), "vmlinux"}, {filepath.Join(o.dir, "System.map"), "System.map"}, {cfg.Path, "config"}, {log, "build.log"}}
	for _, t := range j.targets() {
		if t != "modules" {
			continue
		}
		order, err := os.ReadFile(filepath.Join(o.dir, "modules.order"))
		if err != nil {
			return err
		}
		for name := range strings.Lines(string(order)) {
			if name = strings.TrimSuffix(strings.TrimSpace(name), ".o") + ".ko"; name != ".ko" {
				list = append(list, [2]string{filepath.Join(o.dir, name), path.Join("modules", name)})
			}
		}
	}
	for _, c := range list {
		to := filepath.Join(dir, c[1])
		if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), copyFile(c[0], to)); err != nil {
			return err
		}
	}
	return writeJSON(filepath.Join(dir, "build.json"), r)
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o444)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
