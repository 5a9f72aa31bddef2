// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"golang.org/x/mod/modfile"

	"github.com/seriesrig/series/internal/cache"
	"github.com/seriesrig/series/internal/run"
	"github.com/seriesrig/series/kernel"
	"github.com/seriesrig/series/patches"
)

// ciCmd writes what a CI service needs to run a series.
type ciCmd struct {
	Service string `arg:"" enum:"github,gitlab" help:"github or gitlab."`
	ID      string `arg:"" help:"The series."`
	Output  string `short:"o" placeholder:"FILE" help:"Where to write it, such as .github/workflows/series-ID.yml or .gitlab-ci.yml (default: standard output)."`
	Image   string `default:"golang:1.26-bookworm" help:"Container with Go and a Debian release that has the base (default: ${default})."`
	Use     string `placeholder:"VERSION" help:"Version of series to install, where the repository is not series' own (default: this program's, or latest)."`
	Force   bool   `help:"Write over a file that series has not written."`
}

func (c *ciCmd) Help() string {
	return `To be run at the top of the repository that holds the series. The workflow has a job for each architecture and
configuration; it keeps the base, the builds and ccache from run to run, and leaves the record, the thread, a JUnit report
and the logs of what failed.`
}

// plainForm is what may stand in a workflow: nothing in it means anything to YAML between quotes, to a shell, or to the
// expressions of GitHub and the variables of GitLab.
var (
	plainForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/+-]{0,199}$`)
	imageForm = regexp.MustCompile(`^[a-z0-9][A-Za-z0-9._/:@-]{0,254}$`)
)

// ciMarker tells that a file is one of ours, to be written again.
const ciMarker = "Written by series ci"

// The folders of a job, relative to the checkout: services keep and collect only what is below it.
const (
	ciDir    = "series-ci"
	ciWork   = ciDir + "/work"
	ciOut    = ciDir + "/out"
	ciCcache = ciDir + "/ccache"
	ciBin    = ciDir + "/bin"
)

// ciModule is this program's own module.
const ciModule = "github.com/seriesrig/series"

//go:embed ci/*.yml
var ciTemplates embed.FS

type ciData struct {
	Marker, Command    string
	ID, Image, BaseKey string
	Cells              []ciCell
	Env                []ciVariable
	Install, Build     string // shell
	Run                string
}

type (
	ciCell     struct{ Arch, Config, Verb string }
	ciVariable struct{ Name, Value string }
)

// Work, Out and Ccache are for the templates.
func (*ciData) Work() string   { return ciWork }
func (*ciData) Out() string    { return ciOut }
func (*ciData) Ccache() string { return ciCcache }

func (c *ciCmd) Run(ctx context.Context, a *app) error {
	s, err := a.load(c.ID)
	if err != nil {
		return err
	}
	data, err := c.data(a, s)
	if err != nil {
		return err
	}
	text, err := renderCI(c.Service, data)
	if err != nil {
		return err
	}
	if c.Output == "" {
		_, err := a.stdout.Write(text)
		return err
	}
	old, err := os.ReadFile(c.Output)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case !c.Force && !bytes.Contains(old[:min(len(old), 200)], []byte(ciMarker)):
		return usage("ci: %s was not written by series; --force writes over it", c.Output)
	}
	if err := os.MkdirAll(filepath.Dir(c.Output), 0o755); err != nil {
		return err
	}
	return os.WriteFile(c.Output, text, 0o644)
}

// data gathers what goes into a workflow, and checks all that came from outside.
func (c *ciCmd) data(a *app, s *patches.Series) (*ciData, error) {
	d := &ciData{Marker: ciMarker, Image: c.Image, ID: s.ID, Run: ciRun}
	if !imageForm.MatchString(c.Image) {
		return nil, usage("--image: %q is no name of an image", c.Image)
	}
	base := s.Base
	if a.cli.Base != "" {
		base = a.cli.Base
	}
	if strings.HasPrefix(base, "dir:") || strings.HasPrefix(base, "tar:/") || strings.HasPrefix(base, "git:/") {
		return nil, usage("ci: the base %q is on this machine only; name another with --base", base)
	}
	d.BaseKey = cache.KeyOf("ci 1", base, c.Image)[:16]
	d.Env = []ciVariable{{"SERIES_ID", s.ID}, {"SERIES_PATCHES", filepath.ToSlash(filepath.Clean(a.cli.Patches))},
		{"SERIES_ROOT", filepath.ToSlash(filepath.Clean(a.root()))}, {"SERIES_CONFIGS", filepath.ToSlash(filepath.Clean(a.configs()))}}
	for _, v := range d.Env {
		if v.Value != "." && (!plainForm.MatchString(v.Value) || !filepath.IsLocal(v.Value)) {
			return nil, usage("ci: %q cannot stand in a workflow; it must be a plain path below this folder, of letters, digits and ._/+-", v.Value)
		}
	}
	if a.cli.Base != "" {
		if !regexp.MustCompile(`^[a-z]+:[A-Za-z0-9][A-Za-z0-9._/:#@+-]{0,300}$`).MatchString(base) {
			return nil, usage("--base: %q cannot stand in a workflow", base)
		}
		d.Env = append(d.Env, ciVariable{"SERIES_BASE", base})
	}
	d.Env = append(d.Env, ciVariable{"SERIES_CACHE_SIZE", "2GiB"})
	arches, err := chooseArches(s, nil)
	if err != nil {
		return nil, err
	}
	for _, arch := range arches {
		d.Cells = append(d.Cells, ciCell{arch.Name, patches.Release, "run"})
		for _, v := range s.Variants {
			switch {
			case !v.On(arch.Name):
			case v.Test:
				d.Cells = append(d.Cells, ciCell{arch.Name, v.Name, "test"})
			default:
				d.Cells = append(d.Cells, ciCell{arch.Name, v.Name, "build"})
			}
		}
	}
	for _, cell := range d.Cells {
		if !plainForm.MatchString(cell.Config) {
			return nil, usage("ci: the configuration %q cannot stand in a workflow", cell.Config)
		}
	}
	d.Install = ciInstall(arches)
	if d.Build, err = c.build(a); err != nil {
		return nil, err
	}
	d.Command = strings.Join([]string{"series", "ci", c.Service, s.ID}, " ")
	return d, nil
}

