// SPDX-License-Identifier: Apache-2.0

package maintainers

import (
	"io/fs"
	"net/mail"
	"slices"
	"strings"
	"syscall"

	"github.com/seriesrig/series/patches"
)

// A Planner plans who gets which mail of a series. The zero value plus Tree works.
type Planner struct {
	// Tree is the kernel without the series.
	Tree patches.Source
	// Applied is the series on it: a patch that adds an entry to MAINTAINERS is sent by that entry. Without it the tree
	// is taken as it is.
	Applied *patches.Result
	// Stable makes a recipient of stable@ where a patch has it in a Cc: trailer. By custom it stays a trailer, which the
	// stable maintainers look for once the patch is in mainline.
	Stable bool
	// Subscribers is as in Finder.
	Subscribers bool
}

// A Plan says who gets which mail.
type Plan struct {
	Cover    []Recipient   // whoever gets any of the patches
	Patches  [][]Recipient // of each patch
	Warnings []Warning     // what of MAINTAINERS could not be used and might have mattered
}

// Plan finds the recipients of each patch, in the tree as it is after that patch.
func (p Planner) Plan(ps []*patches.Patch) (*Plan, error) {
	plan := &Plan{Patches: make([][]Recipient, 0, len(ps))}
	tree := &overlay{base: p.Tree}
	var f *Finder
	var all union
	for i, patch := range ps {
		reread := f == nil
		if p.Applied != nil {
			tree.files = p.Applied.Files(i + 1)
			changed := p.Applied.Patches[i].Changed
			for _, name := range []string{"MAINTAINERS", ".mailmap"} {
				_, there := changed[name]
				reread = reread || there
			}
		}
		if reread {
			var err error
			if f, err = Open(tree); err != nil {
				return nil, err
			}
			f.Subscribers = p.Subscribers
		}
		f.forgetFolders()
		var mine union
		mine.add(f.Patch(patch))
		mine.add(trailers(patch))
		if !p.Stable {
			mine = slices.DeleteFunc(mine, func(r Recipient) bool { return IsStable(r.Address.Address) })
		}
		plan.Patches = append(plan.Patches, mine)
		all.add(mine)
		for _, w := range f.Warnings() {
			if !slices.ContainsFunc(plan.Warnings, func(have Warning) bool { return have.String() == w.String() }) {
				plan.Warnings = append(plan.Warnings, w)
			}
		}
	}
	plan.Cover = all
	return plan, nil
}

// Add adds a recipient of patch n; 1 is the first. An address that could be something else in a header is an error.
func (p *Plan) Add(n int, address mail.Address, role Role, reason string) error {
	a := newAddr(address.Name, address.Address)
	if err := a.check(); err != nil {
		return err
	}
	one := []Recipient{{Address: a.mail(), Role: role, Reasons: []string{reason}}}
	mine, all := union(p.Patches[n-1]), union(p.Cover)
	mine.add(one)
	all.add(one)
	p.Patches[n-1], p.Cover = mine, all
	return nil
}

// IsStable tells the addresses of the stable tree: a patch is marked with them, and not sent to them.
func IsStable(address string) bool {
	local, domain, _ := strings.Cut(strings.ToLower(address), "@")
	local, _, _ = strings.Cut(local, "+")
	return local == "stable" && (domain == "vger.kernel.org" || domain == "kernel.org")
}

// A union is a list of recipients, each address once.
type union []Recipient

func (u *union) add(list []Recipient) {
	for _, r := range list {
		i := slices.IndexFunc(*u, func(have Recipient) bool { return strings.EqualFold(have.Address.Address, r.Address.Address) })
		if i < 0 {
			i = len(*u)
			*u = append(*u, Recipient{Address: r.Address})
		}
		(*u)[i].add(r.Role, r.Reasons...)
	}
}

// trailers returns the people that a patch names in its Cc: and its ...-by: trailers.
func trailers(p *patches.Patch) []Recipient {
	var out union
	for _, t := range p.Trailers {
		if key := strings.ToLower(t.Key); key != "cc" && !strings.HasSuffix(key, "-by") {
			continue
		}
		text, _, _ := strings.Cut(t.Value, " #") // Cc: stable@vger.kernel.org # 6.12+
		for _, one := range splitAddresses(text) {
			if a := parseEmail(one); a.check() == nil {
				out.add([]Recipient{{Address: a.mail(), Role: Trailer, Reasons: []string{t.Key + " trailer"}}})
			}
		}
	}
	return out
}

// To tells whether a recipient goes into To: and not into Cc:. By custom that is for whoever is to take the patch.
func (r Recipient) To() bool { return r.Role == Maintainer }

// Headers returns the To: and the Cc: of a mail: those that the series itself names, where it names them, and the found
// ones. No address is in both, or twice.
func Headers(to, cc []mail.Address, found []Recipient) (allTo, allCc []mail.Address) {
	seen := map[string]bool{}
	add := func(list *[]mail.Address, a mail.Address) {
		if key := strings.ToLower(a.Address); !seen[key] {
			seen[key] = true
			*list = append(*list, a)
		}
	}
	for _, a := range to {
		add(&allTo, a)
	}
	for _, a := range cc {
		add(&allCc, a)
	}
	for _, r := range found {
		if r.To() {
			add(&allTo, r.Address)
		} else {
			add(&allCc, r.Address)
		}
	}
	return allTo, allCc
}

// forgetFolders forgets which folders there are, and with them what they led to.
func (f *Finder) forgetFolders() {
	if len(f.folders) > 0 {
		f.folders, f.found = map[string]bool{}, map[string][]*Section{}
	}
}

// An overlay is a tree with some files changed.
type overlay struct {
	base  patches.Source
	files map[string]*patches.File
}

// ReadFile implements patches.Source.
func (o *overlay) ReadFile(name string) (*patches.File, error) {
	if f, ok := o.files[name]; ok {
		if f == nil {
			return nil, &fs.PathError{Op: "read", Path: name, Err: fs.ErrNotExist}
		}
		return f, nil
	}
	for other, f := range o.files {
		if f != nil && strings.HasPrefix(other, name+"/") {
			return nil, &fs.PathError{Op: "read", Path: name, Err: syscall.EISDIR}
		}
	}
	return o.base.ReadFile(name)
}
