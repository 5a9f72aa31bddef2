// SPDX-License-Identifier: Apache-2.0

// Package flock locks by flock(2) on a file. Such a lock belongs to the open file: it is free when every process that
// inherited it has closed it or is gone, however it went, so that a lock never has to be broken.
package flock

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// A Lock is a locked file. Handing File to children makes the lock outlive this process as long as they run.
type Lock struct {
	File   *os.File
	remove bool
}

// Acquire waits for the lock on the file at path, which it makes if there is none, and which stays.
func Acquire(ctx context.Context, path string) (*Lock, error) { return acquire(ctx, path, false) }

// Try is Acquire without waiting: ErrBusy tells that somebody else has the lock.
func Try(path string) (*Lock, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, ErrBusy
		}
		return nil, err
	}
	return &Lock{File: f}, nil
}

// ErrBusy says that somebody else has the lock.
var ErrBusy = errors.New("locked by another process")

// AcquireTemp is Acquire for a file that goes when the lock is released.
func AcquireTemp(ctx context.Context, path string) (*Lock, error) { return acquire(ctx, path, true) }

func acquire(ctx context.Context, path string, remove bool) (*Lock, error) {
	for {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
		if err != nil {
			return nil, err
		}
		if err := wait(ctx, f); err != nil {
			f.Close()
			return nil, err
		}
		// The file may have been removed by whoever had the lock before: then the name leads elsewhere, and what we
		// hold is worth nothing.
		held, err := f.Stat()
		if err == nil {
			var named fs.FileInfo
			if named, err = os.Stat(path); err == nil && os.SameFile(held, named) {
				return &Lock{File: f, remove: remove}, nil
			}
		}
		f.Close()
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
}

func wait(ctx context.Context, f *os.File) error {
	pause := time.Millisecond
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil || !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		pause = min(2*pause, 100*time.Millisecond)
	}
}

// Release gives the lock up.
func (l *Lock) Release() {
	if l.remove {
		os.Remove(l.File.Name())
	}
	l.File.Close()
}
