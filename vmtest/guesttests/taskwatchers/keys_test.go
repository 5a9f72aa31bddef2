// SPDX-License-Identifier: Apache-2.0

//go:build guest

package taskwatchers

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seriesrig/series/vmtest/guesttests/internal/fork"
)

func keyctl(op int, args ...int) fork.Call {
	c := fork.Call{Nr: unix.SYS_KEYCTL, Args: [6]uintptr{uintptr(op)}}
	for i, a := range args {
		c.Args[i+1] = uintptr(a)
	}
	return c
}

func keyring(which, create int) fork.Call {
	return keyctl(unix.KEYCTL_GET_KEYRING_ID, which, create)
}

// A child has the session keyring of its parent, and neither its thread keyring nor its process keyring.
func TestKeyrings(t *testing.T) {
	w := startWorker(t)
	ids := w.do(keyctl(unix.KEYCTL_JOIN_SESSION_KEYRING), keyring(unix.KEY_SPEC_THREAD_KEYRING, 1), keyring(unix.KEY_SPEC_PROCESS_KEYRING, 1))
	for _, o := range []fork.Options{{}, {Flags: unix.CLONE_FILES | unix.CLONE_FS | unix.CLONE_SYSVSEM}} {
		c, err := start(w, o, keyring(unix.KEY_SPEC_SESSION_KEYRING, 0), keyring(unix.KEY_SPEC_THREAD_KEYRING, 0),
			keyring(unix.KEY_SPEC_PROCESS_KEYRING, 0), keyring(unix.KEY_SPEC_THREAD_KEYRING, 1), keyring(unix.KEY_SPEC_PROCESS_KEYRING, 1))
		if err != nil {
			t.Fatal(err)
		}
		if c[0].Err() != nil || c[0].Result != ids[0] {
			t.Errorf("clone flags %#x: session keyring of the child: %d, %v, want the parent's, %d", o.Flags, c[0].Result, c[0].Err(), ids[0])
		}
		for i, what := range []string{"thread", "process"} {
			if err := c[i+1].Err(); err != unix.ENOKEY {
				t.Errorf("clone flags %#x: %s keyring of the child: %d, %v, want %v", o.Flags, what, c[i+1].Result, err, unix.ENOKEY)
			}
			if made := c[i+3]; made.Err() != nil || made.Result == ids[i+1] {
				t.Errorf("clone flags %#x: %s keyring made by the child: %d, %v, want another than the parent's, %d", o.Flags, what, made.Result, made.Err(), ids[i+1])
			}
		}
	}
	again := w.do(keyring(unix.KEY_SPEC_SESSION_KEYRING, 0), keyring(unix.KEY_SPEC_THREAD_KEYRING, 0), keyring(unix.KEY_SPEC_PROCESS_KEYRING, 0))
	for i, what := range []string{"session", "thread", "process"} {
		if again[i] != ids[i] {
			t.Errorf("%s keyring of the parent, after its children: %d, want %d", what, again[i], ids[i])
		}
	}
}

func start(w *worker, o fork.Options, calls ...fork.Call) (done []fork.Call, err error) {
	w.run(func() error {
		c, err := fork.Start(o, calls...)
		if err == nil {
			done, err = c.Wait()
		}
		return err
	})
	return done, nil
}

// The thread keyring belongs to who the thread is in the file system: key_fsuid_changed() and key_fsgid_changed() are
// called whenever that changes, and before the system call that changes it returns. That they are called before the new
// credentials can be seen, which is why they are no watchers of uid and gid, is a matter of a few instructions that no test
// from outside can hit.
func TestThreadKeyringFollowsFsIDs(t *testing.T) {
	w := startWorker(t)
	w.do(keyring(unix.KEY_SPEC_THREAD_KEYRING, 1))
	is := func(when string, uid, gid int) {
		t.Helper()
		w.run(func() error {
			text, err := unix.KeyctlString(unix.KEYCTL_DESCRIBE, unix.KEY_SPEC_THREAD_KEYRING)
			if want := fmt.Sprintf("keyring;%d;%d;", uid, gid); err == nil && !strings.HasPrefix(text, want) {
				err = fmt.Errorf("%s: the thread keyring is %q, want %q", when, text, want)
			}
			return err
		})
	}
	call := func(nr uintptr, args ...int) fork.Call {
		c := fork.Call{Nr: nr}
		for i, a := range args {
			c.Args[i] = uintptr(a)
		}
		return c
	}
	is("at first", 0, 0)
	w.do(call(unix.SYS_SETFSGID, 1001))
	is("after setfsgid", 0, 1001)
	w.do(call(unix.SYS_SETFSUID, 1002))
	is("after setfsuid", 1002, 1001)
	w.fork(fork.Options{})
	is("after a child", 1002, 1001)
	w.do(call(unix.SYS_SETFSUID, 0))
	is("after setfsuid back", 0, 1001)
	w.do(call(unix.SYS_SETRESGID, -1, 1003, -1))
	is("after setresgid of the effective ID", 0, 1003)
	w.do(call(unix.SYS_SETRESUID, -1, 1004, -1))
	is("after setresuid of the effective ID", 1004, 1003)
	w.do(call(unix.SYS_SETRESUID, -1, 0, -1))
	is("after setresuid back", 0, 1003)
}
