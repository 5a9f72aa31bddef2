// SPDX-License-Identifier: Apache-2.0

package flock

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestAcquire(t *testing.T) {
	for what, acquire := range map[string]func(context.Context, string) (*Lock, error){"Acquire": Acquire, "AcquireTemp": AcquireTemp} {
		name := filepath.Join(t.TempDir(), "lock")
		l, err := acquire(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		defer cancel()
		if _, err := acquire(ctx, name); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s of what is locked = %v, want that it waited", what, err)
		}
		l.Release()
		if _, err := os.Stat(name); os.IsNotExist(err) != (what == "AcquireTemp") {
			t.Errorf("%s: after the release, stat = %v", what, err)
		}
	}
}

// Many take turns at a lock whose file comes and goes; never two have it.
func TestTurns(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	var wg sync.WaitGroup
	var in atomic.Int32 // at most 1, by the lock; atomic because the race detector knows nothing of flock(2)
	for range 8 {
		wg.Go(func() {
			for range 50 {
				l, err := AcquireTemp(t.Context(), name)
				if err != nil {
					t.Error(err)
					return
				}
				if n := in.Add(1); n != 1 {
					t.Errorf("%d have the lock", n)
				}
				time.Sleep(20 * time.Microsecond)
				in.Add(-1)
				l.Release()
			}
		})
	}
	wg.Wait()
}
