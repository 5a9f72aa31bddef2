// SPDX-License-Identifier: Apache-2.0

//go:build linux

package fork

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestRun(t *testing.T) {
	calls, err := Run(Options{}, Call{Nr: unix.SYS_GETPPID}, Call{Nr: unix.SYS_GETPID})
	if err != nil {
		t.Fatal(err)
	}
	if got := int(calls[0].Result); got != os.Getpid() {
		t.Errorf("parent of the child is %d, want %d", got, os.Getpid())
	}
	if got := int(calls[1].Result); got == os.Getpid() || got == 0 {
		t.Errorf("the child is %d, which is its parent", got)
	}
	if _, err := Run(Options{}, Call{Nr: unix.SYS_CLOSE, Args: [6]uintptr{1 << 20}}); !errors.Is(err, unix.EBADF) {
		t.Errorf("a call that fails: %v, want %v", err, unix.EBADF)
	}
	if _, err := Run(Options{}, Call{Nr: unix.SYS_EXIT_GROUP, Args: [6]uintptr{3}}, Call{Nr: unix.SYS_GETPID}); err == nil {
		t.Error("a child that ends too soon is no error")
	}
	if _, err := Start(Options{Flags: unix.CLONE_VM | unix.CLONE_VFORK}); !errors.Is(err, unix.ENOTSUP) {
		t.Errorf("a child on its parent's stack: %v, want %v", err, unix.ENOTSUP)
	}
	if _, err := Start(Options{Flags: unix.CLONE_SIGHAND}); !errors.Is(err, unix.EINVAL) {
		t.Errorf("flags that do not go together: %v, want %v", err, unix.EINVAL)
	}
}
