// SPDX-License-Identifier: Apache-2.0

package maintainers

import (
	"cmp"
	"errors"
	"net/mail"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/seriesrig/series/patches"
)

// A Role is the strongest reason that somebody has to get a mail.
type Role string

// Roles, the strongest first. Whoever is only found by a keyword is not among the maintainers: they did not ask for the
// file, and do not take patches to it.
const (
	Maintainer Role = "maintainer" // an M entry of a section that the path belongs to, whatever the section's status
	Reviewer   Role = "reviewer"   // an R entry
	Keyword    Role = "keyword"    // an M or R entry of a section whose K matches what the patch says
	InFile     Role = "in file"    // named in a device-tree binding that the patch touches
	List       Role = "list"
	Trailer    Role = "trailer"  // named in a trailer of the patch
	Blamed     Role = "blamed"   // wrote the commit that the patch fixes
	Answered   Role = "answered" // answered an earlier version
)

var roles = []Role{Maintainer, Reviewer, Keyword, InFile, List, Trailer, Blamed, Answered}

// A Recipient is an address and why it gets mail.
type Recipient struct {
	Address mail.Address
	Role    Role
	Reasons []string // "supporter:AUDIT SUBSYSTEM", as get_maintainer.pl says it; its own reason is the first
}

func (r *Recipient) add(role Role, reasons ...string) {
	for _, reason := range reasons {
		if !slices.Contains(r.Reasons, reason) {
			r.Reasons = append(r.Reasons, reason)
		}
	}
	if r.Role == "" || slices.Index(roles, role) < slices.Index(roles, r.Role) {
		r.Role = role
	}
}

// A Finder finds the recipients of patches. It keeps what it has found, and is for one goroutine.
type Finder struct {
	File    *File
	Mailmap *Mailmap       // may be nil
	Tree    patches.Source // the kernel: which folders there are, and what bindings say; may be nil
	// Subscribers adds the lists that take no mail from others than their subscribers.
	Subscribers bool

	index   *index
	folders map[string]bool
	found   map[string][]*Section
	used    map[*Section]bool
}

// Paths returns who is to be told about changes to paths, relative to the kernel's top, as get_maintainer.pl -f does.
func (f *Finder) Paths(paths ...string) []Recipient { return f.collect(paths, nil) }

// Patch returns who is to get a patch by its paths and by the keywords in it.
func (f *Finder) Patch(p *patches.Patch) []Recipient {
	s := f.scan(string(p.Raw))
	return f.collect(s.paths, s.hits)
}

// Warnings returns what of the file might have changed the answers so far and could not be used.
func (f *Finder) Warnings() []Warning {
	return slices.DeleteFunc(slices.Clone(f.File.Warnings), func(w Warning) bool { return !w.always && !f.used[w.section] })
}

// An indexed is an F entry with its section.
type indexed struct {
	section int
	file    *pattern
}

// An index finds the patterns that a path may match by the path's first folder.
type index struct {
	byTop map[string][]indexed
	other []indexed
}

func newIndex(file *File) *index {
	x := &index{byTop: map[string][]indexed{}}
	for i, s := range file.Sections {
		for _, p := range s.files {
			if top, _, ok := strings.Cut(p.prefix, "/"); ok && p.re == nil {
				x.byTop[top] = append(x.byTop[top], indexed{i, p})
			} else {
				x.other = append(x.other, indexed{i, p})
			}
		}
	}
	return x
}

// sections returns the sections that a path belongs to, the closest first.
func (f *Finder) sections(name string) []*Section {
	if s, ok := f.found[name]; ok {
		return s
	}
	if f.index == nil {
		f.index, f.found, f.folders = newIndex(f.File), map[string][]*Section{}, map[string]bool{}
	}
	// Of several entries of a section the last one that matches gives the rank.
	type hit struct{ section, line, rank int }
	hits := map[int]hit{}
	note := func(section, line, rank int) {
		if h, ok := hits[section]; !ok || h.line < line {
			hits[section] = hit{section, line, rank}
		}
	}
	top, _, _ := strings.Cut(name, "/")
	for _, list := range [][]indexed{f.index.byTop[top], f.index.other} {
		for _, x := range list {
			if x.file.matches(name, f.isFolder) {
				note(x.section, x.file.line, x.file.rank)
			}
		}
	}
	lower := strings.ToLower(name)
	for i, s := range f.File.Sections {
		for _, re := range s.names {
			if possible(lower, re.words) && re.anywhere.MatchString(name) {
				note(i, re.line, 0)
			}
		}
	}
	var all []hit
	for _, h := range hits {
		excluded := slices.ContainsFunc(f.File.Sections[h.section].excludes, func(p *pattern) bool { return p.matches(name, f.isFolder) })
		if !excluded {
			all = append(all, h)
		}
	}
	slices.SortFunc(all, func(a, b hit) int { return cmp.Or(cmp.Compare(b.rank, a.rank), cmp.Compare(a.section, b.section)) })
	sections := []*Section{}
	for _, h := range all {
		sections = append(sections, f.File.Sections[h.section])
	}
	f.found[name] = sections
	return sections
}

