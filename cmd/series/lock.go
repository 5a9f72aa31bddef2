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
	"syscall"
	"time"
)

// A workLock keeps two runs from one work folder. The kernel drops it when its holder dies, however it dies.
type workLock struct{ f *os.File }

// lockWork takes the work folder for this process. When another one has it, it says who, and waits; with nowait it
// fails instead.
func lockWork(ctx context.Context, dir, what string, nowait bool, stderr io.Writer) (*workLock, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("work folder: %w", err)
	}
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("work folder: %w", err)
	}
	for told := false; ; {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		holder := "another process"
		if b, err := os.ReadFile(path); err == nil && len(b) > 0 {
			holder = strings.TrimSpace(string(b))
		}
		if nowait {
			f.Close()
			return nil, fmt.Errorf("work folder %s is in use by %s; wait for it, or give another --work", dir, holder)
		}
		if !told {
			fmt.Fprintf(stderr, "series: waiting: work folder %s is in use by %s\n", dir, holder)
			told = true
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
	who := fmt.Sprintf("pid %d (%s) since %s\n", os.Getpid(), what, time.Now().Format("15:04:05"))
	if err := f.Truncate(0); err == nil {
		f.WriteAt([]byte(who), 0)
	}
	return &workLock{f}, nil
}

func (l *workLock) Close() error {
	l.f.Truncate(0)
	return l.f.Close()
}
