// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/seriesrig/series/internal/need"
	"github.com/seriesrig/series/patches/lint"
)

// TestCheckpatch runs the kernel's own checkpatch.pl: what it finds is at the lines of the file given, in every patch, and
// nothing is written into the source.
func TestCheckpatch(t *testing.T) {
	need.Tool(t, "perl")
	src := need.Source(t)
	top := func() (names []string) {
		entries, err := os.ReadDir(src)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return names
	}
	before := top()
	const patch = `From series Mon Sep 17 00:00:00 2001
From: Ann Author <ann@example.org>
Subject: [PATCH @/3] net: widen counter @
Content-Transfer-Encoding: quoted-printable

It wraps =
around.

Signed-off-by: Ann Author <ann@example.org>
---
diff --git a/net/core/dev.c b/net/core/dev.c
--- a/net/core/dev.c
+++ b/net/core/dev.c
@@ -1,2 +1,3 @@
 int a;
+int camelCase@=3D1;
 int b;

`
	text := ""
	for _, n := range []string{"1", "2", "3"} {
		text += strings.NewReplacer("@/", n+"/", "counter @", "counter "+n, "Case@", "Case"+n).Replace(patch)
	}
	ms, err := lint.Read("in.mbox", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	rep := &lint.Report{}
	a := &app{cli: &cli{Quiet: true}, stderr: io.Discard, log: slog.New(slog.DiscardHandler)}
	c := &lintCmd{}
	if err := c.checkpatch(context.Background(), a, src, ms, rep); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(text, "\n")
	n := 0
	for _, f := range rep.Findings {
		if f.Rule != "checkpatch:SPACING" {
			continue
		}
		n++
		if f.File != "in.mbox" || f.Level != lint.Error || !strings.HasPrefix(lines[f.Line-1], "+int camelCase") {
			t.Errorf("%v is at %q, want it at the added line", f, lines[f.Line-1])
		}
	}
	if n != 3 {
		t.Errorf("%d findings of SPACING in three patches, want 3; all are %v", n, rep.Findings)
	}
	if after := top(); !slices.Equal(before, after) {
		t.Errorf("checkpatch has left something in the source: %q, before %q", after, before)
	}
}
