// SPDX-License-Identifier: Apache-2.0

package mail_test

import (
	"strings"
	"testing"

	"github.com/seriesrig/series/patches"
	"github.com/seriesrig/series/patches/mail"
)

// Patches apply to files that are made of them alone, at the very lines that they name.
func TestSkeleton(t *testing.T) {
	for name, changes := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, s := history(t, changes)
			files, err := mail.Skeleton(s.Patches)
			if err != nil {
				t.Fatal(err)
			}
			res, err := patches.Apply(files, s.Patches)
			if err != nil {
				t.Fatal(err)
			}
			for i, p := range res.Patches {
				for _, h := range p.Hunks {
					if h.Offset != 0 {
						t.Errorf("patch %d: a hunk of %s moved by %d lines", i+1, h.Path, h.Offset)
					}
				}
			}
			for name, f := range files {
				if name != "a.c" && name != "big.c" && name != "rows" {
					t.Errorf("%s is in the base", name)
				}
				if name == "big.c" && len(s.Patches[0].Diff) > 0 && !strings.Contains(string(f.Data), "(line 5 of big.c, in no patch)") {
					t.Errorf("big.c is\n%s", f.Data)
				}
			}
		})
	}
}

// A thread gives back the patches that it was made of, or says what is missing.
func TestThreadPatches(t *testing.T) {
	s := trial(t)
	th := render(t, mail.Options{Series: s})
	ps, err := th.Patches()
	if err != nil || len(ps) != 2 || ps[1].Message() != s.Patches[1].Message() || ps[1].Author != s.Patches[1].Author {
		t.Errorf("Patches = %v, %v", ps, err)
	}
	for name, ms := range map[string][]*mail.Message{"last": th.Messages[:2], "first": {th.Messages[0], th.Messages[2]}, "all": th.Messages[:1],
		"order": {th.Messages[0], th.Messages[2], th.Messages[1]}} {
		if ps, err := (&mail.Thread{Messages: ms}).Patches(); err == nil {
			t.Errorf("%s missing: %d patches", name, len(ps))
		}
	}
}
