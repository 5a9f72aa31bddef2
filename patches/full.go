// SPDX-License-Identifier: Apache-2.0

package patches

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/seriesrig/series/internal/run"
)

// fullProbe is how much, in bytes, a file system has to take before git's trouble with it is something else.
const fullProbe = 64 << 10

// full says, where a disk is full, what it is that found no place. Not all of git's messages tell (it "could not set" a
// configuration), so after git has failed it is tried in dir, before what is there by now is removed.
func full(what, dir string, err error) error {
	if err == nil || errors.As(err, new(*fullError)) {
		return err
	}
	cause := err
	if errors.As(err, new(*run.ExitError)) && !isFull(err) {
		cause = probe(dir)
	}
	if !isFull(cause) {
		return err
	}
	return &fullError{what, err}
}

func isFull(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

func probe(dir string) error {
	f, err := os.CreateTemp(dir, "tmp_probe-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(make([]byte, fullProbe))
	return errors.Join(err, f.Close())
}

// A fullError passes for ENOSPC.
type fullError struct {
	what string
	err  error
}

func (e *fullError) Error() string {
	return fmt.Sprintf("no space left for %s (nothing was left behind): %v", e.what, e.err)
}

func (e *fullError) Unwrap() error { return e.err }

func (e *fullError) Is(target error) bool { return target == syscall.ENOSPC }
