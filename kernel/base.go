// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// The kinds of base.
const (
	Debian = "debian" // a linux-source package, through apt
	Git    = "git"    // a revision of a repository, on this machine or elsewhere
	Tar    = "tar"    // an archive, on this machine or at a URL
	Dir    = "dir"    // a folder, with what is in it now
)

// A Base names a kernel source. It is a plain value, and its String form is what ParseBase reads.
type Base struct {
	Kind string // Debian, Git, Tar or Dir
	Name string // package, path or URL
	Rev  string // Git: the revision; Debian: the package's version, "" means apt's candidate
}

const baseForms = "a base is debian:linux-source-X.Y[=VERSION], git:PATH-OR-URL#REV, tar:PATH-OR-URL or dir:PATH"

// A BaseError says what is wrong with the spec of a base, or with what it leads to. It is the user's to mend.
type BaseError struct {
	Spec string
	Msg  string
	Err  error
}

func (e *BaseError) Error() string {
	s := fmt.Sprintf("base %s: %s", e.Spec, e.Msg)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *BaseError) Unwrap() error { return e.Err }

var (
	debianName    = regexp.MustCompile(`^linux-source(-[0-9]+\.[0-9]+)?$`)
	debianVersion = regexp.MustCompile(`^[0-9][A-Za-z0-9.+:~-]*$`)
	scpForm       = regexp.MustCompile(`^[A-Za-z0-9._-]+@[A-Za-z0-9.-]+:[^:]`)
)

// ParseBase reads the spec of a base. It looks at the spec only; whether there is such a source, Resolve says.
func ParseBase(spec string) (Base, error) {
	bad := func(format string, args ...any) (Base, error) {
		return Base{}, &BaseError{Spec: fmt.Sprintf("%q", spec), Msg: fmt.Sprintf(format, args...) + "; " + baseForms}
	}
	if strings.ContainsFunc(spec, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return bad("it has control characters in it")
	}
	kind, name, ok := strings.Cut(spec, ":")
	if !ok {
		return bad("no kind before a colon")
	}
	b := Base{Kind: kind, Name: name}
	switch kind {
	case Debian:
		var versioned bool
		if b.Name, b.Rev, versioned = strings.Cut(name, "="); versioned && !debianVersion.MatchString(b.Rev) {
			return bad("%q is not a package version", b.Rev)
		}
		if !debianName.MatchString(b.Name) {
			return bad("%q is not a linux-source package", b.Name)
		}
		return b, nil
	case Git:
		i := strings.LastIndexByte(name, '#')
		if i < 0 || i == len(name)-1 {
			return bad("no #REV")
		}
		b.Name, b.Rev = name[:i], name[i+1:]
		if strings.HasPrefix(b.Rev, "-") {
			return bad("%q is not a revision", b.Rev)
		}
		if b.Remote() && !scpForm.MatchString(b.Name) {
			switch scheme, _, _ := strings.Cut(b.Name, "://"); scheme {
			case "https", "http", "ssh", "git", "file":
			default:
				return bad("%s:// is not for git; use https, http, ssh, git or file", scheme)
			}
		}
	case Tar:
		if b.Remote() {
			u, err := url.Parse(name)
			if err != nil {
				return bad("bad URL")
			}
			if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
				return bad("an archive comes by http or https")
			}
		}
	case Dir:
	default:
		return bad("no such kind %q", kind)
	}
	if b.Name == "" {
		return bad("no path")
	}
	return b, nil
}

// String returns the spec.
func (b Base) String() string {
	switch {
	case b.Kind == Debian && b.Rev != "":
		return b.Kind + ":" + b.Name + "=" + b.Rev
	case b.Kind == Git:
		return b.Kind + ":" + b.Name + "#" + b.Rev
	}
	return b.Kind + ":" + b.Name
}

// Remote tells whether the base is a URL, or the host:path form of git's.
func (b Base) Remote() bool {
	return strings.Contains(b.Name, "://") || b.Kind == Git && scpForm.MatchString(b.Name)
}

// path is the base's path, absolute and clean. Only for bases that are on this machine.
func (b Base) path() (string, error) {
	name := b.Name
	if rest, ok := strings.CutPrefix(name, "~/"); ok {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", err
		}
		name = filepath.Join(home, rest)
	}
	return filepath.Abs(name)
}

func (b Base) errorf(err error, format string, args ...any) error {
	return &BaseError{Spec: b.String(), Msg: fmt.Sprintf(format, args...), Err: err}
}