// ciInstall installs what the verbs need and the image has not.
func ciInstall(arches []kernel.Arch) string {
	var list []string
	for _, n := range needs(arches) {
		switch n.name {
		case "go", "sparse", "b4", "apt-get", "dpkg-deb", "python3":
			continue // the image has it, or nothing here uses it
		}
		pkg := n.pkg
		if pkg == "" {
			pkg = run.Package(n.name)
		}
		if !slices.Contains(list, pkg) {
			list = append(list, pkg)
		}
	}
	slices.Sort(list)
	return "apt-get update -qq\nDEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \\\n  " +
		strings.Join(append(list, "zstd"), " ")
}

// build makes bin/series: from this checkout where it is series' own, or else from a release.
func (c *ciCmd) build(a *app) (string, error) {
	data, err := os.ReadFile(filepath.Join(a.root(), "go.mod"))
	if err == nil && modfile.ModulePath(data) == ciModule {
		return "go build -buildvcs=false -o " + ciBin + "/series ./cmd/series", nil
	}
	v := c.Use
	if v == "" {
		v = version()
		if !strings.HasPrefix(v, "v") || strings.Contains(v, "+") {
			v = "latest"
		}
	}
	if !plainForm.MatchString(v) {
		return "", usage("--use: %q is no version", v)
	}
	return fmt.Sprintf("GOBIN=\"$PWD/%s\" go install %s/cmd/series@%s", ciBin, ciModule, v), nil
}

// ciRun walks the series. The release configuration goes the whole way to the thread; a variant is built, and tested
// where the series says so.
const ciRun = `set -o pipefail
mkdir -p ` + ciOut + `
export CCACHE_DIR="$PWD/` + ciCcache + `" CCACHE_MAXSIZE=1G GOFLAGS=-buildvcs=false
series() {
  ` + ciBin + `/series --work ` + ciWork + ` --patches "$SERIES_PATCHES" --root "$SERIES_ROOT" --configs "$SERIES_CONFIGS" \
    ${SERIES_BASE:+--base "$SERIES_BASE"} "$@"
}
case "$VERB" in
run) series run "$SERIES_ID" --arch "$ARCH" --quick --record ` + ciOut + `/record --output "` + ciOut + `/$SERIES_ID.mbox" --junit ` + ciOut + `/junit.xml ;;
*) series "$VERB" "$SERIES_ID" --arch "$ARCH" --config "$CONFIG" --each --junit ` + ciOut + `/junit.xml ;;
esac | tee ` + ciOut + `/summary.txt`

// renderCI fills a service's template.
func renderCI(service string, d *ciData) ([]byte, error) {
	t, err := template.New(service+".yml").Option("missingkey=error").Funcs(template.FuncMap{
		"indent": func(n int, s string) string {
			pad := strings.Repeat(" ", n)
			return pad + strings.ReplaceAll(s, "\n", "\n"+pad)
		},
	}).ParseFS(ciTemplates, "ci/"+service+".yml")
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, d); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
