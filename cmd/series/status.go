// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/seriesrig/series/internal/flock"
	"github.com/seriesrig/series/patches"
	"github.com/seriesrig/series/results"
)

// statusCmd tells how far a run is that was started elsewhere.
type statusCmd struct {
	ID string `arg:"" optional:"" help:"The series (default: the last run of each)."`
}

func (c *statusCmd) Help() string {
	return `Remaining times are those that the same cells and stages took before, so that they are what is left at most: what is
known already takes no time. A run whose process has gone without saying how it ended is interrupted; the same command
again goes on where it was.`
}

// A runStatus is what --json prints of a run.
type runStatus struct {
	runState
	State     string   `json:"state"`                       // "running", "interrupted", "done"
	Elapsed   float64  `json:"elapsed_seconds"`             // until now, the end, or the last sign of life
	Remaining *float64 `json:"remaining_seconds,omitempty"` // of the whole run, at most; nil: not known
	StageLeft *float64 `json:"stage_remaining_seconds,omitempty"`
}

// The states of a run.
const (
	running     = "running"
	interrupted = "interrupted"
	done        = "done"
)

func (c *statusCmd) Run(a *app) error {
	work, err := a.work()
	if err != nil {
		return err
	}
	ids := list(work, "runs")
	if c.ID != "" {
		if !filepath.IsLocal(c.ID) || strings.ContainsRune(c.ID, filepath.Separator) {
			return usage("status: %q is no id of a series", c.ID)
		}
		ids = []string{c.ID}
	}
	all := []*runStatus{}
	for _, id := range ids {
		s, err := statusOf(filepath.Join(work, "runs", id), time.Now())
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("status of %s: %w", id, err)
		}
		all = append(all, s)
	}
	if c.ID != "" && len(all) == 0 {
		return usage("status: %s has not been run in %s", c.ID, work)
	}
	slices.SortStableFunc(all, func(x, y *runStatus) int { return y.Started.Compare(x.Started) })
	switch {
	case a.cli.JSON && c.ID != "":
		return a.printJSON(all[0])
	case a.cli.JSON:
		return a.printJSON(map[string]any{"runs": all})
	}
	for i, s := range all {
		if i > 0 {
			fmt.Fprintln(a.stdout)
		}
		if err := s.print(a.stdout, time.Now()); err != nil {
			return err
		}
	}
	return nil
}

// statusOf reads the state of a folder's last run.
func statusOf(dir string, now time.Time) (*runStatus, error) {
	path := filepath.Join(dir, statusFile)
	alive, err := lockedBy(filepath.Join(dir, statusLock))
	if err != nil {
		return nil, err
	}
	state, err := readState(path) // after the lock: a run that ends in between has written how
	if err != nil {
		return nil, err
	}
	s := &runStatus{runState: *state, State: running}
	end := now
	switch {
	case state.Ended != nil:
		s.State, end = done, *state.Ended
	case !alive:
		s.State = interrupted
		if fi, err := os.Stat(path); err == nil {
			end = fi.ModTime()
		}
	default:
		addRecorded(s.Times, dir)
		if d, ok := s.remaining(now); ok {
			sec := d.Seconds()
			s.Remaining = &sec
		}
		if n := len(s.Stages); n > 0 && s.Stages[n-1].Ended == nil {
			if d, ok := s.stageRemaining(&s.Stages[n-1], now); ok {
				sec := d.Seconds()
				s.StageLeft = &sec
			}
		}
	}
	s.Elapsed = max(0, end.Sub(s.Started).Seconds()) // a clock may have been set back
	return s, nil
}

// lockedBy tells whether a process holds a lock; where there is no such file none does.
func lockedBy(path string) (bool, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	l, err := flock.Try(path)
	if errors.Is(err, flock.ErrBusy) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	l.Release()
	return false, nil
}

// addRecorded adds the times of the newest record that are not known otherwise.
func addRecorded(times map[string]float64, dir string) {
	names, _ := filepath.Glob(filepath.Join(dir, "v*.json"))
	if len(names) == 0 || times == nil {
		return
	}
	newest := slices.MaxFunc(names, func(a, b string) int { return latest(a).Compare(latest(b)) })
	r, err := results.Load(newest)
	if err != nil {
		return
	}
	add := func(name string, seconds float64) {
		if _, ok := times[name]; !ok {
			times[name] = seconds
		}
	}
	for _, st := range r.Stages {
		add(st.Name, st.Seconds)
	}
	for _, c := range r.Cells {
		if c.Build == nil {
			continue
		}
		name := fmt.Sprintf("build %s %d/%d", c.Arch, c.Patch, len(r.Patches))
		if c.Config != patches.Release {
			name += " " + c.Config
		}
		add(name, c.Build.Seconds)
	}
}

