// SPDX-License-Identifier: Apache-2.0

// Package fresh has tests that only pass where no other test has been before them.
package fresh

import (
	"os"
	"runtime"
	"sync"
	"testing"
	"time"
)

const mark = "/tmp/fresh.mark"

// first fails where it is not the first to be called in this guest.
func first(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(mark); err == nil {
		t.Fatal("somebody was here before")
	}
	if err := os.WriteFile(mark, []byte(t.Name()), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestOne(t *testing.T)   { first(t) }
func TestTwo(t *testing.T)   { first(t) }
func TestThree(t *testing.T) { first(t) }

// Timers work on each processor of the guest, though it is not the one that was booted.
func TestTimers(t *testing.T) {
	first(t)
	var wg sync.WaitGroup
	for range 4 * runtime.NumCPU() {
		wg.Go(func() {
			for range 20 {
				time.Sleep(time.Millisecond)
			}
		})
	}
	start := time.Now()
	wg.Wait()
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("20 ms of sleep took %v", d)
	}
}

func TestBelow(t *testing.T) {
	first(t)
	t.Run("sub", func(t *testing.T) {})
	t.Run("other", func(t *testing.T) {})
}

func TestSkipped(t *testing.T) { first(t); t.Skip("on purpose") }
func TestFailing(t *testing.T) { first(t); t.Error("on purpose") }
