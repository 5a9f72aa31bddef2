// SPDX-License-Identifier: Apache-2.0

package main

import (
	"path/filepath"
	"time"
)

// sayEvery is how often plain lines say that something is still under way.
const sayEvery = time.Minute

// attend has others see how far a session is: who asks by `series status`, and who reads plain lines.
func (s *session) attend(verb string) (err error) {
	if verb == "boot" { // the session is over when the shell is there, and others may run
		return nil
	}
	if s.show.track.events, err = openEvents(s.app.cli.Events); err != nil {
		return err
	}
	s.show.track.open(filepath.Join(s.store.Dir, "runs", s.series.ID), runState{
		Series: s.series.ID, Revision: s.series.Revision, Title: s.series.Title,
		Verb: verb, Command: append([]string{"series"}, s.app.args...), Started: time.Now(),
	})
	s.app.tracker = s.show.track
	s.store.Progress = s.show.track.event
	if s.show.live == nil {
		tick := time.NewTicker(sayEvery)
		done := make(chan struct{})
		s.hush = func() { tick.Stop(); close(done) }
		go s.show.saySome(tick.C, done)
	}
	return nil
}

// saySome prints, whenever the clock ticks, what has been under way since the tick before or longer.
func (p *progress) saySome(tick <-chan time.Time, done <-chan struct{}) {
	last := time.Now()
	for {
		select {
		case <-done:
			return
		case now := <-tick:
			for _, line := range p.track.underWay(now, now.Sub(last)) {
				p.note("%s", line)
			}
			last = now
		}
	}
}
