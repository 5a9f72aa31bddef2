// SPDX-License-Identifier: Apache-2.0

//go:build guest

package taskwatchers

import (
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seriesrig/series/vmtest/guesttests/internal/fork"
	"github.com/seriesrig/series/vmtest/guesttests/internal/role"
)

// Modes of set_mempolicy(2).
const (
	mpolDefault    = 0
	mpolBind       = 2
	mpolInterleave = 3
)

const maxNode = 1024

// A policy is what get_mempolicy(2) says, in memory that children share.
type policy struct {
	Mode  uint32
	Nodes [maxNode / 64]uint64
}

func newPolicy(t testing.TB) *policy {
	t.Helper()
	b, err := unix.Mmap(-1, 0, int(unsafe.Sizeof(policy{})), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Munmap(b) })
	return (*policy)(unsafe.Pointer(&b[0]))
}

func (p *policy) get() fork.Call {
	return fork.Call{Nr: unix.SYS_GET_MEMPOLICY, Args: [6]uintptr{uintptr(unsafe.Pointer(&p.Mode)), uintptr(unsafe.Pointer(&p.Nodes)), maxNode}}
}

func (p *policy) set() fork.Call {
	nodes := unsafe.Pointer(&p.Nodes)
	if p.Mode == mpolDefault {
		nodes = nil
	}
	return fork.Call{Nr: unix.SYS_SET_MEMPOLICY, Args: [6]uintptr{uintptr(p.Mode), uintptr(nodes), maxNode}}
}

func (p *policy) String() string { return fmt.Sprintf("mode %d nodes %#x", p.Mode, p.Nodes[0]) }

// nodes returns the nodes with memory: the first, the last and the list of them. On amd64 there have to be two, which
// numa=fake=2 on the kernel's command line makes. On powerpc the same words only make two where the firmware tells of
// more than one piece of memory; elsewhere all of it is in one node, 0 or 1, and the tests do with that.
func nodes(t testing.TB) (first, last int, list string) {
	t.Helper()
	switch list = read(t, "/sys/devices/system/node/has_memory"); {
	case list == "0-1":
		return 0, 1, list
	case len(list) == 1 && runtime.GOARCH != "amd64":
		t.Logf("this machine has one node of memory, %s", list)
		n := int(list[0] - '0')
		return n, n, list
	}
	t.Fatalf("nodes with memory: %s, want 0-1: the kernel's command line needs numa=fake=2", list)
	return 0, 0, ""
}

// A child has the policy of its parent, as one of its own.
func TestMempolicyInherited(t *testing.T) {
	first, last, _ := nodes(t)
	w := startWorker(t)
	bind, other, seen, own := newPolicy(t), newPolicy(t), newPolicy(t), newPolicy(t)
	bind.Mode, bind.Nodes[0] = mpolBind, 1<<last
	other.Mode, other.Nodes[0] = mpolInterleave, 1<<first|1<<last
	w.do(bind.set())
	for range 15 {
		*seen, *own = policy{}, policy{}
		w.fork(fork.Options{}, seen.get(), other.set(), own.get())
		if *seen != *bind || *own != *other {
			t.Fatalf("a child has %v, and after a change %v; want %v and %v", seen, own, bind, other)
		}
		*seen = policy{}
		w.do(seen.get())
		if *seen != *bind {
			t.Fatalf("after a child the parent has %v, want %v", seen, bind)
		}
	}
	full := newCgroup(t)
	full.set("pids.max", "0")
	for range 60 {
		w.fails(unix.EAGAIN, fork.Options{Flags: unix.CLONE_INTO_CGROUP, Cgroup: full.fd})
	}
	w.do(seen.get())
	if *seen != *bind {
		t.Errorf("after forks that failed the parent has %v, want %v", seen, bind)
	}
	w.do((&policy{}).set())
	*seen = policy{Mode: mpolBind}
	w.fork(fork.Options{}, seen.get())
	if seen.Mode != mpolDefault {
		t.Errorf("a child of a parent without a policy has %v", seen)
	}
}

// allowed says, for itself and a child of its own, what they may use.
func allowed() error {
	child, err := fork.Start(fork.Options{}, fork.Call{Nr: unix.SYS_PPOLL})
	if err != nil {
		return err
	}
	for _, who := range []string{"self", fmt.Sprint(child.PID)} {
		cpus, err1 := statusField(who, "Cpus_allowed_list")
		mems, err2 := statusField(who, "Mems_allowed_list")
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		fmt.Println(cpus, mems)
	}
	if err := unix.Kill(child.PID, unix.SIGKILL); err != nil {
		return err
	}
	child.Wait()
	return nil
}

// Who is made in a cpuset may use what that has, and so may its children.
func TestCpusetInherited(t *testing.T) {
	first, last, all := nodes(t)
	for _, c := range []struct{ cpus, mems string }{{"0", fmt.Sprint(last)}, {"1", fmt.Sprint(first)}, {"0-1", all}} {
		g := newCgroup(t)
		g.set("cpuset.cpus", c.cpus)
		g.set("cpuset.mems", c.mems)
		cmd := role.Command("allowed")
		cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: g.fd}
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		if want := strings.Repeat(c.cpus+" "+c.mems+"\n", 2); string(out) != want {
			t.Errorf("who was cloned into a cpuset and its child may use CPUs and nodes\n%swant\n%s", out, want)
		}
	}
	out, err := role.Command("allowed").Output()
	if want := strings.Repeat("0-1 "+all+"\n", 2); err != nil || string(out) != want {
		t.Errorf("outside of a cpuset: %v\n%swant\n%s", err, out, want)
	}
}

// A task that is there follows when its cpuset changes, and so does the next child.
func TestCpusetChanges(t *testing.T) {
	first, last, _ := nodes(t)
	g := newCgroup(t)
	g.set("cpuset.cpus", "0")
	g.set("cpuset.mems", fmt.Sprint(first))
	cat := exec.Command("/proc/self/exe")
	cat.Env = []string{role.Var + "=wait"}
	in, err := cat.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	cat.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: g.fd}
	if err := cat.Start(); err != nil {
		t.Fatal(err)
	}
	g.set("cpuset.cpus", "1")
	g.set("cpuset.mems", fmt.Sprint(last))
	who := fmt.Sprint(cat.Process.Pid)
	eventually(t, "a task follows its cpuset", func() bool {
		cpus, err1 := statusField(who, "Cpus_allowed_list")
		mems, err2 := statusField(who, "Mems_allowed_list")
		return err1 == nil && err2 == nil && cpus == "1" && mems == fmt.Sprint(last)
	})
	in.Close()
	if err := cat.Wait(); err != nil {
		t.Error(err)
	}
}
