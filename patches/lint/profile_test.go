// SPDX-License-Identifier: Apache-2.0

package lint_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seriesrig/series/patches/lint"
)

// sections stands for MAINTAINERS: what it has for each path.
type sections map[string][]lint.Section

func (s sections) Sections(path string) []lint.Section      { return s[path] }
func (s sections) Recipients([]string) (r []lint.Recipient) { return nil }
func (s sections) Covered(path string) bool                 { return len(s[path]) > 0 }
func doc(v string) lint.Section                             { return lint.Section{Docs: []string{v}} }
func tree(v string) lint.Section                            { return lint.Section{Trees: []string{v}} }
func list(v string) lint.Section                            { return lint.Section{Lists: []string{v}} }
func touching(paths ...string) (out []*lint.Message, e error) {
	s := head + "\nIt wraps.\n\nSigned-off-by: Ann Author <ann@example.org>\n---\n"
	for _, p := range paths {
		s += fmt.Sprintf("diff --git a/%[1]s b/%[1]s\n--- a/%[1]s\n+++ b/%[1]s\n@@ -1 +1 @@\n-old\n+new\n", p)
	}
	return lint.Read("in", strings.NewReader(s))
}

func TestProfile(t *testing.T) {
	m := sections{
		"kernel/audit.c":    {list("audit@vger.kernel.org"), tree("git https://git.kernel.org/pub/scm/linux/kernel/git/pcmoore/audit.git")},
		"net/core/dev.c":    {doc("Documentation/process/maintainer-netdev.rst"), list("netdev@vger.kernel.org")},
		"net/core/filter.c": {doc("Documentation/process/maintainer-netdev.rst"), list("bpf@vger.kernel.org (open list)")},
		"kernel/bpf/core.c": {list("bpf@vger.kernel.org"), tree("git git://git.kernel.org/pub/scm/linux/kernel/git/bpf/bpf-next.git")},
		"arch/x86/mm/tlb.c": {tree("git git://git.kernel.org/pub/scm/linux/kernel/git/tip/tip.git x86/mm")},
		"arch/x86/kvm/x86.c": {doc("Documentation/process/maintainer-kvm-x86.rst"), list("kvm@vger.kernel.org"),
			tree("git git://git.kernel.org/pub/scm/linux/kernel/git/tip/tip.git x86/core")},
	}
	for _, c := range []struct {
		asked string
		paths []string
		want  string
	}{
		{"", []string{"kernel/audit.c"}, "audit"},
		{"", []string{"net/core/dev.c"}, "netdev"},
		{"", []string{"net/core/filter.c"}, "netdev"},
		{"", []string{"kernel/bpf/core.c"}, "bpf"},
		{"", []string{"arch/x86/mm/tlb.c"}, "tip"},
		{"", []string{"arch/x86/kvm/x86.c"}, "kvm"},
		{"", []string{"kernel/audit.c", "net/core/dev.c"}, "netdev"},
		{"", []string{"net/core/dev.c", "lib/string.c", "arch/x86/mm/tlb.c"}, "default"},
		{"", []string{"lib/string.c"}, "default"},
		{"tip", []string{"net/core/dev.c"}, "tip"},
	} {
		ms, err := touching(c.paths...)
		if err != nil {
			t.Fatal(err)
		}
		rep, err := lint.Check(lint.Input{Messages: ms, Profile: c.asked, Maintainers: m})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff([]string{c.want}, rep.Profiles); d != "" {
			t.Errorf("profile of %v, %q asked for (-want +got):\n%s", c.paths, c.asked, d)
		}
	}
	ms, err := touching("lib/string.c")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lint.Check(lint.Input{Messages: ms, Profile: "nettdev"}); err == nil || !strings.Contains(err.Error(), "netdev") {
		t.Errorf("Check with an unknown profile = %v, want an error with those that there are", err)
	}
}

