// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/seriesrig/series/internal/cache"
	"github.com/seriesrig/series/internal/run"
)

// kbuild's makefiles below the top one live on what that one exports. envGoal is a target that is slipped into it and writes
// that down; it is there in the make only that is about to build, and not in those that call it.
const (
	envGoal = "series-env"
	envMake = `ifneq ($(filter --no-print-directory,$(MAKEFLAGS)),)
.PHONY: series-env
series-env: export SERIES_LDFLAGS_vmlinux = $(LDFLAGS_vmlinux)
series-env:
	@env -0 > %s
endif
`
)

// A topEnv is what the top makefile exports to those that make a vmlinux.
type topEnv struct {
	Key string   `json:"key"` // what it is made from
	Env []string `json:"env"`
}

// topEnv returns the environment of a build's makefiles: from an earlier time, if nothing that it is made from has changed.
func (b *Builder) topEnv(ctx context.Context, w *workplace, j Job, cfg *Config) (env []string, err error) {
	c := b.make(w.Tree, w.obj.dir, j, w.tools)
	others := map[string]string{} // what is not C or assembler may be a makefile, or a script that one calls
	for name, what := range treeFiles(w.Tree) {
		if ext := path.Ext(name); ext != ".c" && ext != ".h" && ext != ".S" || strings.HasPrefix(name, "scripts/") {
			others[name] = what
		}
	}
	parts := slices.Concat([]string{"env 1", w.setup, w.src.Hash, cfg.Hash}, c.Args, c.Env, j.MakeArgs)
	for _, name := range slices.Sorted(maps.Keys(others)) {
		parts = append(parts, name, others[name])
	}
	key := cache.KeyOf(parts...)
	kept := w.obj.dir + ".env"
	var known topEnv
	if data, err := os.ReadFile(kept); err == nil && json.Unmarshal(data, &known) == nil && known.Key == key {
		return known.Env, nil
	}
	out, slip := w.obj.dir+".env.out", w.obj.dir+".env.mk"
	defer os.Remove(out)
	defer os.Remove(slip)
	if err := os.Remove(out); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := os.WriteFile(slip, fmt.Appendf(nil, envMake, out), 0o644); err != nil {
		return nil, err
	}
	c.Args = append(append(c.Args, j.MakeArgs...), envGoal)
	c.Env = append(c.Env, "MAKEFILES="+slip)
	if err := c.Run(ctx); err != nil {
		return nil, err
	}
	data, err := os.ReadFile(out)
	if err != nil {
		return nil, err
	}
	if env, err = cleanTopEnv(data); err != nil {
		return nil, err
	}
	return env, writeJSON(kept, topEnv{key, env})
}

// cleanTopEnv takes out of an environment what belongs to the one make that it was got from.
func cleanTopEnv(data []byte) (env []string, err error) {
	seen := map[string]string{}
	for v := range bytes.SplitSeq(data, []byte{0}) {
		name, value, ok := strings.Cut(string(v), "=")
		switch {
		case !ok || name == "MAKEFILES" || name == "MFLAGS" || name == "MAKEOVERRIDES" || name == "MAKELEVEL" || name == "_":
			continue
		case name == "MAKEFLAGS":
			flags, vars, ok := strings.Cut(value, " -- ")
			if !ok {
				return nil, fmt.Errorf("make exports flags without the variables of its command line: %q", value)
			}
			list := slices.DeleteFunc(strings.Fields(flags), func(f string) bool {
				return strings.HasPrefix(f, "-j") || strings.HasPrefix(f, "--jobserver")
			})
			value = strings.Join(append(list, "--", vars), " ")
		}
		seen[name] = value
		env = append(env, name+"="+value)
	}
	for _, name := range []string{"MAKEFLAGS", "srctree", "objtree", "CC", "LD", "AR", "KBUILD_CFLAGS", "KBUILD_LDS", "SERIES_LDFLAGS_vmlinux"} {
		if seen[name] == "" {
			return nil, fmt.Errorf("the source's Makefile exports no %s", name)
		}
	}
	if seen["sub_make_done"] != "1" || seen["KBUILD_BUILTIN"] == "" || seen["KBUILD_MODULES"] != "" || seen["KBUILD_EXTMOD"] != "" {
		return nil, errors.New("the source's Makefile exports what is not for vmlinux")
	}
	slices.Sort(env)
	return env, nil
}

