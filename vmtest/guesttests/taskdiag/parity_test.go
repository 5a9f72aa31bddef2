// SPDX-License-Identifier: Apache-2.0

//go:build guest

package taskdiag

import (
	"fmt"
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// rounds is how often a comparison is tried, as tasks do not stand still.
const rounds = 200

// sameFields compares what task_diag says about tasks with what /proc says: of each task that is the same before and after.
// It goes on until all that must be compared have been, and returns how many were.
func sameFields(t *testing.T, must map[int]string, strategy, show uint64, list func() (map[int]string, error)) int {
	t.Helper()
	d := open(t)
	left, compared, differ := maps.Clone(must), map[int]bool{}, map[int]int{}
	look := func() map[int]fields {
		all := map[int]fields{}
		for _, task := range d.dump(t, strategy, show, 0).tasks {
			all[int(task.PID)] = task.fields()
		}
		return all
	}
	for round := range rounds {
		dirs, err := list()
		if err != nil {
			t.Fatal(err)
		}
		before, texts := look(), map[int]fields{}
		for pid := range before {
			if _, ok := left[pid]; round > 0 && !ok {
				continue
			}
			if text, err := procFields(dirs[pid]); err == nil {
				texts[pid] = text
			} else if dirs[pid] != "" && !gone(err) {
				t.Fatal(err)
			}
		}
		after := look()
		for pid, text := range texts {
			b := before[pid]
			if !maps.Equal(b, after[pid]) {
				continue
			}
			if text = text.only(b); !maps.Equal(b, text) {
				// One that ran and slept and ran again, perhaps.
				if differ[pid]++; differ[pid] < 10 {
					left[pid] = "once different"
					continue
				}
				t.Errorf("task %d %s: task_diag (-), /proc (+):\n%s", pid, must[pid], cmp.Diff(b, text))
			}
			delete(left, pid)
			compared[pid] = true
		}
		if len(left) == 0 || t.Failed() {
			return len(compared)
		}
	}
	t.Errorf("no two answers are the same in %d rounds about %v", rounds, left)
	return len(compared)
}

func processes() (map[int]string, error) {
	pids, err := procPIDs("/proc")
	dirs := map[int]string{}
	for _, pid := range pids {
		dirs[pid] = fmt.Sprintf("/proc/%d", pid)
	}
	return dirs, err
}

// compare is a test of a group: of processes with ALL, and of threads, where the strategy is there.
func compare(t *testing.T, strategy, show uint64, list func() (map[int]string, error)) {
	t.Helper()
	n := sameFields(t, targets(t), strategy, show, list)
	// Kernel threads, init and the like are compared as well.
	if n < 30 {
		t.Errorf("only %d tasks were compared", n)
	}
}

func TestBase(t *testing.T) { compare(t, dumpAll, showBase, processes) }

func TestBaseOfThreads(t *testing.T) { compare(t, dumpAllThread, showBase, procTasks) }

func TestCred(t *testing.T) { compare(t, dumpAll, showCred, processes) }

func TestStat(t *testing.T) { compare(t, dumpAll, showStat, processes) }

func TestStatOfThreads(t *testing.T) {
	stop := stoppedProgram(t)
	must := map[int]string{}
	tids, err := procPIDs(fmt.Sprintf("/proc/%d/task", stop))
	if err != nil {
		t.Fatal(err)
	}
	for _, tid := range tids {
		must[tid] = "thread"
	}
	if len(must) < 3 {
		t.Fatalf("process %d has %d threads", stop, len(must))
	}
	sameFields(t, must, dumpAllThread, showBase|showStat, procTasks)
}

// stoppedProgram starts this program, which has threads, and stops it.
func stoppedProgram(t *testing.T) int {
	t.Helper()
	pid := startRole(t, "wait")
	stop(t, pid)
	return pid
}

// idle is a kernel thread that has nothing to do: the rescuer of a work queue.
const idle = 4

// Each group is what it is alone if there are others with it.
func TestAllGroups(t *testing.T) {
	d := open(t)
	for _, pid := range []int{target(t, "mappings"), target(t, "credentials"), target(t, "zombie"), idle} {
		all := d.dump(t, dumpOne, showAll, pid).tasks[0]
		for _, show := range []uint64{showBase, showCred, showStat, showVMA, showVMA | showVMAStat, showBase | showStat, showCred | showVMA} {
			some := d.dump(t, dumpOne, show, pid)
			if len(some.tasks) != 1 {
				t.Fatalf("task %d, groups %#x: %d tasks", pid, show, len(some.tasks))
			}
			got := some.tasks[0]
			have := map[uint64]bool{showBase: got.Base != nil, showCred: got.Cred != nil, showStat: got.Stat != nil, showVMA: len(got.VMAs) > 0}
			for group, has := range have {
				want := show&group != 0 && (group != showVMA || len(all.VMAs) > 0)
				if has != want {
					t.Errorf("task %d, groups %#x: group %#x there: %v, want %v", pid, show, group, has, want)
				}
			}
			if f := got.fields(); !maps.Equal(f, all.fields().only(f)) {
				t.Errorf("task %d, groups %#x: all (-), some (+):\n%s", pid, show, cmp.Diff(all.fields().only(f), f))
			}
			for i, v := range got.VMAs {
				if (v.Stat != nil) != (show&showVMAStat != 0) || i >= len(all.VMAs) || v.Start != all.VMAs[i].Start || v.Name != all.VMAs[i].Name {
					t.Errorf("task %d, groups %#x: mapping %d: %+v", pid, show, i, v)
				}
			}
		}
	}
}

func TestMaps(t *testing.T) { sameMappings(t, showVMA, "maps") }

func TestSmaps(t *testing.T) { sameMappings(t, showVMA|showVMAStat, "smaps") }

// sameMappings compares the mappings of all processes with those in a file of /proc.
func sameMappings(t *testing.T, show uint64, file string) {
	t.Helper()
	targets := map[int]string{stoppedProgram(t): "program"}
	for _, what := range []string{"mappings", "plain", "credentials", "zombie"} {
		targets[target(t, what)] = what
	}
	d := open(t)
	kinds, compared, long := map[string]bool{}, 0, 0
	for pid, what := range targets {
		look := func() (lines []procVMA, vmas []vma) {
			a := d.dump(t, dumpOne, show, pid)
			for _, v := range a.tasks[0].VMAs {
				lines = append(lines, v.proc())
			}
			return lines, a.tasks[0].VMAs
		}
		same := false
		for range rounds {
			before, vmas := look()
			text, err := procVMAs(fmt.Sprintf("/proc/%d/%s", pid, file))
			if err != nil {
				t.Fatal(err)
			}
			after, _ := look()
			if same = cmp.Equal(before, after); !same {
				continue
			}
			if len(before) != len(text) {
				t.Errorf("%s %d: %d mappings, %s has %d", what, pid, len(before), file, len(text))
				break
			}
			for i, v := range before {
				if text[i].Stats = text[i].Stats.only(v.Stats); vmas[i].Flags&vmaNameTooLong != 0 {
					if vmas[i].Named || len(text[i].Name) < 4000 {
						t.Errorf("%s %d: mapping %s: a name that is too long: %q, %s has %d bytes", what, pid, v.Line, v.Name, file, len(text[i].Name))
					}
					text[i].Name = v.Name
					long++
				}
				if !cmp.Equal(v, text[i]) {
					t.Errorf("%s %d: task_diag (-), %s (+):\n%s", what, pid, file, cmp.Diff(v, text[i]))
				}
				compared++
				for name, value := range v.Stats {
					if value != "0" {
						kinds[name] = true
					}
				}
			}
			break
		}
		if !same {
			t.Errorf("%s %d: no two answers are the same in %d rounds", what, pid, rounds)
		}
	}
	if compared < 100 || long != 1 {
		t.Errorf("%d mappings compared, %d of them with a name that is too long; want many, and 1", compared, long)
	}
	if show&showVMAStat == 0 {
		return
	}
	// A figure that is 0 everywhere proves nothing.
	for _, name := range []string{"Size", "KernelPageSize", "Rss", "Pss", "Pss_Dirty", "Shared_Clean", "Shared_Dirty", "Private_Clean",
		"Private_Dirty", "Referenced", "Anonymous", "LazyFree", "Locked"} {
		if !kinds[name] {
			t.Errorf("%s is 0 in all mappings", name)
		}
	}
}
