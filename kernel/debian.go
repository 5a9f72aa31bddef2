// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/seriesrig/series/internal/cache"
	"github.com/seriesrig/series/internal/flock"
	"github.com/seriesrig/series/internal/run"
)

// A deb is a package as apt knows it. Its digest comes from lists whose signature apt has verified.
type deb struct {
	Version string `json:"version"`
	File    string `json:"file"` // name of the file
	Sum     string `json:"sum"`  // SHA-256, in hex
}

// resolveDebian asks apt which version is to be had, and gets it where it is not unpacked yet. apt takes most of a
// second to answer, so its answer is kept as long as neither its lists nor its configuration change.
func (s *Store) resolveDebian(ctx context.Context, b Base) (*Source, error) {
	if _, err := run.Look("apt-get"); err != nil {
		return nil, b.errorf(err, "needs apt; on another system name a git:, tar: or dir: base")
	}
	a := apt{s: s, b: b}
	d, aptErr := a.candidate(ctx)
	if aptErr == nil {
		src, err := s.debSource(ctx, &a, d)
		if err == nil || ctx.Err() != nil || !errors.As(err, new(*fetchError)) {
			return src, err
		}
		aptErr = err
	}
	if ctx.Err() != nil {
		return nil, aptErr
	}
	if k, ok := s.recall(b.String()); ok {
		return s.older(b, k, aptErr)
	}
	return nil, aptErr
}

// A fetchError says that a package could not be had now; there may be an older one.
type fetchError struct{ err error }

func (e *fetchError) Error() string { return e.err.Error() }
func (e *fetchError) Unwrap() error { return e.err }

// debSource returns the source in a package.
func (s *Store) debSource(ctx context.Context, a *apt, d deb) (*Source, error) {
	k, ok := s.recall("deb " + d.Sum)
	if !ok {
		var err error
		if k, err = s.getDeb(ctx, a, d); err != nil {
			return nil, err
		}
	}
	if last, ok := s.recall(a.b.String()); !ok || last.Hash != k.Hash || last.Package != k.Package {
		if err := s.remember(known{Key: a.b.String(), Hash: k.Hash, Package: k.Package}); err != nil {
			return nil, s.unpackError(a.b, err)
		}
	}
	src, err := newSource(a.b, s.src(k.Hash), k.Hash)
	if err != nil {
		return nil, err
	}
	src.Package = k.Package
	return src, nil
}

// getDeb downloads and unpacks a package. One downloads at a time; who has waited for another takes what that one made.
func (s *Store) getDeb(ctx context.Context, a *apt, d deb) (known, error) {
	if err := os.MkdirAll(s.src(".download"), 0o755); err != nil {
		return known{}, s.unpackError(a.b, err)
	}
	lock, err := flock.Acquire(ctx, s.src(".download", ".lock"))
	if err != nil {
		return known{}, fmt.Errorf("download %s: %w", a.b, err)
	}
	defer lock.Release()
	if k, ok := s.recall("deb " + d.Sum); ok {
		return k, nil
	}
	file, err := a.download(ctx, &d)
	if err != nil {
		return known{}, &fetchError{err}
	}
	k, err := s.unpack(ctx, a.b, known{Key: "deb " + d.Sum, Package: d.Version}, true, func(u *unpacker) error { return undeb(u, file) })
	if err == nil {
		os.Remove(file)
	}
	return k, err
}

// apt asks apt about one base.
type apt struct {
	s       *Store
	b       Base
	private bool // use lists of our own, in the work folder, since the system's do not have the package
}

func (a *apt) dir() string { return filepath.Join(a.s.Dir, "apt") }

func (a *apt) cmd(args ...string) run.Cmd {
	opts := []string{"-q", "-o", "APT::Color=0"}
	if a.private {
		// Only what apt writes is moved. Sources, keys and the list of installed packages are the system's.
		opts = append(opts, "-o", "Dir::State="+filepath.Join(a.dir(), "state"), "-o", "Dir::State::status=/var/lib/dpkg/status",
			"-o", "Dir::Cache="+filepath.Join(a.dir(), "cache"), "-o", "Debug::NoLocking=1")
	}
	return run.Cmd{Name: "apt-get", Args: append(opts, args...)}
}

