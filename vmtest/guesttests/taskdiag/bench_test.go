// SPDX-License-Identifier: Apache-2.0

//go:build guest

package taskdiag

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"testing"
	"time"

	"github.com/seriesrig/series/vmtest/taskdiag"
	"github.com/seriesrig/series/vmtest/taskdiag/procfs"
	"github.com/seriesrig/series/vmtest/taskdiag/ps"
)

// enough is how many tasks each side of a pair reads about at least, in as many passes as it takes.
const enough = 10_000

// A side reads about all processes from one interface, and says about how many.
type side func() (tasks int, err error)

// A pair is what both interfaces say.
type pair struct {
	name   string
	file   string // of /proc/PID; "" is readdir of /proc alone
	groups taskdiag.Groups
}

var pairs = []pair{
	{"none", "", 0},
	{"stat", procfs.Stat, taskdiag.ShowBase},
	{"stat-all", procfs.Stat, taskdiag.ShowBase | taskdiag.ShowStat},
	{"status", procfs.Status, taskdiag.ShowBase | taskdiag.ShowCred},
	{"maps", procfs.Maps, taskdiag.ShowVMA},
	{"smaps", procfs.Smaps, taskdiag.ShowVMA | taskdiag.ShowVMAStat},
}

// BenchmarkTasks reads about every process of the guest, from text files and from /proc/task_diag; see doc.go.
func BenchmarkTasks(b *testing.B) {
	for _, n := range []int{1_000, 10_000, 50_000} {
		b.Run(fmt.Sprintf("tasks=%d", n), func(b *testing.B) {
			crowd(b, n, 1)
			d, err := procfs.Open("/proc")
			if err != nil {
				b.Fatal(err)
			}
			defer d.Close()
			c, err := taskdiag.Open(taskdiag.Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			for _, p := range pairs {
				b.Run("of="+p.name, func(b *testing.B) { benchmark(b, n, d, c, procSide(d, p), diagSide(c, p)) })
			}
			b.Run("of=ps", func(b *testing.B) {
				benchmark(b, n, d, c, psSide(b, ps.Proc{Dir: d}), psSide(b, ps.TaskDiag{Client: c}))
			})
		})
	}
}

// procSide reads a file of each process and does not look at what it says: whoever wants to know would take longer.
func procSide(d *procfs.Dir, p pair) side {
	return func() (tasks int, err error) {
		e := d.PIDs(func(pid int) bool {
			if p.file != "" {
				if _, err = d.Read(pid, p.file); err != nil {
					return false
				}
			}
			tasks++
			return true
		})
		if err == nil {
			err = e
		}
		return tasks, err
	}
}

// sink is what the compiler cannot know not to be needed.
var sink uint64

// diagSide looks at every task, and at every mapping.
func diagSide(c *taskdiag.Client, p pair) side {
	q := taskdiag.Request{Groups: p.groups}
	return func() (tasks int, err error) {
		for t, err := range c.Tasks(context.Background(), q) {
			if err != nil {
				return tasks, err
			}
			tasks++
			if t.Base != nil {
				sink += uint64(t.Base.PPID)
			}
			for v := range t.VMAs {
				sink += v.End
			}
		}
		return tasks, nil
	}
}

// lines counts the lines that are written.
type lines int

func (l *lines) Write(b []byte) (int, error) {
	for _, c := range b {
		if c == '\n' {
			*l++
		}
	}
	return len(b), nil
}

// psSide makes a list as ps does: reading, making sense of what was read, and text again.
func psSide(b *testing.B, src ps.Source) side {
	columns, err := ps.ParseColumns("pid,ppid")
	if err != nil {
		b.Fatal(err)
	}
	list := ps.Listing{Columns: columns}
	var n lines
	if err := list.Write(context.Background(), &n, src); err != nil {
		b.Fatal(err)
	}
	return func() (int, error) { return int(n) - 1, list.Write(context.Background(), io.Discard, src) }
}

// A reading is what benchmark has measured.
type reading struct {
	took         [2]time.Duration
	calls, tasks [2]int
}

// measured are the readings that testing has asked for with an N of 1, and will ask for again with another one: there is no
// need to have 50,000 tasks looked at twice.
var measured = map[string]*reading{}

// benchmark reads from both sides in turns, so that what else changes is in both. The first turn does not count: it fills
// what /proc has a cache for.
func benchmark(b *testing.B, n int, d *procfs.Dir, c *taskdiag.Client, proc, diag side) {
	r := measured[b.Name()]
	if r == nil || b.N == 1 {
		r = read(b, n, d, c, proc, diag)
		measured[b.Name()] = r
	}
	unit := "ns/task"
	if os.Getenv("SERIES_MODE") == "icount" {
		unit = "insns/task"
	}
	per := func(i int) float64 { return float64(r.took[i].Nanoseconds()) / float64(r.tasks[i]) }
	b.ReportMetric(0, "ns/op") // what testing would say, with both sides in it
	b.ReportMetric(per(0), "proc-"+unit)
	b.ReportMetric(per(1), "diag-"+unit)
	b.ReportMetric(per(0)/per(1), "ratio")
	b.ReportMetric(float64(r.calls[0])/float64(r.tasks[0]), "proc-calls/task")
	b.ReportMetric(float64(r.calls[1])/float64(r.tasks[1]), "diag-calls/task")
}

func read(b *testing.B, n int, d *procfs.Dir, c *taskdiag.Client, proc, diag side) *reading {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	r := &reading{}
	passes := (enough + n - 1) / n
	for pass := range passes + 1 {
		for i, read := range []side{proc, diag} {
			before := d.SystemCalls() + c.SystemCalls()
			start := time.Now()
			got, err := read()
			end := time.Since(start)
			if err != nil {
				b.Fatal(err)
			}
			if got < n {
				b.Fatalf("%d tasks, want %d at least", got, n)
			}
			if pass > 0 {
				r.took[i] += end
				r.tasks[i] += got
				r.calls[i] += d.SystemCalls() + c.SystemCalls() - before
			}
		}
	}
	return r
}
