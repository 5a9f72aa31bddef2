// SPDX-License-Identifier: Apache-2.0

//go:build guest

package taskdiag

import (
	"bytes"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/seriesrig/series/vmtest/taskdiag/ps"
)

// psProgram is vmtest/taskdiag/cmd/ps, which series.toml puts into the guest ([guest] programs), before u-root's.
const psProgram = "ps"

func runPS(t *testing.T, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(psProgram, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("ps %q: %v: %s", args, err, stderr.Bytes())
	}
	return out
}

// ps has the same list from both interfaces, to the byte: every column of processes that have something special each, and
// of many that have not.
func TestPS(t *testing.T) {
	special := targets(t)
	pids := slices.Sorted(maps.Keys(special))
	pids = append(pids, procChildren(t, crowd(t, 300, 3))...)
	only := strings.Trim(strings.ReplaceAll(fmt.Sprint(pids), " ", ","), "[]")
	all := ""
	for _, c := range ps.Columns {
		all += "," + c.Name
	}
	// All columns; and those that take stat alone, status alone, and both.
	for _, list := range []string{all[1:], "pid,ppid", "pid,tpid,uid,s", "uid,comm"} {
		text := runPS(t, "-proc", "-p", only, "-o", list)
		diag := runPS(t, "-task-diag", "-p", only, "-o", list)
		if n := bytes.Count(text, []byte("\n")); n != len(pids)+1 {
			t.Errorf("-o %s: %d lines, want a head and %d processes", list, n, len(pids))
		}
		if bytes.Equal(text, diag) {
			continue
		}
		a, b := bytes.Split(text, []byte("\n")), bytes.Split(diag, []byte("\n"))
		for i := range min(len(a), len(b)) {
			if !bytes.Equal(a[i], b[i]) {
				t.Errorf("-o %s: line %d from /proc\n%q, from task_diag\n%q", list, i+1, a[i], b[i])
				break
			}
		}
		if len(a) != len(b) {
			t.Errorf("-o %s: %d lines from /proc, %d from task_diag", list, len(a), len(b))
		}
	}
}

// What the two lists are compared by does see a difference.
func TestPSDiffers(t *testing.T) {
	pid := fmt.Sprint(target(t, "plain"))
	if a, b := runPS(t, "-proc", "-p", pid, "-o", "pid,ppid"), runPS(t, "-task-diag", "-p", pid, "-o", "pid,pgid"); bytes.Equal(a, b) {
		t.Errorf("other columns, the same list: %q", a)
	}
}
