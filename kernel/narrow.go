// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/seriesrig/series/kernel/kconfig"
)

// A narrowing says how to make a vmlinux without kbuild looking through all folders of the source for what to do, which
// takes longer than to compile what an average patch changes: which objects to compile, and which archives to make again,
// up to vmlinux.a. What follows from there is made as always.
//
// It is for patches that change C and assembler files and nothing else, where kbuild's own records say what is compiled from
// these, and all of that goes into vmlinux and nowhere else. Then make, asked for those objects alone, does what it would do
// on its way through everything. Whatever is not known to be so has kbuild look through everything.
type narrowing struct {
	objects  map[string][]string // to compile, by the folder whose makefile does so
	archives []string            // each before the one that has it as a part; vmlinux.a is the last
}

// folders are those whose makefiles have something to do.
func (n *narrowing) folders() []string { return slices.Sorted(maps.Keys(n.objects)) }

// wideSymbols are options with which something besides compilers reads source files or objects.
var wideSymbols = []string{"IKHEADERS", "HEADERS_INSTALL", "RUST", "TRIM_UNUSED_KSYMS", "LTO_CLANG", "MODVERSIONS", "DEBUG_INFO_BTF",
	"GCC_PLUGINS"}

// topRules are what the top makefile has to say, so that what narrowMake says instead comes to the same.
var topRules = []string{
	"\nbuild-dir\t:= .\n",
	"\nvmlinux.a: $(KBUILD_VMLINUX_OBJS) scripts/head-object-list.txt FORCE\n\t$(call if_changed,ar_vmlinux.a)\n",
	"\nvmlinux_o: vmlinux.a $(KBUILD_VMLINUX_LIBS)\n\t$(Q)$(MAKE) -f $(srctree)/scripts/Makefile.vmlinux_o\n",
	"\nvmlinux: vmlinux.o $(KBUILD_LDS) modpost\n\t$(Q)$(MAKE) -f $(srctree)/scripts/Makefile.vmlinux\n",
	"\n\t$(Q)$(MAKE) -f $(srctree)/scripts/Makefile.modpost\n",
	"\nvmlinux: private _LDFLAGS_vmlinux := $(LDFLAGS_vmlinux)\n",
}

// plainPath is a path that means the same to make, to a shell and to us.
var plainPath = regexp.MustCompile(`^[A-Za-z0-9_./+,=@-]+$`)

// narrow looks whether the job can be made in a narrow way, and says why where it cannot.
func (w *workplace) narrow(ctx context.Context, j Job, cfg *Config) (n *narrowing, why string, err error) {
	last := w.obj.stamp
	switch {
	case w.fresh != "":
		return nil, w.fresh, nil
	case !last.Linked:
		return nil, "the last build in its folder did not come to its end", nil
	case last.Base != w.src.Hash:
		return nil, "the last build in its folder was of another base", nil
	case !w.configured:
		return nil, "the last build in its folder had another configuration", nil
	case !slices.Equal(j.targets(), []string{"vmlinux"}):
		return nil, "modules are made, too", nil
	case !plainPath.MatchString(w.Dir) || !plainPath.MatchString(w.obj.dir):
		return nil, "the work folder's path has unusual characters", nil
	}
	for _, c := range last.Warnings { // the others are printed again, or carried over
		if ext := path.Ext(c.Origin); c.Origin != "" && ext != ".c" && ext != ".S" && ext != ".o" {
			return nil, "the last build warned of " + c.Origin, nil
		}
	}
	if why, err = wideConfig(cfg.Path); err != nil || why != "" {
		return nil, why, err
	}
	if why, err = w.wideMakefile(); err != nil || why != "" {
		return nil, why, err
	}
	names, why, err := w.plainChanges(ctx)
	if err != nil || why != "" {
		return nil, why, err
	}
	x, err := readObjects(w.obj.dir, names)
	if err != nil {
		return nil, "", err
	}
	n, why = x.narrow(w.Tree, names)
	return n, why, nil
}

func wideConfig(name string) (why string, err error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return "", err
	}
	resolved, err := kconfig.ParseConfig(bytes.NewReader(data), name)
	if err != nil {
		return "", err
	}
	for _, symbol := range wideSymbols {
		if v := resolved.Get(symbol); v == "y" || v == "m" {
			return "the configuration has " + symbol, nil
		}
	}
	return "", nil
}

func (w *workplace) wideMakefile() (why string, err error) {
	data, err := os.ReadFile(filepath.Join(w.Dir, "Makefile"))
	if err != nil {
		return "", err
	}
	for _, rule := range topRules {
		if !bytes.Contains(data, []byte(rule)) {
			return "the source's Makefile does not make vmlinux in the way that is known: it has no " + strconv.Quote(strings.TrimSpace(rule)), nil
		}
	}
	return "", nil
}

