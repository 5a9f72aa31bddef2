// SPDX-License-Identifier: Apache-2.0

// Package tsc tells how fast the host's time stamp counter runs. QEMU's TCG gives the guest the host's counter, on a
// machine that has nothing to calibrate it with: told its rate, the guest has a clock of nanoseconds and high-resolution
// timers, and without it one of jiffies.
package tsc

import (
	"os"
	"strings"
	"sync"
	"time"
)

const window = 5 * time.Millisecond

// KHz returns the counter's rate, measured once, or 0 where there is none to rely on.
var KHz = sync.OnceValue(func() int64 {
	if !here {
		return 0
	}
	// The host's kernel has watched the counter; when it keeps time by something else, the counter is not to be trusted.
	b, err := os.ReadFile("/sys/devices/system/clocksource/clocksource0/current_clocksource")
	if err != nil || strings.TrimSpace(string(b)) != "tsc" {
		return 0
	}
	start := time.Now()
	t0, c0 := pair(start)
	time.Sleep(window)
	t1, c1 := pair(start)
	if c1 <= c0 || t1 <= t0 {
		return 0
	}
	return int64(float64(c1-c0) / float64(t1-t0) * 1e6)
})

// pair returns a time and the counter at that time: of several tries the one that took least, since between the two
// readings the thread may have lost its processor.
func pair(start time.Time) (at time.Duration, counter uint64) {
	best := time.Duration(1 << 62)
	for range 16 {
		t := time.Since(start)
		c := read()
		if d := time.Since(start) - t; d < best {
			best, at, counter = d, t+d/2, c
		}
	}
	return at, counter
}
