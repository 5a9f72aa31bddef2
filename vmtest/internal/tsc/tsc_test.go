// SPDX-License-Identifier: Apache-2.0

package tsc

import (
	"testing"
	"time"

	"github.com/seriesrig/series/internal/need"
)

// The rate must tell the length of another, longer interval.
func TestKHz(t *testing.T) {
	khz := KHz()
	if khz == 0 {
		need.Missing(t, "this host does not keep time by a time stamp counter")
	}
	start := time.Now()
	t0, c0 := pair(start)
	time.Sleep(50 * time.Millisecond)
	t1, c1 := pair(start)
	got := float64(c1-c0) / float64(khz) * 1e6
	if want := float64(t1 - t0); got < want*0.999 || got > want*1.001 {
		t.Errorf("at %d kHz the counter says %.0f ns, want %.0f", khz, got, want)
	}
}