func (a *apt) want() string {
	if a.b.Rev != "" {
		return a.b.Name + "=" + a.b.Rev
	}
	return a.b.Name
}

// candidate returns the package that apt would install. Where the system's lists do not know it, they may be old or of
// another release: lists of our own are brought up to date, for which no root is needed.
func (a *apt) candidate(ctx context.Context) (deb, error) {
	key := a.s.src(".known", cache.KeyOf("apt "+a.b.String())+".json")
	print, err := aptFingerprint(a.dir())
	if err != nil {
		return deb{}, fmt.Errorf("base %s: read apt's lists: %w", a.b, err)
	}
	var memo struct {
		Print   string
		Private bool
		Deb     deb
	}
	if data, err := os.ReadFile(key); err == nil && json.Unmarshal(data, &memo) == nil && memo.Print == print {
		a.private = memo.Private
		return memo.Deb, nil
	}
	d, err := a.ask(ctx)
	if errors.As(err, new(*BaseError)) && ctx.Err() == nil {
		a.private = true
		if a.stale() {
			if err2 := a.update(ctx); err2 != nil && !exists(filepath.Join(a.dir(), "updated")) {
				return deb{}, fmt.Errorf("%w; and apt-get update: %w", err, err2)
			} else if err2 != nil {
				a.s.warn("apt's lists are old, and cannot be renewed", "base", a.b.String(), "cause", err2.Error())
			}
		}
		d, err = a.ask(ctx)
		print, _ = aptFingerprint(a.dir())
	}
	if err != nil {
		return deb{}, err
	}
	memo.Print, memo.Private, memo.Deb = print, a.private, d
	if err := writeJSON(key, memo); err != nil {
		return deb{}, a.s.unpackError(a.b, err)
	}
	return d, nil
}

// stale tells whether our own lists are older than a day.
func (a *apt) stale() bool {
	fi, err := os.Stat(filepath.Join(a.dir(), "updated"))
	return err != nil || time.Since(fi.ModTime()) > 24*time.Hour
}

// uriLine is a line of apt-get --print-uris: 'URI' FILE SIZE SHA256:SUM
var uriLine = regexp.MustCompile(`(?m)^'([^']+)' (\S+) \d+ SHA256:([0-9a-f]{64})$`)

func (a *apt) ask(ctx context.Context) (deb, error) {
	out, err := a.cmd("--print-uris", "download", a.want()).Output(ctx)
	var xe *run.ExitError
	if errors.As(err, &xe) {
		return deb{}, a.b.errorf(nil, "apt knows no package %s%s", a.want(), a.others(ctx))
	}
	if err != nil {
		return deb{}, fmt.Errorf("base %s: %w", a.b, err)
	}
	m := uriLine.FindStringSubmatch(string(out))
	if m == nil {
		return deb{}, a.b.errorf(nil, "apt has no SHA-256 for %s: %q", a.want(), strings.TrimSpace(string(out)))
	}
	// The version's colon and the like are escaped in the file's name: NAME_VERSION_ARCH.deb
	file := filepath.Base(m[2])
	version := strings.TrimPrefix(file, a.b.Name+"_")
	if i := strings.LastIndexByte(version, '_'); i >= 0 {
		version = version[:i]
	}
	if v, err := url.PathUnescape(version); err == nil {
		version = v
	}
	return deb{Version: version, File: file, Sum: m[3]}, nil
}

// others names the packages or versions that apt does know, for an error.
func (a *apt) others(ctx context.Context) string {
	c := a.cmd("--names-only", "search", `^linux-source-[0-9.]+$`)
	if a.b.Rev != "" {
		c = a.cmd("madison", a.b.Name)
	}
	c.Name = "apt-cache"
	out, err := c.Output(ctx)
	if err != nil {
		return ""
	}
	var names []string
	for line := range strings.Lines(string(out)) {
		if name, _, ok := strings.Cut(line, " - "); ok && a.b.Rev == "" && name != a.b.Name {
			names = append(names, name)
		}
		if f := strings.Split(line, "|"); len(f) == 3 && a.b.Rev != "" {
			names = append(names, strings.TrimSpace(f[1]))
		}
	}
	if len(names) == 0 {
		return ""
	}
	slices.Sort(names)
	return "; it knows " + strings.Join(slices.Compact(names), ", ")
}

