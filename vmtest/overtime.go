// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/seriesrig/series/vmtest/guest"
)

const (
	defaultPerTest = time.Minute
	dumpTime       = time.Second      // from SIGQUIT to SIGKILL, for a dump of the goroutines
	killTime       = 10 * time.Second // from SIGKILL to giving up
)

var errUnkillable = errors.New("could not be killed")

// An overtime watches the top-level tests of a binary. It keeps time by the guest's clock: the stamps of the tests'
// beginnings, and those of the heartbeats.
type overtime struct {
	limit time.Duration

	mu      sync.Mutex
	started map[string]time.Duration // guest's monotonic clock; a paused test is not in it
	latest  time.Duration            // that was heard of the guest's clock
	late    string                   // the test that took too long
}

func newOvertime(limit time.Duration) *overtime {
	if limit == 0 {
		limit = defaultPerTest
	}
	return &overtime{limit: limit, started: map[string]time.Duration{}}
}

// event takes a mark of the binary's output.
func (o *overtime) event(t guest.Test) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.latest = max(o.latest, t.Now.Monotonic)
	if strings.Contains(t.Name, "/") {
		return
	}
	switch t.Action {
	case "run", "cont":
		o.started[t.Name] = t.Now.Monotonic
	case "pause", "pass", "fail", "skip":
		delete(o.started, t.Name)
	}
}

// check returns the test that has run for too long by now, on the guest's clock.
func (o *overtime) check(now time.Duration) (string, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.latest = max(o.latest, now)
	for name, at := range o.started {
		if o.latest-at > o.limit {
			o.late = name
			return name, true
		}
	}
	return "", false
}

func (o *overtime) name() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.late
}

// hit tells whether a test is the one that took too long, or one of its subtests.
func (o *overtime) hit(test string) bool {
	name := o.name()
	return name != "" && (test == name || strings.HasPrefix(test, name+"/"))
}

// watch signals the binary when a test takes too long, and calls giveUp when that does not end it.
func (o *overtime) watch(ctx context.Context, g *Guest, giveUp context.CancelCauseFunc) {
	wait := func(d time.Duration) bool {
		select {
		case <-ctx.Done():
			return false
		case <-g.Ended():
			return false
		case <-time.After(d):
			return true
		}
	}
	for wait(tick) {
		beat, _ := g.Conn().LastHeartbeat()
		name, late := o.check(beat.Monotonic)
		if !late {
			continue
		}
		g.logEvent("timeout", name)
		g.Conn().Signal(ctx, syscall.SIGQUIT)
		if wait(dumpTime) {
			g.Conn().Signal(ctx, syscall.SIGKILL)
		}
		if wait(killTime) {
			giveUp(errUnkillable)
		}
		return
	}
}
