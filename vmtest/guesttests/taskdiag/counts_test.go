// SPDX-License-Identifier: Apache-2.0

//go:build guest

package taskdiag

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// crowdSize is 1000 processes with 10 threads each; fewer where there is no memory for them, or where lockdep makes all of it
// slow.
func crowdSize(t testing.TB) (processes, threads int) {
	t.Helper()
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		t.Fatal(err)
	}
	most := 1000
	if _, err := os.Stat("/proc/lockdep_stats"); err == nil {
		most = 200
	}
	free := (uint64(info.Freeram) + uint64(info.Bufferram)) * uint64(info.Unit)
	return min(most, int(free*2/3/(48<<10)/10)), 10
}

// Every strategy shows each task once, and no other, whether the answer comes in one read or in many.
func TestStrategies(t *testing.T) {
	processes, threads := crowdSize(t)
	main := crowd(t, processes, threads)
	children := procChildren(t, main)
	if len(children) != processes {
		t.Fatalf("a crowd of %d processes, want %d", len(children), processes)
	}
	var tids []int
	of := map[int][]int{}
	for _, pid := range children {
		list, err := procPIDs(fmt.Sprintf("/proc/%d/task", pid))
		if err != nil || len(list) != threads {
			t.Fatalf("process %d has %d threads, %v, want %d", pid, len(list), err, threads)
		}
		of[pid] = list
		tids = append(tids, list...)
	}
	slices.Sort(tids)
	t.Logf("%d processes, %d threads", processes, len(tids))
	d := open(t)
	isChild := map[int]bool{}
	for _, pid := range children {
		isChild[pid] = true
	}
	check := func(what string, r request, size int, want []int) {
		t.Helper()
		a, err := d.ask(r, size)
		if err != nil {
			t.Fatal(err)
		}
		got := []int{}
		for _, task := range a.tasks {
			if isChild[int(task.TGID)] {
				got = append(got, int(task.PID))
			}
			if (task.Base != nil) != (r.Show&showBase != 0) {
				t.Fatalf("%s: task %d: BASE there: %v", what, task.PID, task.Base != nil)
			}
		}
		if a.err != 0 || !slices.Equal(got, want) {
			t.Errorf("%s: error %d, %d tasks, want these %d, in this order", what, a.err, len(got), len(want))
		}
		if r.PID != 0 && len(a.tasks) != len(want) {
			t.Errorf("%s: %d tasks that were not asked for", what, len(a.tasks)-len(want))
		}
	}
	byPID := slices.Sorted(slices.Values(children))
	for _, c := range []struct {
		size int
		show uint64
	}{{bufSize, showBase}, {500, 0}} {
		name := fmt.Sprintf("groups %#x, buffer of %d bytes: ", c.show, c.size)
		check(name+"ALL", newRequest(dumpAll, c.show, 0), c.size, byPID)
		check(name+"ALL_THREAD", newRequest(dumpAllThread, c.show, 0), c.size, tids)
		check(name+"CHILDREN", newRequest(dumpChildren, c.show, main), c.size, children)
		for i := 0; i < len(children); i += max(1, len(children)/10) {
			pid := children[i]
			check(name+"THREAD", newRequest(dumpThread, c.show, pid), c.size, of[pid])
			check(name+"ONE", newRequest(dumpOne, c.show, pid), c.size, []int{pid})
			check(name+"CHILDREN of one without", newRequest(dumpChildren, c.show, pid), c.size, []int{})
		}
	}
}

// procChildren lists the children of a process.
func procChildren(t testing.TB, pid int) []int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", pid))
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for word := range strings.FieldsSeq(string(b)) {
		n, err := strconv.Atoi(word)
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, n)
	}
	return pids
}

// ONE of a thread is that thread, THREAD of a thread is its process, CHILDREN of a thread are its own.
func TestThreadsAsTasks(t *testing.T) {
	pid := stoppedProgram(t)
	tids, err := procPIDs(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil || len(tids) < 2 {
		t.Fatalf("threads %v, %v", tids, err)
	}
	d := open(t)
	tid := tids[1]
	a := d.dump(t, dumpOne, showBase, tid)
	if len(a.tasks) != 1 || a.tasks[0].PID != uint32(tid) || a.tasks[0].TGID != uint32(pid) {
		t.Errorf("ONE of thread %d of %d: tasks %v", tid, pid, a.pids())
	}
	if a := d.dump(t, dumpThread, 0, tid); !slices.Equal(a.pids(), tids) {
		t.Errorf("THREAD of thread %d of %d: tasks %v, want %v", tid, pid, a.pids(), tids)
	}
	if a := d.dump(t, dumpChildren, 0, tid); len(a.tasks) != 0 {
		t.Errorf("CHILDREN of thread %d: tasks %v", tid, a.pids())
	}
}

// Who is not there is ESRCH at the end of the answer, and no error of a call.
func TestNobody(t *testing.T) {
	d := open(t)
	pid := child(t, 0)
	kill(t, pid)
	for _, strategy := range []uint64{dumpOne, dumpThread, dumpChildren} {
		for _, pid := range []int{pid, 1<<22 - 1} {
			a, err := d.ask(newRequest(strategy, showBase, pid), bufSize)
			if err != nil {
				t.Error(err)
			} else if a.err != -int32(unix.ESRCH) || len(a.tasks) > 0 {
				t.Errorf("strategy %d, pid %d: error %d, tasks %v, want ESRCH and none", strategy, pid, a.err, a.pids())
			}
		}
	}
}