// update fetches lists of our own.
func (a *apt) update(ctx context.Context) error {
	for _, dir := range []string{"state/lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(a.dir(), dir), 0o755); err != nil {
			return err
		}
	}
	a.s.event(Event{Stage: "download", Object: a.b.String(), Detail: "apt-get update"})
	if err := a.cmd("update", "--error-on=any").Run(ctx); err != nil {
		return err
	}
	return writeFile(filepath.Join(a.dir(), "updated"), nil)
}

// download gets the package's file and checks its digest. Lists may name a file that the mirror has since replaced: then
// lists of our own are brought up to date, and d becomes what they say.
func (a *apt) download(ctx context.Context, d *deb) (string, error) {
	dir := a.s.src(".download")
	file := filepath.Join(dir, d.File)
	if sum, err := cache.HashFile(file); err == nil && sum == d.Sum { // a killed process had come as far as this
		return file, nil
	}
	a.s.event(Event{Stage: "download", Object: a.b.String(), Detail: d.File})
	err := a.get(ctx, dir, d.Version)
	if err != nil && ctx.Err() == nil && !(a.private && !a.stale()) {
		a.private = true
		if err2 := a.update(ctx); err2 != nil {
			return "", fmt.Errorf("base %s: %w; and apt-get update: %w", a.b, err, err2)
		}
		now, err2 := a.ask(ctx)
		if err2 != nil {
			return "", err2
		}
		*d = now
		file = filepath.Join(dir, d.File)
		err = a.get(ctx, dir, d.Version)
	}
	if err != nil {
		return "", fmt.Errorf("base %s: %w", a.b, err)
	}
	sum, err := cache.HashFile(file)
	if err != nil {
		return "", fmt.Errorf("base %s: %w", a.b, err)
	}
	if sum != d.Sum {
		os.Remove(file)
		return "", fmt.Errorf("base %s: %s has SHA-256 %s, and apt's signed lists say %s", a.b, d.File, sum, d.Sum)
	}
	return file, nil
}

func (a *apt) get(ctx context.Context, dir, version string) error {
	c := a.cmd("download", a.b.Name+"="+version)
	c.Dir = dir
	return c.Run(ctx)
}

// undeb unpacks the archive in a linux-source package, in one pass: dpkg-deb, the outer archive, xz, the inner archive.
func undeb(u *unpacker, file string) error {
	outer, err := pipeThrough(u.ctx, run.Cmd{Name: "dpkg-deb", Args: []string{"--fsys-tarfile", file}})
	if err != nil {
		return err
	}
	defer outer.Close()
	t := tar.NewReader(outer)
	for {
		h, err := t.Next()
		if err == io.EOF {
			return errors.New("the package has no /usr/src/linux-source-*.tar.*")
		}
		if err != nil {
			return err
		}
		if ok, _ := filepath.Match("usr/src/linux-source-*.tar.*", strings.TrimPrefix(h.Name, "./")); ok && h.Typeflag == tar.TypeReg {
			return untarCompressed(u, t)
		}
	}
}

// aptFingerprint changes when apt's answer may: it is over the names, sizes and times of its lists and configuration.
func aptFingerprint(private string) (string, error) {
	var parts []string
	for _, root := range []string{"/var/lib/apt/lists", "/etc/apt", "/var/lib/dpkg/status", filepath.Join(private, "state", "lists")} {
		err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
			if err != nil {
				if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
					return nil // lists/partial is apt's own
				}
				return err
			}
			fi, err := d.Info()
			if err != nil || d.IsDir() || d.Name() == "lock" {
				return nil
			}
			parts = append(parts, p, stampOf(fi).String())
			return nil
		})
		if err != nil {
			return "", err
		}
	}
	return cache.KeyOf(parts...), nil
}
