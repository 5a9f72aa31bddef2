// SPDX-License-Identifier: Apache-2.0

package mail_test

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"github.com/seriesrig/series/patches"
	"github.com/seriesrig/series/patches/mail"
)

// A thread of a hundred patches that all change the same file, as the longest series of the lists do.
func BenchmarkRender100(b *testing.B) {
	s := trial(b)
	s.Patches = nil
	for n := range 100 {
		var diff bytes.Buffer
		fmt.Fprintf(&diff, "diff --git a/f.c b/f.c\nindex 0123456789ab..ba9876543210 100644\n--- a/f.c\n+++ b/f.c\n")
		for h := range 20 {
			// Each hunk adds a line below the same one, so each patch finds the places of the one before moved.
			fmt.Fprintf(&diff, "@@ -%d,1 +%d,2 @@\n c%d\n+new %d\n", 1+h*(100+n), 1+h*(101+n), h, n)
		}
		head := fmt.Sprintf("From 0123456789012345678901234567890123456789 Mon Sep 17 00:00:00 2001\nFrom: A <a@b.c>\nDate: Fri, 2 Jan 2026 03:04:05 +0000\nSubject: [PATCH] f: add %d\n\nWhy.\n---\n\n", n)
		p, err := patches.ParsePatch("x.patch", []byte(head+diff.String()+"-- \n2.39.5\n"))
		if err != nil {
			b.Fatal(err)
		}
		s.Patches = append(s.Patches, p)
	}
	for b.Loop() {
		th, err := mail.Render(mail.Options{Series: s})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := th.WriteTo(io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}