// remaining is how long a run may still take, by what its cells and the stages to come took before. It is not known where
// the verb has not been run to its end before.
func (s *runState) remaining(now time.Time) (time.Duration, bool) {
	if len(s.Stages) == 0 {
		return 0, false
	}
	st := &s.Stages[len(s.Stages)-1]
	sum := time.Duration(0)
	if st.Ended == nil {
		d, ok := s.stageRemaining(st, now)
		if !ok {
			return 0, false
		}
		sum = d
	}
	plan := s.Plans[s.Verb]
	at := slices.Index(plan, st.Name)
	if at < 0 {
		return 0, false
	}
	for _, name := range plan[at+1:] {
		sum += seconds(s.Times[name])
	}
	return sum, true
}

// stageRemaining is how long a stage may still take: what is left of the cells under way, and those that have not begun,
// as many side by side as are under way now.
func (s *runState) stageRemaining(st *stageState, now time.Time) (time.Duration, bool) {
	var longest, left time.Duration
	begun := map[string]bool{}
	active := 0
	for _, c := range st.Seen {
		key := st.Name + " " + c.Name
		begun[key] = true
		if c.Ended != nil {
			continue
		}
		active++
		took, ok := s.Times[key]
		if !ok {
			return 0, false
		}
		d := max(0, seconds(took)-now.Sub(c.Began))
		longest, left = max(longest, d), left+d
	}
	if to := st.Cells - len(st.Seen); to > 0 {
		// Which ones are to come is not known; what is known is how long those took that have not begun.
		n, sum := 0, time.Duration(0)
		for key, took := range s.Times {
			if strings.HasPrefix(key, st.Name+" ") && !begun[key] {
				n, sum = n+1, sum+seconds(took)
			}
		}
		if n == 0 {
			took, ok := s.Times[st.Name]
			return max(0, seconds(took)-now.Sub(st.Began)), ok
		}
		left += sum / time.Duration(n) * time.Duration(to)
	}
	return max(longest, left/time.Duration(max(1, active))), true
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// print shows a run to people.
func (s *runStatus) print(out io.Writer, now time.Time) error {
	what := fmt.Sprintf("%s v%d  %s", visible(s.Series), s.Revision, visible(strings.Join(s.Command, " ")))
	elapsed := short(seconds(s.Elapsed))
	switch s.State {
	case running:
		fmt.Fprintf(out, "%s\nrunning for %s, since %s, pid %d", what, elapsed, clock(s.Started, now), s.PID)
		if s.Remaining != nil {
			fmt.Fprintf(out, "; %s left at most", short(seconds(*s.Remaining).Round(time.Second)))
		}
		fmt.Fprintln(out)
	case interrupted:
		fmt.Fprintf(out, "%s\ninterrupted after %s: its process, %d, is gone; the same command again goes on\n", what, elapsed, s.PID)
	default:
		fmt.Fprintf(out, "%s\nended %s after %s, exit status %d\n", what, clock(*s.Ended, now), elapsed, s.Exit)
		if first, _, _ := strings.Cut(s.Error, "\n"); first != "" {
			fmt.Fprintf(out, "  %s\n", visible(first))
		}
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for i := range s.Stages {
		s.printStage(w, &s.Stages[i], now)
	}
	return w.Flush()
}

func (s *runStatus) printStage(w io.Writer, st *stageState, now time.Time) {
	ended := 0
	for _, c := range st.Seen {
		if c.Ended != nil {
			ended++
		}
	}
	took, note := seconds(s.Elapsed)-st.Began.Sub(s.Started), ""
	switch {
	case st.Ended != nil:
		took, note = st.Ended.Sub(st.Began), visible(st.Result)
		if len(st.Seen) == 0 {
			ended = st.Cells
		}
	case s.State == running:
		if d, ok := s.stageRemaining(st, now); ok {
			note = short(d.Round(time.Second)) + " left at most"
		}
	default:
		note = "not done"
	}
	fmt.Fprintf(w, "  %s\t%d/%d\t%s\t%s\n", visible(st.Name), ended, st.Cells, short(max(0, took)), note)
	for _, c := range st.Seen {
		if c.Ended == nil && st.Ended == nil {
			age := seconds(s.Elapsed) - c.Began.Sub(s.Started)
			note := c.count("")
			if took, ok := s.Times[st.Name+" "+c.Name]; ok {
				note = strings.TrimPrefix(note+", took "+short(seconds(took))+" before", ", ")
			}
			fmt.Fprintf(w, "    %s\t\t%s\t%s\n", visible(c.Name), short(max(0, age)), note)
		}
	}
}

// clock renders a time of day, and the day where it is another one.
func clock(t, now time.Time) string {
	t, now = t.Local(), now.Local()
	if t.YearDay() != now.YearDay() || t.Year() != now.Year() {
		return t.Format("2006-01-02 15:04:05")
	}
	return t.Format("15:04:05")
}

// visible replaces what a terminal could take for a command.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}
