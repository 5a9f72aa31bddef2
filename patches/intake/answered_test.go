// SPDX-License-Identifier: Apache-2.0

package intake_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seriesrig/series/patches/intake"
)

const discussion = `From a@x Mon Sep 17 00:00:00 2001
From: Ann Author <ann@example.org>
Subject: [PATCH v2 0/1] audit: widen the counter
Message-Id: <c@x>

Why.

From a@x Mon Sep 17 00:00:00 2001
From: Ann Author <ann@example.org>
Subject: [PATCH v2 1/1] audit: widen the counter
Message-Id: <p@x>
In-Reply-To: <c@x>

Wider.
---
diff --git a/a b/a
--- a/a
+++ b/a
@@ -1 +1 @@
-1
+2

From a@x Mon Sep 17 00:00:00 2001
From: Rob Reviewer <Rob@example.org>
Subject: Re: [PATCH v2 1/1] audit: widen the counter
Message-Id: <r@x>
In-Reply-To: <p@x>

> Wider.
No.

From a@x Mon Sep 17 00:00:00 2001
From: Ann Author <ann@example.org>
Subject: Re: [PATCH v2 1/1] audit: widen the counter
Message-Id: <a@x>
In-Reply-To: <r@x>

Yes.

From a@x Mon Sep 17 00:00:00 2001
From: =?utf-8?q?L=C3=A9a?= <lea@example.org>
Subject: Re: [PATCH v2 1/1] audit: widen the counter
Message-Id: <l@x>
References: <gone@x> <a@x>
Content-Type: text/plain; charset=no-such-charset

Broken, and an answer all the same.

From a@x Mon Sep 17 00:00:00 2001
From: Rob Reviewer <rob@example.org>
Subject: Re: [PATCH v2 0/1] audit: widen the counter
Message-Id: <r2@x>
In-Reply-To: <c@x>

Once more.

From a@x Mon Sep 17 00:00:00 2001
From: Two <two@example.org>, Three <three@example.org>
Subject: Re: [PATCH v2 0/1] audit: widen the counter
Message-Id: <t@x>
In-Reply-To: <c@x>

Who?

From a@x Mon Sep 17 00:00:00 2001
From: "x@evil.example>, <y" <"a b"@example.org>
Subject: Re: [PATCH v2 0/1] audit: widen the counter
Message-Id: <e@x>
In-Reply-To: <c@x>

Injected.

From a@x Mon Sep 17 00:00:00 2001
From: Stranger <stranger@example.org>
Subject: Re: something else
Message-Id: <s@x>
In-Reply-To: <s@x>
References: <gone@x>

Elsewhere, and in a circle.

`

func TestAnswered(t *testing.T) {
	path := filepath.Join(t.TempDir(), "thread.mbox")
	if err := os.WriteFile(path, []byte(discussion), 0o644); err != nil {
		t.Fatal(err)
	}
	found, err := intake.Answered(path)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, a := range found {
		got = append(got, a.From.Name+" <"+a.From.Address+"> "+a.To)
	}
	want := []string{"Rob Reviewer <Rob@example.org> [PATCH v2 1/1]", "Léa <lea@example.org> [PATCH v2 1/1]"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("Answered (-want +got):\n%s", d)
	}

	_, replies, _ := strings.Cut(discussion, "\n+2\n\n")
	if err := os.WriteFile(path, []byte(replies), 0o644); err != nil {
		t.Fatal(err)
	}
	if found, err := intake.Answered(path); err == nil {
		t.Errorf("Answered of replies alone = %v, want an error", found)
	}
}
