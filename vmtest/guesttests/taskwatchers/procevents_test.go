// SPDX-License-Identifier: Apache-2.0

//go:build guest

package taskwatchers

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seriesrig/series/vmtest/guesttests/internal/cnproc"
	"github.com/seriesrig/series/vmtest/guesttests/internal/fork"
	"github.com/seriesrig/series/vmtest/guesttests/internal/role"
	"github.com/seriesrig/series/vmtest/guesttests/internal/tiny"
)

func listen(t testing.TB) *cnproc.Conn {
	t.Helper()
	c, err := cnproc.Listen()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// until returns the events of a process up to its EXIT.
func until(t testing.TB, c *cnproc.Conn, pid int) (events []cnproc.Event) {
	t.Helper()
	for {
		e, err := c.Next(patience)
		if err != nil {
			t.Fatalf("events of process %d: %v, after %+v", pid, err, events)
		}
		if e.TGID != pid {
			continue
		}
		if events = append(events, e); e.Kind == cnproc.Exit && e.PID == pid {
			return events
		}
	}
}

func kinds(events []cnproc.Event) (k []cnproc.Kind) {
	for _, e := range events {
		k = append(k, e.Kind)
	}
	return k
}

// execArgs are the arguments of an execve, of which calls only have the addresses: here they neither move nor go.
var execArgs struct {
	name *byte
	argv [2]*byte
	envp [1]*byte
}

// Each event comes once, in the order in which things happen to a task, with what belongs to it.
func TestProcEventsOrder(t *testing.T) {
	elf, err := tiny.Quit()
	name, err := unix.BytePtrFromString(program(t, "quit", elf, err))
	if err != nil {
		t.Fatal(err)
	}
	execArgs.name, execArgs.argv[0] = name, name
	execs := fork.Call{Nr: unix.SYS_EXECVE, Args: [6]uintptr{uintptr(unsafe.Pointer(name)),
		uintptr(unsafe.Pointer(&execArgs.argv)), uintptr(unsafe.Pointer(&execArgs.envp))}}
	setgid := fork.Call{Nr: unix.SYS_SETGID, Args: [6]uintptr{1001}}
	setuid := fork.Call{Nr: unix.SYS_SETUID, Args: [6]uintptr{1002}}
	for _, c := range []struct {
		name  string
		calls []fork.Call
		want  []cnproc.Kind
	}{
		{"exit", nil, []cnproc.Kind{cnproc.Fork, cnproc.Exit}},
		{"ids", []fork.Call{setgid, setgid, setuid, setuid}, []cnproc.Kind{cnproc.Fork, cnproc.GID, cnproc.UID, cnproc.Exit}},
		{"exec", []fork.Call{setgid, execs, setuid}, []cnproc.Kind{cnproc.Fork, cnproc.GID, cnproc.Exec, cnproc.Exit}},
		{"code", []fork.Call{{Nr: unix.SYS_EXIT_GROUP, Args: [6]uintptr{7}}}, []cnproc.Kind{cnproc.Fork, cnproc.Exit}},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn := listen(t)
			for range 10 {
				child, err := fork.Start(fork.Options{}, c.calls...)
				if err != nil {
					t.Fatal(err)
				}
				events := until(t, conn, child.PID)
				if _, err := child.Wait(); err != nil && c.name != "code" {
					t.Fatal(err)
				}
				if got := kinds(events); !slices.Equal(got, c.want) {
					t.Fatalf("events %v, want %v", got, c.want)
				}
				for _, e := range events {
					switch {
					case e.PID != child.PID,
						e.Kind == cnproc.Fork && e.Parent != os.Getpid(),
						e.Kind == cnproc.GID && (e.Real != 1001 || e.Eff != 1001),
						e.Kind == cnproc.UID && (e.Real != 1002 || e.Eff != 1002),
						e.Kind == cnproc.Exit && (e.ExitCode == 7<<8) != (c.name == "code"):
						t.Errorf("%v event of child %d of %d: %+v", e.Kind, child.PID, os.Getpid(), e)
					}
				}
			}
		})
	}
}

// FORK, EXEC, the IDs, EXIT: of a program that changes its IDs itself.
func TestProcEventsOfProgram(t *testing.T) {
	conn := listen(t)
	cmd := role.Command("ids")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	events := until(t, conn, cmd.Process.Pid)
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	// Each thread changes its IDs by itself, and has a FORK and an EXIT.
	var first []cnproc.Kind
	for _, e := range events {
		if e.PID == cmd.Process.Pid {
			first = append(first, e.Kind)
		}
	}
	if want := []cnproc.Kind{cnproc.Fork, cnproc.Exec, cnproc.GID, cnproc.UID, cnproc.Exit}; !slices.Equal(first, want) {
		t.Errorf("events of the first thread: %v, want %v", first, want)
	}
}

// Who hears of an exit can wait for the child at once.
func TestProcEventsExitIsWaitable(t *testing.T) {
	const children = 50
	conn := listen(t)
	for i := range children {
		child, err := fork.Start(fork.Options{})
		if err != nil {
			t.Fatal(err)
		}
		until(t, conn, child.PID)
		if err := waitable(child.PID); err != nil {
			t.Fatalf("child %d of %d, at its EXIT event: %v", i+1, children, err)
		}
		if _, err := child.Wait(); err != nil {
			t.Fatal(err)
		}
	}
}

// waitable is an error where a child cannot be waited for now.
func waitable(pid int) error {
	var info unix.Siginfo
	for {
		err := unix.Waitid(unix.P_PID, pid, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("waitid: %w", err)
		case info.Signo != int32(unix.SIGCHLD):
			return errors.New("waitid finds nothing to wait for")
		}
		return nil
	}
}
