// SPDX-License-Identifier: Apache-2.0

package results

import (
	"strings"
	"testing"
)

// A published figure is not lost to a slip in the file.
func TestParseAnchors(t *testing.T) {
	good := string(anchorsFile)
	if _, err := parseAnchors([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string][3]string{
		"misspelt key":  {"cost_percent ", "cost_procent ", "cost_procent"},
		"figure gone":   {"-38.12, ", "", "8 figures for 9 patches"},
		"baseline gone": {"124.406, ", "", "kernbench.elapsed_s: 9 figures"},
		"no change":     {`change = "tie"`, `change = "draw"`, `change "draw"`},
		"no states":     {`audit = ["off", "seccomp"]`, `audit = []`, "states"},
		"no toml":       {"[task_watchers]", "[task_watchers", "anchors.toml"},
	} {
		bad := strings.Replace(good, c[0], c[1], 1)
		if bad == good {
			t.Fatalf("%s: %q is not in the file", name, c[0])
		}
		if _, err := parseAnchors([]byte(bad)); err == nil || !strings.Contains(err.Error()+missingKeys(err), c[2]) {
			t.Errorf("%s: parseAnchors = %v, want an error with %q", name, err, c[2])
		}
	}
}

// missingKeys is what the decoder has to say beyond its error's first line.
func missingKeys(err error) string {
	if s, ok := err.(interface{ Unwrap() error }); ok {
		if d, ok := s.Unwrap().(interface{ String() string }); ok {
			return d.String()
		}
	}
	return ""
}

// The patches of today stand beside those of 2006 with the same topic, by their subjects.
func TestOldPatch(t *testing.T) {
	r := &Run{Series: "task-watchers"}
	want := []int{1, 0, 6, 7, 4, 5, 3, 2, 8, 9, 0, 0, 0, 0, 0}
	for _, subject := range []string{
		"task_watchers: call a table of functions as tasks fork, exec and exit",
		"task_watchers: add KUnit tests",
		"tracing: Initialize the irqflags of a task by a task watcher",
		"locking/lockdep: Initialize a task by a task watcher",
		"cgroup/cpuset: initialize a task by a task watcher",
		"mm/mempolicy: copy and put the policy of a task by task watchers",
		"ipc/sem: copy and undo by task watchers",
		"audit: allocate and free the context of a task by task watchers",
		"keys: clear and put the cached key of a task by task watchers",
		"connector/cn_proc: report by task watchers",
		"module: gather the task watchers of a module by event",
		"module: find the task watchers of a module",
		"task_watchers: call those of modules",
		"samples: add a module with task watchers",
		"Documentation/core-api: describe task watchers",
	} {
		r.Patches = append(r.Patches, PatchFile{Subject: subject})
	}
	a, err := AnchorFor("task-watchers", "Clone")
	if err != nil || a == nil {
		t.Fatal(a, err)
	}
	for i, n := range want {
		if got := a.OldPatch(r, i+1); got != n {
			t.Errorf("patch %d, %q: patch %d of 2006, want %d", i+1, r.Patches[i].Subject, got, n)
		}
	}
	if got := a.OldPatch(r, 16); got != 0 {
		t.Errorf("a patch that is not there: patch %d of 2006", got)
	}
}