// makefile is what the top makefile says, reduced to what there is to do.
func (n *narrowing) makefile() []byte {
	var b bytes.Buffer
	b.WriteString("# Written by series.\ninclude")
	for _, a := range n.archives {
		b.WriteString(" " + recordOf(a))
	}
	b.WriteString("\n\n.PHONY: vmlinux archives")
	for _, f := range n.folders() {
		b.WriteString(" in/" + f)
	}
	b.WriteString("\nvmlinux: archives\n" +
		"\t@$(MAKE) -f $(srctree)/scripts/Makefile.vmlinux_o\n" +
		"\t@$(MAKE) -f $(srctree)/scripts/Makefile.modpost\n" +
		"\t@LDFLAGS_vmlinux=\"$(SERIES_LDFLAGS_vmlinux)\" $(MAKE) -f $(srctree)/scripts/Makefile.vmlinux\n\narchives:")
	for _, f := range n.folders() {
		b.WriteString(" in/" + f)
	}
	b.WriteString("\n")
	for _, a := range n.archives {
		fmt.Fprintf(&b, "\t@echo '  AR      %s'\n\t@set -e; $(savedcmd_%s)\n", a, a)
	}
	for _, f := range n.folders() {
		fmt.Fprintf(&b, "\nin/%s:\n\t@$(MAKE) -f $(srctree)/scripts/Makefile.build obj=%s need-builtin=1 need-modorder=1 %s\n", f, f, strings.Join(n.objects[f], " "))
	}
	return b.Bytes()
}

// recordOf is where kbuild keeps how a target is made.
func recordOf(target string) string { return path.Join(path.Dir(target), "."+path.Base(target)+".cmd") }

// commands reads the commands by which what a narrowing makes was made last.
func (n *narrowing) commands(dir string) (map[string]string, error) {
	targets := slices.Concat(n.archives, []string{"vmlinux.o", "vmlinux.symvers", "vmlinux"})
	for _, list := range n.objects {
		targets = append(targets, list...)
	}
	all := map[string]string{}
	for _, t := range targets {
		data, err := os.ReadFile(filepath.Join(dir, recordOf(t)))
		if err != nil {
			return nil, err
		}
		line, _, _ := bytes.Cut(data, []byte{'\n'})
		if !bytes.HasPrefix(line, []byte("savedcmd_"+t+" := ")) {
			return nil, fmt.Errorf("%s has no command of %s", recordOf(t), t)
		}
		all[t] = string(line)
	}
	return all, nil
}

// errNotNarrow says that what came of a narrow build is not to be used. Nothing is lost: kbuild finds out by itself what is
// left to be done.
type errNotNarrow struct{ why string }

func (e *errNotNarrow) Error() string { return e.why }

// runNarrow makes vmlinux in a narrow way. Each command has to be the one by which the same target was made before, when
// kbuild looked through everything: then the environment was right.
func (b *Builder) runNarrow(ctx context.Context, w *workplace, j Job, cfg *Config, n *narrowing, log string) (*logParser, error) {
	var p *logParser
	no := func(err error) (*logParser, error) {
		if ctx.Err() != nil {
			return nil, err
		}
		return p, &errNotNarrow{err.Error()}
	}
	env, err := b.topEnv(ctx, w, j, cfg)
	if err != nil {
		return no(err)
	}
	before, err := n.commands(w.obj.dir)
	if err != nil {
		return no(err)
	}
	driver := w.obj.dir + ".narrow.mk"
	if err := os.WriteFile(driver, n.makefile(), 0o644); err != nil {
		return nil, err
	}
	defer os.Remove(driver)
	c := b.make(w.Tree, w.obj.dir, j, w.tools)
	c.Args, c.Env, c.Dir = []string{"-f", driver, "-j" + strconv.Itoa(b.jobs()), "vmlinux"}, env, w.obj.dir
	if p, err = b.logged(ctx, w, j, log, c); err != nil {
		var xe *run.ExitError
		if !errors.As(err, &xe) || xe.Signal != 0 || p.killed {
			return p, err // nor would another make do better
		}
		return no(err)
	}
	after, err := n.commands(w.obj.dir)
	if err != nil {
		return no(err)
	}
	for t := range after {
		if before[t] != after[t] {
			return no(fmt.Errorf("%s was made by another command than before", t))
		}
	}
	return p, nil
}
