// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/seriesrig/series/internal/cache"
	"github.com/seriesrig/series/internal/need"
	"github.com/seriesrig/series/vmtest/internal/pvh"
)

func TestProbeGuestRuns(t *testing.T) {
	qemu := need.Tool(t, "qemu-system-x86_64")
	dir := t.TempDir()
	image := filepath.Join(dir, "probe.elf")
	if err := os.WriteFile(image, pvh.Image(1000, 10), 0o644); err != nil {
		t.Fatal(err)
	}
	d, err := probe(t.Context(), qemu, image, "tcg", "qemu64", 20*time.Second)
	t.Logf("short probe: %v", d)
	if err != nil {
		t.Fatalf("probe of a guest that ends = %v", err)
	}
	// One that does not end within the deadline is not taken for one that did.
	if err := os.WriteFile(image, pvh.Image(4_000_000_000, 10), 0o644); err != nil {
		t.Fatal(err)
	}
	if d, err := probe(t.Context(), qemu, image, "tcg", "qemu64", 300*time.Millisecond); err == nil {
		t.Errorf("probe of a guest that counts for ever = %v, want an error", d)
	}
	// Nor is one that QEMU does not start.
	if err := os.WriteFile(image, []byte("no kernel"), 0o644); err != nil {
		t.Fatal(err)
	}
	if d, err := probe(t.Context(), qemu, image, "tcg", "qemu64", 5*time.Second); err == nil {
		t.Errorf("probe of a file that is no kernel = %v, want an error", d)
	}
}

func TestProbeKVM(t *testing.T) {
	need.Tool(t, "qemu-system-x86_64")
	c, err := cache.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	v, err := ProbeKVM(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", v)
	if v.Usable && (v.KVM <= 0 || v.KVM >= v.TCG) {
		t.Errorf("usable though KVM took %v and TCG %v", v.KVM, v.TCG)
	}
	if v.TCG == 0 {
		need.Missing(t, "no /dev/kvm to race: "+v.Reason)
	}
	start := time.Now()
	again, err := ProbeKVM(ctx, c)
	if err != nil || again != v {
		t.Errorf("second ProbeKVM = %+v, %v; want the verdict that was kept, %+v", again, err, v)
	}
	if d := time.Since(start); d > v.TCG {
		t.Logf("the second took %v", d)
	}
}
