// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Guests are never given more processors than the host has, and none of them is idle while there is a guest that fits.
func TestSideBySide(t *testing.T) {
	for _, c := range []struct {
		needs []int // by cell; each works for a second
		room  int
		took  time.Duration
	}{
		{[]int{1, 1, 1, 1}, 2, 2 * time.Second},
		{[]int{1, 2, 1, 2, 1, 2}, 2, 5 * time.Second},
		{[]int{2, 1, 1}, 2, 2 * time.Second},
		{[]int{8, 1}, 2, 2 * time.Second}, // more than there is
		{[]int{3, 3, 1, 1}, 4, 2 * time.Second},
		{nil, 2, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			var cells []*cell
			for range c.needs {
				cells = append(cells, &cell{})
			}
			need := func(k *cell) int { return c.needs[slices.Index(cells, k)] }
			var mu sync.Mutex
			used, begun := 0, 0
			start := time.Now()
			err := sideBySide(t.Context(), cells, c.room, need, func(_ context.Context, k *cell) error {
				mu.Lock()
				begun++
				if used += min(c.room, need(k)); used > c.room {
					t.Errorf("%v: %d of %d are used", c.needs, used, c.room)
				}
				mu.Unlock()
				time.Sleep(time.Second)
				mu.Lock()
				used -= min(c.room, need(k))
				mu.Unlock()
				return nil
			})
			if took := time.Since(start); err != nil || begun != len(cells) || took != c.took {
				t.Errorf("sideBySide(%v) = %v; %d cells after %v, want %d after %v", c.needs, err, begun, took, len(cells), c.took)
			}
		})
	}
}

// What fails ends the others, and no other begins; and so does who asked for it.
func TestSideBySideFails(t *testing.T) {
	bad := errors.New("bad")
	cells := []*cell{{name: "0"}, {name: "1"}, {name: "2"}}
	n := 0
	err := sideBySide(t.Context(), cells, 1, func(*cell) int { return 1 }, func(_ context.Context, c *cell) error {
		if n++; c.name == "1" {
			return bad
		}
		return nil
	})
	if err != bad || n != 2 {
		t.Errorf("sideBySide = %v after %d cells, want %v after 2", err, n, bad)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	n = 0
	err = sideBySide(ctx, cells, 1, func(*cell) int { return 1 }, func(context.Context, *cell) error {
		n++
		cancel(bad)
		return nil
	})
	if err != bad || n != 1 {
		t.Errorf("sideBySide, stopped = %v after %d cells, want %v after 1", err, n, bad)
	}
}