// Each rule says what it is about, and each number of the list of posting rules has one.
func TestTable(t *testing.T) {
	seen, notes := map[string]bool{}, map[int]bool{}
	for _, r := range lint.Rules {
		if seen[r.ID] {
			t.Errorf("rule %s is there twice", r.ID)
		}
		seen[r.ID], notes[r.Note] = true, true
		if r.Title == "" || r.Explain == "" || r.Level != lint.Error && r.Level != lint.Warning {
			t.Errorf("rule %s: no title, explanation or level", r.ID)
		}
		for _, name := range r.Profiles {
			if !slices.ContainsFunc(lint.Profiles, func(p lint.Profile) bool { return p.Name == name }) {
				t.Errorf("rule %s is for the profile %s, which there is not", r.ID, name)
			}
		}
	}
	for n := 1; n <= 27; n++ {
		if !notes[n] {
			t.Errorf("no rule for number %d", n)
		}
	}
}

// A rule whose needs are not met is reported as such, and is not judged.
func TestNotJudged(t *testing.T) {
	ms, err := lint.Read("in", strings.NewReader(whole))
	if err != nil {
		t.Fatal(err)
	}
	rep, err := lint.Check(lint.Input{Messages: ms})
	if err != nil {
		t.Fatal(err)
	}
	for rule, need := range map[string]lint.Need{"commit-exists": lint.NeedCommits, "prefix-runs": lint.NeedRuns, "maintainers-covered": lint.NeedMaintainers,
		"stale-tags": lint.NeedPrevious, "threading": lint.NeedSent, "recipients": lint.NeedRecipients} {
		if !slices.Contains(rep.NotJudged, lint.NotJudged{Rule: rule, Needs: need}) {
			t.Errorf("%s is not among those that were not judged for want of %s: %v", rule, need, rep.NotJudged)
		}
	}
}

// A discussion that was saved whole is several postings; unnumbered patches are one each.
func TestThreads(t *testing.T) {
	mail := func(subject, id, reply string) string {
		s := from + "From: Ann Author <ann@example.org>\nSubject: " + subject + "\nMessage-Id: <" + id + ">\n"
		if reply != "" {
			s += "In-Reply-To: <" + reply + ">\n"
		}
		return s + "\nIt wraps.\n---\n" + diff + "\n"
	}
	for name, c := range map[string]struct {
		data string
		want []string
	}{
		"two versions in one thread": {mail("[PATCH 1/2] a: a", "1", "") + mail("[PATCH 2/2] a: b", "2", "1") + mail("Re: [PATCH 2/2] a: b", "3", "2") +
			mail("[PATCH v2 1/2] a: a", "4", "1") + mail("[PATCH v2 2/2] a: b", "5", "4"), []string{"v1: 1 2", "v2: 1 2"}},
		"wrong version": {mail("[PATCH v2 1/2] a: a", "1", "") + mail("[PATCH 2/2] a: b", "2", "1"), []string{"v2: 1 2"}},
		"a resend":      {mail("[PATCH 1/1] a: a", "1", "") + mail("[RESEND PATCH 1/1] a: a", "2", "1"), []string{"v1: 1", "v1: 1"}},
		"alone":         {mail("[PATCH] a: a", "1", "") + mail("[PATCH] a: b", "2", ""), []string{"v1: 0", "v1: 0"}},
		"no threading":  {mail("[PATCH 1/2] a: a", "1", "") + mail("[PATCH 2/2] a: b", "2", ""), []string{"v1: 1 2"}},
		"parent lost":   {mail("[PATCH 1/2] a: a", "1", "0") + mail("[PATCH 2/2] a: b", "2", "0"), []string{"v1: 1 2"}},
		"loop":          {mail("[PATCH 1/2] a: a", "1", "2") + mail("[PATCH 2/2] a: b", "2", "1"), []string{"v1: 1 2"}},
		"no ids":        {strings.NewReplacer("Message-Id: <1>\n", "", "Message-Id: <2>\n", "").Replace(mail("[PATCH 2/2] a: b", "2", "") + mail("[PATCH 1/2] a: a", "1", "")), []string{"v1: 1 2"}},
	} {
		ms, err := lint.Read("in", strings.NewReader(c.data))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var got []string
		for _, th := range lint.Threads(ms) {
			s := fmt.Sprintf("v%d:", th.Patches[0].Subject.Version)
			for _, m := range th.Patches {
				s += fmt.Sprint(" ", m.Subject.N)
			}
			got = append(got, s)
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}
