// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"sync"
	"time"

	"github.com/seriesrig/series/vmtest/guest"
)

// A heart beats: it shows the host that timers and the scheduler of this guest work.
type heart struct {
	a     *agent
	mu    sync.Mutex // held while a beat is sent, so that after set none is on its way
	every time.Duration
	timer *time.Timer
}

func newHeart(a *agent) *heart {
	h := &heart{a: a, every: guest.NoHeartbeat}
	h.timer = time.AfterFunc(time.Hour, h.beat)
	h.timer.Stop()
	return h
}

func (h *heart) beat() {
	defer h.a.guard()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.every <= 0 {
		return
	}
	b := guest.Heartbeat{Clock: now(), Running: h.a.current() != nil}
	if h.a.sendJSON(guest.TypeHeartbeat, b) == nil {
		h.timer.Reset(h.every)
	}
}

// set changes the interval and returns the one before. When it returns no beat of the old interval is on its way.
func (h *heart) set(every time.Duration) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	before := h.every
	h.every = every
	if every > 0 {
		h.every = max(every, guest.MinHeartbeat)
		h.timer.Reset(h.every)
	} else {
		h.timer.Stop()
	}
	return before
}
