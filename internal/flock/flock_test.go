// SPDX-License-Identifier: Apache-2.0

package flock

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
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
	var in int // guarded by the lock
	for range 8 {
		wg.Go(func() {
			for range 50 {
				l, err := AcquireTemp(t.Context(), name)
				if err != nil {
					t.Error(err)
					return
				}
				if in++; in != 1 {
					t.Errorf("%d have the lock", in)
				}
				time.Sleep(20 * time.Microsecond)
				in--
				l.Release()
			}
		})
	}
	wg.Wait()
}
