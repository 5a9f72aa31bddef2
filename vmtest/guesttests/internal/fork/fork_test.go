// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || ppc64 || ppc64le)

package fork

import (
	"encoding/binary"
	"errors"
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

func TestRun(t *testing.T) {
	calls, err := Run(Options{}, Call{Nr: unix.SYS_GETPPID}, Call{Nr: unix.SYS_GETPID, Mark: true})
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

func TestRounds(t *testing.T) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for rounds, want := range map[int]uint64{0: 1, 1: 1, 7: 7} {
		one := uint64(1)
		if _, err := Run(Options{Rounds: rounds}, Call{Nr: unix.SYS_WRITE, Args: [6]uintptr{uintptr(fd), uintptr(unsafe.Pointer(&one)), 8}}); err != nil {
			t.Fatal(err)
		}
		var b [8]byte
		if _, err := unix.Read(fd, b[:]); err != nil {
			t.Fatal(err)
		}
		if got := binary.NativeEndian.Uint64(b[:]); got != want {
			t.Errorf("Rounds %d: the call was made %d times, want %d", rounds, got, want)
		}
	}
}
