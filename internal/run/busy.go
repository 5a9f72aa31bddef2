// SPDX-License-Identifier: Apache-2.0

package run

import (
	"sync"
	"time"
)

// busy keeps the time during which at least one child was running.
var busy struct {
	sync.Mutex
	children int
	since    time.Time
	sum      time.Duration
}

// Busy returns for how long, so far, at least one command was running. What is left of a program's life is its own work.
func Busy() time.Duration {
	busy.Lock()
	defer busy.Unlock()
	sum := busy.sum
	if busy.children > 0 {
		sum += time.Since(busy.since)
	}
	return sum
}

func childStarted() {
	busy.Lock()
	defer busy.Unlock()
	if busy.children == 0 {
		busy.since = time.Now()
	}
	busy.children++
}

func childEnded() {
	busy.Lock()
	defer busy.Unlock()
	busy.children--
	if busy.children == 0 {
		busy.sum += time.Since(busy.since)
	}
}
