// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
)

// An outcome is what a bisection learned of one prefix of a series.
type outcome string

// The outcomes.
const (
	good    outcome = "good"
	bad     outcome = "bad"
	skipped outcome = "skipped" // nothing can be said of it: it does not build, or has not what is asked about
)

// A probed prefix is one whose outcome is known.
type probed struct {
	Patch   int     `json:"patch"`
	Outcome outcome `json:"outcome"`
	Known   bool    `json:"known"` // from an earlier run: nothing was built or booted for it
	Detail  string  `json:"detail,omitempty"`
}

// What a search can end with.
const (
	resultFound   = "found"   // one patch
	resultRange   = "range"   // one of several: what is between cannot be judged
	resultNothing = "nothing" // the base and the last patch have the same outcome
	resultOther   = "other"   // they differ, but the other way round
	resultUnknown = "unknown" // one of the two cannot be judged
)

// A searchResult says where an outcome changes.
type searchResult struct {
	Result string   `json:"result"`
	First  int      `json:"first,omitempty"` // found: the patch. range: the first that it can be
	Last   int      `json:"last,omitempty"`  // range: the last that it can be
	Probes []probed `json:"probes"`          // in the order in which they were learned
	Notes  []string `json:"notes,omitempty"`
}

// A search looks for the first patch of a series at which an outcome is no longer the base's. Of both ends it makes sure;
// between them it halves what is left, beginning with what is known already.
type search struct {
	last int     // number of patches
	from outcome // what the base is expected to be: good, or bad where the patch is sought that mends it
	// probe learns of a prefix. With known it must neither build nor boot; ok is false then where nothing is known.
	probe func(ctx context.Context, patch int, known bool) (p probed, ok bool, err error)

	result searchResult
	seen   map[int]outcome
}

func (s *search) run(ctx context.Context) (*searchResult, error) {
	s.seen = map[int]outcome{}
	s.result.Probes = []probed{}
	for _, end := range []int{0, s.last} {
		if err := s.learn(ctx, end); err != nil {
			return nil, err
		}
	}
	base, tip := s.seen[0], s.seen[s.last]
	switch {
	case base == skipped || tip == skipped:
		s.result.Result = resultUnknown
	case base == tip:
		s.result.Result = resultNothing
	case base != s.from:
		s.result.Result = resultOther
	default:
		return &s.result, s.halve(ctx)
	}
	return &s.result, nil
}

// learn takes what is known of a prefix, or else finds out.
func (s *search) learn(ctx context.Context, patch int) error {
	if _, ok := s.seen[patch]; ok {
		return nil
	}
	p, ok, err := s.probe(ctx, patch, true)
	if err == nil && !ok {
		p, _, err = s.probe(ctx, patch, false)
	}
	if err != nil {
		return err
	}
	s.take(p)
	return nil
}

func (s *search) take(p probed) {
	s.seen[p.Patch] = p.Outcome
	s.result.Probes = append(s.result.Probes, p)
}

// halve finds the patch between two ends that differ.
func (s *search) halve(ctx context.Context) error {
	for i := 1; i < s.last; i++ {
		p, ok, err := s.probe(ctx, i, true)
		if err != nil {
			return err
		}
		if ok {
			s.take(p)
		}
	}
	for {
		lo, hi := s.bounds()
		mid := s.between(lo, hi)
		if mid < 0 {
			s.result.Result, s.result.First = resultFound, hi
			if lo+1 < hi {
				s.result.Result, s.result.First, s.result.Last = resultRange, lo+1, hi
			}
			s.noteReturns(hi)
			return nil
		}
		if err := s.learn(ctx, mid); err != nil {
			return err
		}
	}
}

// bounds are the first prefix whose outcome differs from the base's, and the last before it whose outcome is the base's.
func (s *search) bounds() (lo, hi int) {
	for hi = 1; hi < s.last; hi++ {
		if o, ok := s.seen[hi]; ok && o != s.from && o != skipped {
			break
		}
	}
	for lo = hi - 1; lo > 0; lo-- {
		if s.seen[lo] == s.from {
			break
		}
	}
	return lo, hi
}

// between is the prefix nearest to the middle of two that nothing has been tried of; -1 where there is none.
func (s *search) between(lo, hi int) int {
	best := -1
	for i := lo + 1; i < hi; i++ {
		if _, ok := s.seen[i]; ok {
			continue
		}
		if best < 0 || distance(i, lo, hi) < distance(best, lo, hi) {
			best = i
		}
	}
	return best
}

func distance(i, lo, hi int) int {
	d := 2*i - lo - hi
	return max(d, -d)
}

// noteReturns says where a later prefix is as the base again: then there is more than one place where it changes.
func (s *search) noteReturns(hi int) {
	for i := hi + 1; i < s.last; i++ {
		if s.seen[i] == s.from {
			s.result.Notes = append(s.result.Notes, fmt.Sprintf("patch %d is %s again: the outcome changes more than once", i, s.from))
		}
	}
}