// plainChanges lists what has changed since the last build, where all of it are C and assembler files that were there before
// and are there now, and that no makefile names.
func (w *workplace) plainChanges(ctx context.Context) (names []string, why string, err error) {
	changed := slices.Sorted(maps.Keys(w.obj.changed(w.Tree)))
	m, err := w.src.manifest()
	if err != nil {
		return nil, "", err
	}
	named, err := w.namedInMakefiles(ctx)
	if err != nil {
		return nil, "", err
	}
	links, err := w.linkedTo(m)
	if err != nil {
		return nil, "", err
	}
	for _, name := range changed {
		if isText(name) {
			continue
		}
		if why := w.wide(m, name); why != "" {
			return nil, name + " " + why, nil
		}
		if link, ok := links[name]; ok {
			return nil, link + " leads to " + name, nil
		}
		if as := named.has(name); as != "" {
			return nil, "a makefile or script names " + as, nil
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return nil, "no file that is compiled has changed", nil
	}
	return names, "", nil
}

// linkedTo finds the files that a symbolic link leads to, by whose name a compiler may have got them.
func (w *workplace) linkedTo(m *manifest) (links map[string]string, err error) {
	root, err := filepath.EvalSymlinks(w.Dir)
	if err != nil {
		return nil, err
	}
	links = map[string]string{}
	add := func(name string) {
		if full, err := filepath.EvalSymlinks(filepath.Join(root, name)); err == nil {
			links[strings.TrimPrefix(full, root+"/")] = name
		}
	}
	for _, e := range m.entries {
		if e.mode == modeLink {
			add(e.path)
		}
	}
	for name, f := range w.state.Files {
		if f.Mode == modeLink {
			add(name)
		}
	}
	return links, nil
}

// isText tells whether a file is nothing to kbuild.
func isText(name string) bool {
	if strings.HasPrefix(name, "Documentation/") {
		return slices.Contains([]string{".rst", ".txt", ".yaml"}, path.Ext(name))
	}
	return name == "MAINTAINERS" || name == "CREDITS" || strings.HasPrefix(name, "tools/testing/selftests/")
}

// wide says why a changed file may have a say in more than in what is compiled from it.
func (w *workplace) wide(m *manifest, name string) string {
	switch path.Ext(name) {
	case ".c", ".h", ".S":
	default:
		return "has changed, which is neither C nor assembler"
	}
	base, inBase := m.find(name)
	was := base.mode
	if what, ok := w.obj.stamp.Files[name]; ok {
		mode, _, _ := strings.Cut(what, " ")
		n, err := strconv.ParseUint(mode, 8, 32)
		if err != nil {
			return "was of an unknown form"
		}
		was = uint32(n)
	} else if !inBase {
		was = 0
	}
	now := was
	if f, ok := w.state.Files[name]; ok {
		now = f.Mode
	} else if inBase {
		now = base.mode
	}
	_, copied := m.find("tools/" + name)
	switch top, _, _ := strings.Cut(name, "/"); {
	case was == 0:
		return "is new"
	case now == 0:
		return "is gone"
	case was != modeFile || now != modeFile:
		return "is not an ordinary file"
	case strings.HasSuffix(name, ".lds.S") || strings.HasSuffix(name, ".lds.h"):
		return "is of the linker's script"
	case copied:
		return "has a copy in tools"
	case top == "scripts" || top == "tools" || top == "usr" || top == "certs" || top == "rust" || top == "samples" || !plainPath.MatchString(name):
		return "may be more than a part of the kernel"
	}
	return ""
}

// An objects index is what kbuild's records in an output folder say.
type objects struct {
	dir     string
	parts   map[string]string // an object or archive -> the archive that it is a part of
	twice   map[string]bool   // those that are a part of two
	records []record
}

// A record is one of the files in which kbuild keeps how a target was made, and from what.
type record struct {
	path   string // relative to the output folder
	target string // "" for what is not a target's record
	data   []byte
}

var (
	builtinForm = regexp.MustCompile(`^savedcmd_(\S+/)?built-in\.a := rm -f (\S+);\s+printf "([^"%\s]*)%s " (.*) \| xargs \S+ cDPrST (\S+)\s*$`)
	libForm     = regexp.MustCompile(`^savedcmd_(\S+/)?lib\.a := rm -f (\S+); \S+ cDPrsT (\S+) (.*)$`)
	vmlinuxForm = regexp.MustCompile(`^savedcmd_vmlinux\.a := rm -f vmlinux\.a; \S+ cDPrST vmlinux\.a ([^;|&]*);`)
)

// readObjects reads the records of an output folder: those of archives, and those that may name one of some files.
func readObjects(dir string, names []string) (*objects, error) {
	x := &objects{dir: dir, parts: map[string]string{}, twice: map[string]bool{}}
	var bases [][]byte
	for _, name := range names {
		bases = append(bases, []byte("/"+path.Base(name)))
	}
	var err error
	x.records, err = readRecords(dir, func(r record) bool {
		return path.Ext(r.target) == ".a" || slices.ContainsFunc(bases, func(b []byte) bool { return bytes.Contains(r.data, b) })
	})
	if err != nil {
		return nil, err
	}
	for _, r := range x.records {
		line, _, _ := bytes.Cut(r.data, []byte{'\n'})
		switch path.Base(r.target) {
		case "built-in.a":
			if m := builtinForm.FindStringSubmatch(string(line)); m != nil && m[2] == r.target && m[5] == r.target {
				x.add(r.target, m[3], m[4])
			}
		case "lib.a":
			if m := libForm.FindStringSubmatch(string(line)); m != nil && m[2] == r.target && m[3] == r.target {
				x.add(r.target, "", m[4])
			}
		case "vmlinux.a":
			if m := vmlinuxForm.FindStringSubmatch(string(line)); m != nil {
				x.add(r.target, "", m[1])
			}
		}
	}
	return x, nil
}

func (x *objects) add(archive, prefix, list string) {
	for _, part := range strings.Fields(list) {
		part = path.Clean(prefix + part)
		if _, ok := x.parts[part]; ok {
			x.twice[part] = true
		}
		x.parts[part] = archive
	}
}

// narrow finds what is compiled from the files of a tree, and the way of it into vmlinux.a.
func (x *objects) narrow(t *Tree, names []string) (n *narrowing, why string) {
	n = &narrowing{objects: map[string][]string{}}
	users := map[string]bool{}
	for _, name := range names {
		found := false
		for _, r := range x.records {
			uses, why := x.uses(t, r, name)
			if why != "" {
				return nil, why
			}
			if !uses {
				continue
			}
			if _, ok := x.parts[r.target]; !ok || path.Ext(r.target) != ".o" || x.twice[r.target] || !plainPath.MatchString(r.target) {
				return nil, name + " has a say in " + r.path + ", which is no object of an archive"
			}
			found = true
			users[r.target] = true
		}
		if !found {
			return nil, "nothing is known to be compiled from " + name
		}
	}
	depth := map[string]int{}
	for _, target := range slices.Sorted(maps.Keys(users)) {
		archive := x.parts[target]
		n.objects[path.Dir(archive)] = append(n.objects[path.Dir(archive)], target)
		for i := 0; archive != "vmlinux.a"; i++ {
			up, ok := x.parts[archive]
			if !ok || x.twice[archive] || i > 99 || !plainPath.MatchString(archive) {
				return nil, archive + " is not known to be in vmlinux.a"
			}
			depth[archive] = strings.Count(archive, "/") + 1
			archive = up
		}
	}
	n.archives = append(slices.SortedFunc(maps.Keys(depth), func(a, b string) int {
		if depth[a] != depth[b] {
			return depth[b] - depth[a]
		}
		return strings.Compare(a, b)
	}), "vmlinux.a")
	for i, a := range n.archives { // a part always is deeper than the whole, unless a makefile is an unusual one
		if up := x.parts[a]; slices.Contains(n.archives[:i], up) {
			return nil, a + " is a part of " + up
		}
	}
	return n, ""
}

// uses tells whether a record names a file of the tree. It is not sure, and says why, where a name may be that of the file.
func (x *objects) uses(t *Tree, r record, name string) (uses bool, why string) {
	base := []byte("/" + path.Base(name))
	for rest := r.data; ; {
		i := bytes.Index(rest, base)
		if i < 0 {
			return uses, ""
		}
		start := bytes.LastIndexAny(rest[:i], wordEnds) + 1
		end := i + len(base)
		word, after := string(rest[start:end]), rest[end:]
		rest = after
		if len(after) > 0 && !strings.ContainsRune(wordEnds, rune(after[0])) { // the name goes on
			continue
		}
		switch is, sure := x.names(t, word, name); {
		case !sure:
			return false, fmt.Sprintf("%s names %s, which may be %s", r.path, word, name)
		case is && strings.HasPrefix(r.path, "tools/"):
			return false, name + " has a say in " + r.path
		case is:
			uses = true
		}
	}
}

// wordEnds are what cannot be in a path of a record.
const wordEnds = " \t\n\\:;\"'()|,=<>&"

// names tells whether a word of a record, which is relative to the output folder, means a file of the tree.
func (x *objects) names(t *Tree, word, name string) (is, sure bool) {
	full := word
	if !filepath.IsAbs(full) {
		full = x.dir + "/" + word
	}
	full = filepath.Clean(full)
	in, ok := strings.CutPrefix(full, t.Dir+"/")
	if !ok {
		return false, true // generated, or the host's
	}
	if in == name {
		return true, true
	}
	m, err := t.src.manifest()
	if err != nil {
		return false, false
	}
	// Another file of that name, unless the path leads through a link.
	if f, ok := t.state.Files[in]; ok {
		return false, f.Mode == modeFile || f.Mode == modeExec
	}
	e, ok := m.find(in)
	return false, ok && e.mode != modeLink
}
