// SPDX-License-Identifier: Apache-2.0

package lint_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seriesrig/series/patches/lint"
)

// hundred makes a thread of a cover letter and n patches that are about as large as those on the lists: ten lines of
// message, one to four files, one to three hunks in each.
func hundred(n int) []byte {
	r := rand.New(rand.NewPCG(6, 12))
	var b bytes.Buffer
	head := func(k int, summary string) {
		fmt.Fprintf(&b, "From series Mon Sep 17 00:00:00 2001\nFrom: Ann Author <ann@example.org>\nTo: audit@example.org\nSubject: [PATCH %03d/%d] %s\nMessage-Id: <%d@example.org>\n", k, n, summary, k)
		if k > 0 {
			b.WriteString("In-Reply-To: <0@example.org>\nReferences: <0@example.org>\n")
		}
		b.WriteString("Content-Type: text/plain; charset=UTF-8\n\n")
	}
	head(0, "audit: make everything wider")
	fmt.Fprintf(&b, "These are %d patches, as there are %d counters.\n\nbase: dir:/usr/src/linux\n-- \nseries\n\n", n, n)
	for k := 1; k <= n; k++ {
		head(k, fmt.Sprintf("audit: widen the counter of kind %d", k))
		for range 10 {
			b.WriteString("Since commit 0123456789ab (\"audit: count\") the counter of this kind wraps.\n")
		}
		b.WriteString("\nFixes: 0123456789ab (\"audit: count\")\nSigned-off-by: Ann Author <ann@example.org>\n---\n")
		for f := range 1 + r.IntN(4) {
			fmt.Fprintf(&b, "diff --git a/kernel/audit%[1]d.c b/kernel/audit%[1]d.c\nindex 1234567..89abcde 100644\n--- a/kernel/audit%[1]d.c\n+++ b/kernel/audit%[1]d.c\n", f)
			for h := range 1 + r.IntN(3) {
				fmt.Fprintf(&b, "@@ -%[1]d,7 +%[1]d,16 @@ static void audit(void)\n%[2]s-\tint old;\n%[3]s%[2]s", 1+h*100, strings.Repeat(" \tstruct audit_context *context;\n", 3), strings.Repeat("+\tstruct audit_buffer *buffer;\n", 10))
			}
		}
		b.WriteString("-- \nseries\n\n")
	}
	return b.Bytes()
}

// BenchmarkLint100 reads a thread of a hundred patches and judges it by all rules that need no more than the thread.
func BenchmarkLint100(b *testing.B) {
	data := hundred(100)
	start := cpuTime(b)
	for b.Loop() {
		ms, err := lint.Read("thread.mbox", bytes.NewReader(data))
		if err != nil {
			b.Fatal(err)
		}
		rep, err := lint.Check(lint.Input{Messages: ms})
		if err != nil {
			b.Fatal(err)
		}
		if len(rep.Findings) > 0 {
			b.Fatalf("the thread is not clean: %v", rep.Findings[0])
		}
	}
	b.SetBytes(int64(len(data)))
	// On a busy machine, this says more than the time on the wall.
	b.ReportMetric(float64(cpuTime(b)-start)/float64(b.N), "cpu-ns/op")
}

// cpuTime is the processor time of this process.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
