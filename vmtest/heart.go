// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/seriesrig/series/vmtest/internal/clock"
	"github.com/seriesrig/series/vmtest/internal/console"
)

// wallFactor is how many times its limit a guest may take of the host's time, when it got less than the limit of it.
const wallFactor = 4

// A heart listens for a guest's signs of life, and holds them against the time that the guest had.
type heart struct {
	g     *Guest
	clock clock.Clock

	signs int64         // of life, so far
	quiet time.Duration // that the guest had since the last of them

	virtual *virtualClock // with icount
	since   time.Duration // on it, at the last sign of life; negative where it is not known
}

func newHeart(g *Guest) *heart {
	h := &heart{g: g, clock: clock.Clock{Tick: tick}, since: -1}
	if g.m.Icount != nil {
		h.virtual = newVirtualClock(g)
	}
	return h
}

func (h *heart) stop() {
	if h.virtual != nil {
		h.virtual.stop()
	}
}

// beat is called every tick. It returns why the guest has to be ended, or nil.
func (h *heart) beat(state *console.State) *ending {
	g := h.g
	g.mu.Lock()
	paused := g.paused
	g.mu.Unlock()
	// All of QEMU's threads, and not those of the virtual CPUs alone: the main loop has the guest's timers, and while it
	// waits for a processor an idle CPU sleeps, and would seem to have all the time it wants.
	sample, err := clock.Look(g.proc.Pid())
	if err != nil {
		return nil // it is about to end
	}
	sample.Stopped = sample.Stopped || paused
	h.quiet += h.clock.Advance(time.Now(), sample)

	said := g.pulse.bytes.Load() > 0
	signs := g.pulse.bytes.Load()
	if !said {
		signs += state.Bytes
	}
	held := !g.pulse.waiting.Load() // the guest waits for us: to take its output, or to take a step
	if signs != h.signs || held || g.muted.Load() > 0 {
		h.signs, h.quiet, h.since = signs, 0, -1
	}
	if e := h.silent(said || state.Init, said); e != nil {
		return e
	}
	return h.tooLong(said || state.Init, said)
}

// silent tells whether the guest has said nothing for too long.
func (h *heart) silent(userspace, said bool) *ending {
	limit, quiet := h.g.m.Quiet, h.quiet
	if h.virtual != nil {
		now, ok := h.virtual.now()
		if !ok {
			return nil
		}
		if h.since < 0 || now < h.since {
			h.since = now
		}
		// A guest that waits has its clock jump ahead, so what it said on the way may still be on its way to us.
		if h.quiet < time.Second {
			return nil
		}
		quiet = now - h.since
	}
	if quiet < limit {
		return nil
	}
	reason := fmt.Sprintf("no heartbeat for %v of the guest's time", limit)
	switch {
	case !userspace:
		return &ending{kind: NoBoot, reason: fmt.Sprintf("nothing on the console for %v of the guest's time, and userspace was not reached", limit)}
	case !said:
		reason = fmt.Sprintf("init was started and said nothing for %v of the guest's time", limit)
	}
	return &ending{kind: Hang, reason: reason}
}

// tooLong tells whether the guest has lived for too long.
func (h *heart) tooLong(userspace, said bool) *ending {
	limit, had, wall := h.g.m.Limit, h.clock.Total(), time.Since(h.g.lives())
	switch {
	case had < limit && wall < wallFactor*limit:
		return nil
	case had < limit/2:
		return &ending{kind: Rig, reason: fmt.Sprintf("the host is too slow: in %v the guest had %v", wall.Round(time.Second), had.Round(time.Second))}
	case !userspace:
		return &ending{kind: NoBoot, reason: fmt.Sprintf("userspace was not reached in %v", limit)}
	case !said:
		return &ending{kind: Hang, reason: fmt.Sprintf("init was started and said nothing in %v", limit)}
	}
	return &ending{kind: Fail, reason: fmt.Sprintf("not done after %v, though alive", limit)}
}

// lives is since when the guest has been alive.
func (g *Guest) lives() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case !g.restored:
		return g.started
	case g.goesOn.IsZero(): // it stands still
		return time.Now()
	}
	return g.goesOn
}

// A virtualClock reads QEMU's virtual clock, by way of the real-time clock that shows it.
type virtualClock struct {
	mu     sync.Mutex
	at     time.Duration
	known  bool
	cancel context.CancelFunc
	done   chan struct{}
}

const virtualInterval = 500 * time.Millisecond

func newVirtualClock(g *Guest) *virtualClock {
	ctx, cancel := context.WithCancel(context.Background())
	v := &virtualClock{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(v.done)
		t := time.NewTicker(virtualInterval)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
			}
			// In icount mode QEMU answers between two slices of the guest, which may take a while.
			ask, cancel := context.WithTimeout(ctx, 10*time.Second)
			at, err := rtcTime(ask, g)
			cancel()
			if err == nil {
				v.mu.Lock()
				v.at, v.known = at, true
				v.mu.Unlock()
			}
		}
	}()
	return v
}

func (v *virtualClock) stop() {
	v.cancel()
	<-v.done
}

func (v *virtualClock) now() (time.Duration, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.at, v.known
}

// rtcTime is the machine's real-time clock, which runs with the virtual clock where QEMU has -rtc clock=vm.
func rtcTime(ctx context.Context, g *Guest) (time.Duration, error) {
	var tm struct {
		Year  int `json:"tm_year"`
		Month int `json:"tm_mon"`
		Day   int `json:"tm_mday"`
		Hour  int `json:"tm_hour"`
		Min   int `json:"tm_min"`
		Sec   int `json:"tm_sec"`
	}
	err := g.mon.Execute(ctx, "qom-get", map[string]string{"path": "/machine", "property": "rtc-time"}, &tm)
	if err != nil {
		return 0, err
	}
	t := time.Date(1900+tm.Year, time.Month(1+tm.Month), tm.Day, tm.Hour, tm.Min, tm.Sec, 0, time.UTC)
	return time.Duration(t.UnixNano()), nil
}
