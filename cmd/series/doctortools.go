// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	goversion "go/version"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/seriesrig/series/internal/run"
	"github.com/seriesrig/series/kernel"
)

// A hostNeed is a program or a header of the host's, and what the verbs do with it.
type hostNeed struct {
	name     string   // program, or a header's path below /usr/include
	purpose  string   // what does not go without it
	optional bool     // what it is for is left out then
	ask      []string // arguments that make it say its version; nil: --version
	pkg      string   // Debian package, where run.Look does not know it
}

// needs lists what the verbs use for the architectures, in the order in which it is shown.
func needs(arches []kernel.Arch) []hostNeed {
	all := []hostNeed{
		{name: "git", purpose: "series as branches, bases from git"},
		{name: "go", purpose: "guests' test binaries and initramfs", ask: []string{"env", "GOVERSION"}},
		{name: "make", purpose: "kernel builds"},
		{name: "gcc", purpose: "kernel builds"},
		{name: "ld", purpose: "kernel builds"},
		{name: "flex", purpose: "kernel builds"},
		{name: "bison", purpose: "kernel builds"},
		{name: "bc", purpose: "kernel builds"},
		{name: "gelf.h", purpose: "kernel builds (objtool)", pkg: "libelf-dev"},
		{name: "openssl/ssl.h", purpose: "kernel builds with signed modules", optional: true, pkg: "libssl-dev"},
		{name: "perl", purpose: "kernel builds, checkpatch.pl", ask: []string{"-e", "print \"perl $^V\\n\""}},
		{name: "xz", purpose: "bases from archives"},
		{name: "apt-get", purpose: "debian: bases", optional: true},
		{name: "dpkg-deb", purpose: "debian: bases", optional: true},
		{name: "ccache", purpose: "kernel builds that were done before", optional: true},
		{name: "python3", purpose: "checkpatch.pl's SPDX check", optional: true},
		{name: "sparse", purpose: "sparse's warnings", optional: true},
		{name: "b4", purpose: "sending and applying threads the b4 way", optional: true},
	}
	for _, a := range arches {
		if a.Cross != "" {
			all = append(all, hostNeed{name: a.Cross + "gcc", purpose: "kernels for " + a.Name}, hostNeed{name: a.Cross + "ld", purpose: "kernels for " + a.Name})
		}
		q := hostNeed{name: qemuOf(a), purpose: "guests of " + a.Name}
		if i := slices.IndexFunc(all, func(n hostNeed) bool { return n.name == q.name }); i >= 0 {
			all[i].purpose += ", " + a.Name
			continue
		}
		all = append(all, q)
	}
	return all
}

// qemuOf is the program that runs an architecture's guests.
func qemuOf(a kernel.Arch) string {
	if a.Name == "amd64" {
		return "qemu-system-x86_64"
	}
	return "qemu-system-ppc64"
}

// leastGo is the oldest Go that can build guests' programs: the one that go.mod asks for.
const leastGo = "go1.26.0"

// A toolReport is what doctor found out about one need.
type toolReport struct {
	Name     string `json:"name"`
	Purpose  string `json:"for"`
	OK       bool   `json:"ok"`
	Optional bool   `json:"optional"`
	Path     string `json:"path,omitempty"`
	Version  string `json:"version,omitempty"`
	Problem  string `json:"problem,omitempty"`
	Package  string `json:"package,omitempty"` // to be installed
}

// examine looks for each need, two at a time: most of it is waiting for programs to start.
func examine(ctx context.Context, all []hostNeed) ([]toolReport, error) {
	reports := make([]toolReport, len(all))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for i, n := range all {
		g.Go(func() error {
			reports[i] = n.examine(ctx)
			return ctx.Err()
		})
	}
	return reports, g.Wait()
}

func (n hostNeed) examine(ctx context.Context) toolReport {
	r := toolReport{Name: n.name, Purpose: n.purpose, Optional: n.optional}
	if strings.HasSuffix(n.name, ".h") {
		return n.header(r)
	}
	path, err := run.Look(n.name)
	var missing *run.MissingError
	switch {
	case errors.As(err, &missing):
		r.Problem, r.Package = "not found in PATH", missing.Package
		return r
	case err != nil:
		r.Problem = err.Error()
		return r
	}
	r.Path = path
	args := n.ask
	if args == nil {
		args = []string{"--version"}
	}
	soon, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := run.Cmd{Name: path, Args: args}.Output(soon)
	if err != nil {
		r.Problem = fmt.Sprintf("does not run: %v", err)
		return r
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	r.Version, r.OK = visible(first), true
	if n.name == "go" && goversion.Compare(r.Version, leastGo) < 0 {
		r.OK, r.Problem = false, "older than "+leastGo+"; see https://go.dev/dl"
	}
	return r
}

// header looks where Debian puts headers: one of the machine's own is a folder deeper.
func (n hostNeed) header(r toolReport) toolReport {
	for _, dir := range []string{"/usr/include", "/usr/include/*-linux-gnu*"} {
		if found, _ := filepath.Glob(filepath.Join(dir, n.name)); len(found) > 0 {
			if _, err := os.Stat(found[0]); err == nil {
				r.Path, r.OK = found[0], true
				return r
			}
		}
	}
	r.Problem, r.Package = "not found in /usr/include", n.pkg
	return r
}
