// SPDX-License-Identifier: Apache-2.0

//go:build guest

package taskwatchers

import (
	"github.com/seriesrig/series/internal/need"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The table is read-only in the kernel's page tables, the first byte of it and the last. That the page tables can tell is
// shown by data that is not.
func TestTableIsReadOnly(t *testing.T) {
	watchers(t)
	from, to := symbol(t, "__start_task_watchers_init"), symbol(t, "__stop_task_watchers_dead")
	if from == 0 || to < from {
		t.Fatalf("/proc/kallsyms has the table from %#x to %#x; does the kernel have CONFIG_KALLSYMS_ALL?", from, to)
	}
	all := pageTables(t)
	data := symbol(t, "init_task")
	if data == 0 {
		t.Fatal("/proc/kallsyms has no init_task")
	}
	if err := readOnly(all, data); err == nil || !strings.Contains(err.Error(), "written") {
		t.Fatalf("init_task, at %#x, which is written: %v", data, err)
	}
	last := from
	if to > from {
		last = to - 1
	}
	for _, addr := range []uint64{from, last} {
		if err := readOnly(all, addr); err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d bytes at %#x", to-from, from)
}

// The KUnit tests of the series, once more: the one that writes to the table can only be run when the kernel has booted.
func TestKUnit(t *testing.T) {
	dir := filepath.Join(debugfs(t), "kunit/task_watchers")
	need.File(t, dir, "KUnit tests of task watchers")
	if err := os.WriteFile(filepath.Join(dir, "run"), []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	results := read(t, filepath.Join(dir, "results"))
	found := false
	for line := range strings.Lines(results) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "not ok") {
			t.Errorf("KUnit: %s", line)
		}
		if strings.Contains(line, "task_watchers_read_only_test") && strings.HasPrefix(line, "ok ") {
			found = true
			if strings.Contains(line, "SKIP") {
				t.Errorf("KUnit: %s", line)
			}
		}
	}
	if !found {
		t.Error("KUnit: no result of task_watchers_read_only_test")
	}
	if t.Failed() {
		t.Log(results)
	}
}