// isFolder tells whether the tree has a folder of that name.
func (f *Finder) isFolder(name string) bool {
	known, ok := f.folders[name]
	if !ok {
		if clean := path.Clean(name); f.Tree != nil && clean != "." && clean != ".." && !strings.HasPrefix(clean, "../") && clean[0] != '/' {
			_, err := f.Tree.ReadFile(clean)
			known = errors.Is(err, syscall.EISDIR)
		}
		f.folders[name] = known
	}
	return known
}

// A candidate is somebody who is to get mail, on the way to be a Recipient.
type candidate struct {
	addr addr
	Recipient
}

// A collector gathers candidates. The same name or the same address is the same person, and the first of a person's
// addresses is used.
type collector struct {
	people    []*candidate
	byName    map[string]*candidate
	byAddress map[string]*candidate
	lists     []*candidate
	byList    map[string]*candidate
}

func (f *Finder) collect(paths []string, hits []keywordHit) []Recipient {
	c := &collector{byName: map[string]*candidate{}, byAddress: map[string]*candidate{}, byList: map[string]*candidate{}}
	var inFile []addr
	for _, name := range paths {
		for _, s := range f.sections(name) {
			f.section(c, s, "", Maintainer)
		}
		inFile = append(inFile, f.inFile(name)...)
	}
	for _, h := range hits {
		f.section(c, h.section, ":Keyword:"+h.re.source, Keyword)
	}
	f.unify(c)
	c.people = slices.DeleteFunc(c.people, func(p *candidate) bool { return strings.Contains(p.addr.String(), penguin) })
	for _, a := range inFile {
		c.person(f.Mailmap.apply(a), InFile, "in file")
	}
	return c.merge()
}

// penguin is left out: whoever maintains all of the kernel does not want to be asked about each file of it.
const penguin = "Linus Torvalds <torvalds@linux-foundation.org>"

// section adds what a section says.
func (f *Finder) section(c *collector, s *Section, suffix string, role Role) {
	if f.used == nil {
		f.used = map[*Section]bool{}
	}
	f.used[s] = true
	for _, p := range s.people {
		as, what := role, s.role()
		if p.reviewer {
			what = "reviewer"
			if role == Maintainer {
				as = Reviewer
			}
		}
		c.person(p.addr, as, what+":"+s.short()+suffix)
	}
	for _, l := range s.lists {
		if l.kind == "subscriber" && !f.Subscribers {
			continue
		}
		reason := l.kind + " list"
		if name := s.short(); name != "THE REST" {
			reason += ":" + name
		}
		c.list(l.addr, reason+suffix)
	}
}

// person adds somebody, or a reason for somebody who is there.
func (c *collector) person(a addr, role Role, reason string) {
	name, address := strings.ToLower(a.name), strings.ToLower(a.address)
	have := c.byAddress[address]
	if name != "" && c.byName[name] != nil {
		have = c.byName[name]
	}
	if have == nil {
		have = &candidate{addr: a}
		c.people = append(c.people, have)
		if name != "" {
			c.byName[name] = have
		}
		c.byAddress[address] = have
	}
	have.add(role, reason)
}

func (c *collector) list(a addr, reason string) {
	key := strings.ToLower(a.address)
	have := c.byList[key]
	if have == nil {
		have = &candidate{addr: a}
		c.lists = append(c.lists, have)
		c.byList[key] = have
	}
	have.add(List, reason)
}

// unify applies the mailmap, after which two addresses may have become one.
func (f *Finder) unify(c *collector) {
	byName, byAddress := map[string]addr{}, map[string]addr{}
	for _, p := range slices.Concat(c.people, c.lists) {
		a := f.Mailmap.apply(p.addr)
		name, address := strings.ToLower(a.name), strings.ToLower(a.address)
		known, ok := byName[name]
		if !ok || name == "" {
			known, ok = byAddress[address]
		}
		if ok {
			a = known
		} else {
			byName[name], byAddress[address] = a, a
		}
		p.addr = f.Mailmap.apply(a)
	}
}

// merge makes the answer: people first, each address once.
func (c *collector) merge() []Recipient {
	var out []Recipient
	at := map[string]int{}
	for _, p := range slices.Concat(c.people, c.lists) {
		key := p.addr.String()
		i, ok := at[key]
		if !ok {
			i = len(out)
			at[key] = i
			out = append(out, Recipient{Address: p.addr.mail()})
		}
		out[i].add(p.Role, p.Reasons...)
	}
	return out
}
