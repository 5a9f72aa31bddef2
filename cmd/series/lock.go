// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/seriesrig/series/internal/flock"
)

// A workLock keeps two runs from one work folder. Children inherit it, so that it is free only when nothing of a killed
// run is left that could still write.
type workLock struct{ *flock.Lock }

// lockWork takes the work folder for this process. When another one has it, it says who, and waits; with nowait it
// fails instead.
func lockWork(ctx context.Context, dir, what string, nowait bool, stderr io.Writer) (*workLock, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("work folder: %w", err)
	}
	path := filepath.Join(dir, "lock")
	l, err := flock.Try(path)
	if errors.Is(err, flock.ErrBusy) {
		holder := "another process"
		if b, err := os.ReadFile(path); err == nil && len(b) > 0 {
			holder = strings.TrimSpace(string(b))
		}
		if nowait {
			return nil, fmt.Errorf("work folder %s is in use by %s; wait for it, or give another --work", dir, holder)
		}
		fmt.Fprintf(stderr, "series: waiting: work folder %s is in use by %s\n", dir, holder)
		l, err = flock.Acquire(ctx, path)
	}
	if err != nil {
		return nil, fmt.Errorf("lock work folder: %w", err)
	}
	who := fmt.Sprintf("pid %d (%s) since %s\n", os.Getpid(), what, time.Now().Format("15:04:05"))
	if err := l.File.Truncate(0); err == nil {
		l.File.WriteAt([]byte(who), 0)
	}
	return &workLock{l}, nil
}

func (l *workLock) Close() error {
	l.File.Truncate(0)
	l.Release()
	return nil
}
