// SPDX-License-Identifier: Apache-2.0

package lint

import (
	"fmt"
	"slices"
	"strings"
)

// A Profile is what a tree asks for besides what all do.
type Profile struct {
	Name  string
	Title string
	// Docs, Trees and Lists are what the P:, T: and L: of a section in MAINTAINERS have in them where the profile is the
	// section's.
	Docs, Trees, Lists []string
	// Tags are the trees of which one has to stand in the subject, as in [PATCH net-next].
	Tags []string
	// CoverFrom is the number of patches from which on there must be a cover letter; 0 means 2.
	CoverFrom int
	// Strict makes errors of rules that elsewhere are advice: the size of a series and its cover letter.
	Strict bool
}

// Profiles are those that are known; the first is for all that no other is for.
var Profiles = []Profile{
	{Name: "default", Title: "what Documentation/process/submitting-patches.rst asks for"},
	{Name: "tip", Title: "the tip tree: x86, scheduler, locking, timers, perf, irq (process/maintainer-tip.rst)",
		Docs: []string{"maintainer-tip"}, Trees: []string{"/tip/tip.git"}},
	{Name: "kvm", Title: "KVM (process/maintainer-kvm-x86.rst)",
		Docs: []string{"maintainer-kvm-x86"}, Trees: []string{"/virt/kvm/", "/kvm-x86/"}, Lists: []string{"kvm@vger.kernel.org"}},
	{Name: "netdev", Title: "networking (process/maintainer-netdev.rst)",
		Docs: []string{"maintainer-netdev"}, Trees: []string{"/netdev/net.git", "/netdev/net-next.git"}, Lists: []string{"netdev@vger.kernel.org"},
		Tags: []string{"net", "net-next"}, CoverFrom: 3, Strict: true},
	{Name: "bpf", Title: "BPF (bpf/bpf_devel_QA.rst)",
		Docs: []string{"bpf_devel_QA"}, Trees: []string{"/bpf/bpf.git", "/bpf/bpf-next.git"}, Lists: []string{"bpf@vger.kernel.org"},
		Tags: []string{"bpf", "bpf-next", "net", "net-next"}, Strict: true},
	{Name: "audit", Title: "audit; it asks for nothing besides the default, by the README that its P: names",
		Docs: []string{"linux-audit/audit-kernel"}, Trees: []string{"/pcmoore/audit.git"}, Lists: []string{"audit@vger.kernel.org"}},
}

func profileByName(name string) *Profile {
	for i := range Profiles {
		if Profiles[i].Name == name {
			return &Profiles[i]
		}
	}
	return nil
}

// A Section is what MAINTAINERS has for a file: the values of the P:, T: and L: of one entry.
type Section struct {
	Docs, Trees, Lists []string
}

// Maintainers answers from MAINTAINERS.
type Maintainers interface {
	// Sections returns the entries for a file, without THE REST.
	Sections(path string) []Section
	// Recipients returns who has to get a patch to these files.
	Recipients(paths []string) []Recipient
	// Covered tells whether an entry besides THE REST is for a file.
	Covered(path string) bool
}

// A Recipient is somebody who has to get a patch, and why.
type Recipient struct {
	Person Person
	Reason string // such as "maintainer of AUDIT SUBSYSTEM"
}

// profile chooses: the one that was asked for, or one that is for at least half of the files, as a series that touches
// many trees goes through none of them. P: counts most, as it names the rules; of T: and L:, the tree says more than the
// list, which many entries share.
func (in *Input) profile(t *Thread) (*Profile, error) {
	if in.Profile != "" {
		p := profileByName(in.Profile)
		if p == nil {
			var names []string
			for _, p := range Profiles {
				names = append(names, p.Name)
			}
			return nil, fmt.Errorf("profile %s: there is none of that name (there are %s)", quote(in.Profile), strings.Join(names, ", "))
		}
		return p, nil
	}
	best := &Profiles[0]
	if in.Maintainers == nil {
		return best, nil
	}
	score, files, total := make([]int, len(Profiles)), make([]int, len(Profiles)), 0
	for _, m := range t.Patches {
		for _, path := range m.paths() {
			total++
			sections := in.Maintainers.Sections(path)
			for i, p := range Profiles {
				before := score[i]
				for _, s := range sections {
					score[i] += p.weight(s)
				}
				if score[i] > before {
					files[i]++
				}
			}
		}
	}
	for i := range score {
		if 2*files[i] < total {
			score[i] = 0
		}
	}
	for i, n := range score {
		if n > 0 && n == slices.Max(score) {
			return &Profiles[i], nil
		}
	}
	return best, nil
}

func (p *Profile) weight(s Section) int {
	has := func(values, parts []string) bool {
		return slices.ContainsFunc(values, func(v string) bool {
			return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(v, part) })
		})
	}
	switch {
	case has(s.Docs, p.Docs):
		return 3
	case has(s.Trees, p.Trees):
		return 2
	case has(s.Lists, p.Lists):
		return 1
	}
	return 0
}
