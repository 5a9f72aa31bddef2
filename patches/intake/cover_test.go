// SPDX-License-Identifier: Apache-2.0

package intake

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestProse(t *testing.T) {
	stat := " fs/a.c       | 2 +-\n fs/{b => c}.c | Bin 0 -> 3 bytes\n 2 files changed, 1 insertion(+), 1 deletion(-)\n create mode 100644 fs/d.c\n rename fs/{b => c}.c (100%)\n"
	log := "Jane Doe (2):\n  a: one\n  a: two, which is so long that it goes\n    over two lines\n\nJörg (1):\n  b: three\n\n"
	for name, tc := range map[string]struct{ body, want string }{
		"git":        {"Why.\n\n" + log + stat + "\n\nbase-commit: 0123456789012345678901234567890123456789\n-- \n2.39.5\n", "Why.\n"},
		"b4":         {"Why.\n\n---\nChanges in v2:\n- one\n- Link to v1: https://lore.kernel.org/r/x\n\n---\n" + log + stat + "---\nbase-commit: 0123456789012345678901234567890123456789\nchange-id: 20260101-x-0123456789ab\n\nBest regards,\n-- \nJane <j@example.org>\n", "Why.\n\n---\nChanges in v2:\n- one\n- Link to v1: https://lore.kernel.org/r/x\n\nBest regards,\n"},
		"ours":       {"Why.\n\n" + log + stat + "\nbase: debian:linux-source-6.12 6.12.1\n sha256:0123\nprerequisite-patch-id: 01\nchange-id: x\n-- \nseries v1\n", "Why.\n"},
		"prose only": {"Why.\n\nJane (2):\n  said so.\n", "Why.\n\nJane (2):\n  said so.\n"},
		"after it":   {"Why.\n\n" + log + stat + "\nThanks,\nJane\n", "Why.\n\nThanks,\nJane\n"},
		"a table":    {"Why.\n\n a | 1 +\n b | 2 -\n", "Why.\n\n a | 1 +\n b | 2 -\n"},
		"place":      {"{{table \"x\"}} {{\n", "{{\"{{\"}}table \"x\"}} {{\"{{\"}}\n"},
		"nothing":    {"-- \n2.39.5\n", ""},
	} {
		if d := cmp.Diff(tc.want, prose(tc.body)); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

func TestSubjects(t *testing.T) {
	for subject, want := range map[string]letter{
		"[PATCH v2 03/12] a: b":             {kind: patch, version: 2, prefix: "PATCH"},
		"[PATCH net-next 0/3] a: b":         {kind: cover, version: 1, prefix: "PATCH net-next"},
		"[linux-audit] [RFC PATCHv3 1/1] a": {kind: patch, version: 3, prefix: "RFC PATCH"},
		"[PATCH RESEND v2, 1/2] a":          {kind: patch, version: 2, prefix: "PATCH RESEND"},
		"[RFC v4 2/2] a":                    {kind: patch, version: 4, prefix: "RFC"},
		"Re: [PATCH v2 03/12] a: b":         {version: 1},
		"RE: [PATCH] x":                     {version: 1},
		"Re[2]: [PATCH] x":                  {version: 1},
		"Fwd: [PATCH] x":                    {version: 1},
		"[PATCH 3/2] a":                     {version: 1},
		"[PATCH 1/0] a":                     {version: 1},
		"[PATCH 1/99999] a":                 {version: 1},
		"[ANNOUNCE] the patch":              {version: 1},
		"a [PATCH 1/2] in the middle":       {version: 1},
		"[PATCH v0 1/2] a":                  {version: 1},
	} {
		l := &letter{version: 1}
		l.Subject = subject
		l.readSubject()
		if l.kind != want.kind || l.version != want.version || l.prefix != want.prefix {
			t.Errorf("%q: kind %d, v%d, prefix %q; want %d, v%d, %q", subject, l.kind, l.version, l.prefix, want.kind, want.version, want.prefix)
		}
	}
}
