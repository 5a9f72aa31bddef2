// SPDX-License-Identifier: Apache-2.0

package linker

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Inputs says where the input objects of a linked file are. The zero value knows of none.
type Inputs struct {
	Dir    string   // kbuild's output folder
	Files  []string // object files and archives, for a link that is not kbuild's
	Script string   // the linker script; "" means kbuild's, where Dir is given
}

// A link is what a file has been linked from.
type link struct {
	objects []object
	script  *script
	as      string // the name under which the last link saw all of the objects, "" for their own
}

// errNoInputs says why there is nothing to be said about inputs.
type errNoInputs struct{ why string }

func (e *errNoInputs) Error() string { return e.why }

// find looks for what the file e has been linked from. An *errNoInputs says that it is not to be found.
func (in Inputs) find(e *elfFile, kind string) (*link, error) {
	var (
		l      *link
		err    error
		linked = "vmlinux"
	)
	switch {
	case len(in.Files) > 0:
		l, err = in.files()
	case in.Dir == "":
		return nil, &errNoInputs{"the input objects are not known; name kbuild's output folder, or the objects"}
	case kind == kindVmlinux:
		l, err = in.vmlinux(e)
	case kind == kindModule:
		l, linked, err = in.module(e)
	default:
		return nil, &errNoInputs{fmt.Sprintf("what %s has been linked from is not known to kbuild's output folder", e.path)}
	}
	if err != nil {
		return nil, err
	}
	if len(in.Files) == 0 {
		if err := l.unchanged(e.path, filepath.Join(in.Dir, linked)); err != nil {
			return nil, err
		}
	}
	if in.Script != "" {
		if l.script, err = readScript(in.Script); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// unchanged makes sure that the objects are still those of the link: a build that was broken off leaves the linked file of the
// build before it, and some objects of its own or none.
func (l *link) unchanged(what, linked string) error {
	fi, err := os.Stat(linked)
	if err != nil {
		return &errNoInputs{err.Error()}
	}
	for _, o := range l.objects {
		oi, err := os.Stat(o.path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return &errNoInputs{fmt.Sprintf("%s, which %s was linked from, is not there any more: a later build has begun", o.name, what)}
		case err != nil:
			return err
		case oi.ModTime().After(fi.ModTime()):
			return &errNoInputs{fmt.Sprintf("%s is newer than %s: it is that of a later build", o.name, what)}
		}
	}
	return nil
}

func (in Inputs) files() (*link, error) {
	l := &link{}
	for _, f := range in.Files {
		if !strings.HasSuffix(f, ".a") {
			l.objects = append(l.objects, object{name: f, path: f, size: -1})
			continue
		}
		all, err := members(f, 0)
		if err != nil {
			return nil, err
		}
		for i := range all {
			all[i].maybe = true
		}
		l.objects = append(l.objects, all...)
	}
	return l, nil
}

// same makes sure that the folder's file is the one that is looked at: another build's objects prove nothing.
func (in Inputs) same(e *elfFile, name string) error {
	id, err := readBuildID(e.File)
	if err != nil {
		return &errNoInputs{fmt.Sprintf("%s: %v, so whether it was linked from the objects in %s is not known", e.path, err, in.Dir)}
	}
	other, err := BuildID(filepath.Join(in.Dir, name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &errNoInputs{fmt.Sprintf("there is no %s", filepath.Join(in.Dir, name))}
	case err != nil:
		return &errNoInputs{err.Error()}
	case id != other:
		return &errNoInputs{fmt.Sprintf("the objects in %s are those of another build (%.12s, this is %.12s)", in.Dir, other, id)}
	}
	return nil
}

var archiveWord = regexp.MustCompile(`[^\s;]+\.a\b`)

// vmlinux finds what went into vmlinux: the members of vmlinux.a, what the linker took from the libraries that the command
// of vmlinux.o names, and the table of symbols, which kbuild links in last. All but that went through vmlinux.o.
func (in Inputs) vmlinux(e *elfFile) (*link, error) {
	if err := in.same(e, "vmlinux"); err != nil {
		return nil, err
	}
	l := &link{as: "vmlinux.o"}
	var err error
	if l.objects, err = members(filepath.Join(in.Dir, "vmlinux.a"), 0); err != nil {
		return nil, &errNoInputs{err.Error()}
	}
	cmd, err := os.ReadFile(filepath.Join(in.Dir, ".vmlinux.o.cmd"))
	if err != nil {
		return nil, &errNoInputs{err.Error()}
	}
	var libs []string
	for _, lib := range archiveWord.FindAllString(string(cmd), -1) {
		if filepath.Base(lib) == "vmlinux.a" || slices.Contains(libs, lib) {
			continue
		}
		libs = append(libs, lib)
		all, err := members(filepath.Join(in.Dir, lib), 0)
		if err != nil {
			return nil, &errNoInputs{err.Error()}
		}
		for _, o := range all {
			o.name, o.maybe = filepath.Join(filepath.Dir(lib), o.name), true
			l.objects = append(l.objects, o)
		}
	}
	if syms, _ := filepath.Glob(filepath.Join(in.Dir, ".tmp_vmlinux*.kallsyms.o")); len(syms) > 0 {
		last := slices.Max(syms)
		l.objects = append(l.objects, object{name: filepath.Base(last), path: last, size: -1})
	}
	scripts, _ := filepath.Glob(filepath.Join(in.Dir, "arch/*/kernel/vmlinux.lds"))
	if len(scripts) != 1 {
		return nil, &errNoInputs{fmt.Sprintf("%d linker scripts arch/*/kernel/vmlinux.lds in %s, want one", len(scripts), in.Dir)}
	}
	if l.script, err = readScript(scripts[0]); err != nil {
		return nil, &errNoInputs{err.Error()}
	}
	return l, nil
}

// module finds what went into a module: the objects that its .mod file lists, and what modpost made.
func (in Inputs) module(e *elfFile) (l *link, name string, err error) {
	if name, err = in.moduleName(e); err != nil {
		return nil, "", err
	}
	stem := strings.TrimSuffix(name, ".ko")
	list, err := os.ReadFile(filepath.Join(in.Dir, stem+".mod"))
	if err != nil {
		return nil, "", &errNoInputs{err.Error()}
	}
	l = &link{as: stem + ".o"}
	for _, o := range append(strings.Fields(string(list)), stem+".mod.o", ".module-common.o") {
		path := filepath.Join(in.Dir, o)
		if _, err := os.Stat(path); err != nil && o == ".module-common.o" {
			continue // since 6.12
		}
		l.objects = append(l.objects, object{name: o, path: path, size: -1})
	}
	if l.script, err = readScript(filepath.Join(in.Dir, "scripts/module.lds")); err != nil {
		return nil, "", &errNoInputs{err.Error()}
	}
	return l, name, nil
}

// moduleName finds the module in the folder: at the end of its path stands the folder's name for it.
func (in Inputs) moduleName(e *elfFile) (string, error) {
	abs, err := filepath.Abs(e.path)
	if err != nil {
		return "", err
	}
	parts := strings.Split(abs, "/")
	for i := 1; i < len(parts); i++ {
		name := filepath.Join(parts[i:]...)
		if _, err := os.Stat(filepath.Join(in.Dir, strings.TrimSuffix(name, ".ko")+".mod")); err == nil {
			return name, in.same(e, name)
		}
	}
	return "", &errNoInputs{fmt.Sprintf("%s is not one of the modules in %s", e.path, in.Dir)}
}
