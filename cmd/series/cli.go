// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/seriesrig/series/internal/cache"
)

// cli is the command line. One verb, one file, one struct with a Run method; a verb only composes.
type cli struct {
	Work      string           `placeholder:"DIR" help:"Folder for sources, trees, builds and runs (default: series in the user's cache folder)."`
	Patches   string           `default:"patches" placeholder:"DIR" help:"Folder that holds the series (default: ${default})."`
	Root      string           `placeholder:"DIR" help:"Folder that the series' test packages are relative to (default: the one that holds the patches folder)."`
	Configs   string           `placeholder:"DIR" help:"Folder that holds the config fragments (default: configs in the root folder)."`
	Base      string           `placeholder:"SPEC" help:"Kernel to put the series on instead of the one that it names: debian:linux-source-X.Y, git:PATH-OR-URL#REV, tar:PATH-OR-URL or dir:PATH."`
	JSON      bool             `name:"json" help:"Print data as JSON."`
	Quiet     bool             `short:"q" help:"No progress on standard error."`
	Verbose   bool             `help:"Log what is done to standard error."`
	NoWait    bool             `help:"Fail when another run has the work folder, instead of waiting for it."`
	Events    string           `placeholder:"FILE" help:"Also write what begins and ends as JSON, a line each, to this file or pipe (/dev/fd/3)."`
	CacheSize string           `placeholder:"SIZE" env:"SERIES_CACHE_SIZE" help:"What the cache may take on disk; what was not used for the longest time goes (default: 20GiB, or a quarter of a file system smaller than 80GiB; 0: no limit)."`
	Version   kong.VersionFlag `help:"Print the version."`

	List    listCmd    `cmd:"" help:"List the series."`
	Show    showCmd    `cmd:"" help:"Show a series: its patches, and what it touches."`
	Lint    lintCmd    `cmd:"" help:"Judge a series, a thread or patch files by the posting rules."`
	Apply   applyCmd   `cmd:"" help:"Apply a series and write it as a git branch, a commit a patch."`
	Build   buildCmd   `cmd:"" help:"Build kernels of a series."`
	Test    testCmd    `cmd:"" help:"Build, boot, and run the series' tests in the guest."`
	Delta   deltaCmd   `cmd:"" help:"Tell what each patch did to the build: new warnings, sizes, symbols, sections."`
	Bisect  bisectCmd  `cmd:"" help:"Find the patch that breaks or mends a test, brings a warning, or moves a benchmark."`
	Verify  verifyCmd  `cmd:"" help:"Prove what can be read off built kernels, or off an ELF file."`
	Bench   benchCmd   `cmd:"" help:"Build, boot, and run the series' benchmarks in the guest."`
	Compare compareCmd `cmd:"" help:"Set two recorded runs against each other, or refuse to."`
	Report  reportCmd  `cmd:"" help:"Write a page of a recorded run, with plots and tables."`
	Import  importCmd  `cmd:"" help:"Make a series of mail, or of commits."`
	Export  exportCmd  `cmd:"" help:"Write a series as a git branch and as a quilt series."`
	Mail    mailCmd    `cmd:"" help:"Write the mail thread from recorded runs."`
	Send    sendCmd    `cmd:"" help:"Send a thread by SMTP, after a yes."`
	Run     runCmd     `cmd:"" help:"All of it: apply, build, prove, boot, test, measure, write the thread."`
	Boot    bootCmd    `cmd:"" help:"Boot a kernel and get a shell in the guest."`
	Exec    execCmd    `cmd:"" help:"Run a program in a guest, for go test -exec."`
	Status  statusCmd  `cmd:"" help:"Tell how far a run is, from another shell."`
	CI      ciCmd      `cmd:"" name:"ci" help:"Write the workflow that runs a series in a CI service."`
	Doctor  doctorCmd  `cmd:"" help:"Look whether this host has what the verbs need, and how full the work folder is."`
	Clean   cleanCmd   `cmd:"" help:"Delete what the work folder holds."`
}

// app is what every verb gets: the streams, the global flags, and what is made from them.
type app struct {
	cli    *cli
	args   []string
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
	log    *slog.Logger

	tracker *tracker // of the verb's session; nil where it has none
}

func dispatch(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	var c cli
	var exited *int
	parser, err := kong.New(&c,
		kong.Name("series"),
		kong.Description("Takes a Linux kernel patch series from a directory of patches to a measured mailing-list thread.\n\n"+
			"The exit status is 0 when all is well, 1 for a finding about the series, 2 for bad usage or bad input, 3 when the rig failed and nothing was learned, 130 when it was interrupted."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { exited = &code }),
		kong.Vars{"version": version()},
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.PostBuild(emptyIsUnset),
	)
	if err != nil {
		return err
	}
	k, err := parser.Parse(args)
	if exited != nil { // --help or --version has printed what was asked for
		return nil
	}
	if err != nil {
		return usage("%v (see series --help)", err)
	}
	level := slog.LevelWarn
	if c.Verbose {
		level = slog.LevelDebug
	}
	a := &app{cli: &c, args: args, stdin: stdin, stdout: stdout, stderr: stderr,
		log: slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level}))}
	err = k.Run(a)
	a.tracker.close(exitCode(ctx, err), err)
	return err
}

// emptyIsUnset has kong pass over a variable that is there and empty, which for it is a bad number or truth value, and for
// whoever has written VAR= is none. The help names the variable all the same.
func emptyIsUnset(k *kong.Kong) error {
	return kong.Visit(k.Model, func(node kong.Visitable, next kong.Next) error {
		if flag, ok := node.(*kong.Flag); ok {
			for _, name := range slices.Clone(flag.Tag.Envs) {
				if v, ok := os.LookupEnv(name); ok && v == "" {
					flag.Tag.Envs = slices.DeleteFunc(flag.Tag.Envs, func(e string) bool { return e == name })
					flag.Help = strings.TrimSuffix(flag.Help, ".") + " ($" + name + ")."
				}
			}
		}
		return next(nil)
	})
}

// version is the module's version, or the commit that it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v, dirty := info.Main.Version, ""
	if v == "" || v == "(devel)" {
		v = "devel"
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision":
				v = s.Value[:min(12, len(s.Value))]
			case s.Key == "vcs.modified" && s.Value == "true":
				dirty = "+dirty"
			}
		}
	}
	return v + dirty
}

// work returns the work folder.
func (a *app) work() (string, error) {
	if a.cli.Work != "" {
		return filepath.Abs(a.cli.Work)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", usage("no cache folder (%v); name a work folder with --work", err)
	}
	return filepath.Join(dir, "series"), nil
}

// cache opens the work folder's cache.
func (a *app) cache() (*cache.Cache, error) {
	work, err := a.work()
	if err != nil {
		return nil, err
	}
	c, err := cache.Open(filepath.Join(work, "cache"))
	if err != nil {
		return nil, err
	}
	return c, a.tend(c)
}

// configs returns the folder of the config fragments.
func (a *app) configs() string {
	if a.cli.Configs != "" {
		return a.cli.Configs
	}
	return filepath.Join(a.root(), "configs")
}

// root is the folder that series.toml's paths of tests are relative to.
func (a *app) root() string {
	if a.cli.Root != "" {
		return a.cli.Root
	}
	return filepath.Dir(filepath.Clean(a.cli.Patches))
}

// printJSON prints v on standard output.
func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.stdout)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
