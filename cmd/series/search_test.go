// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"math/bits"
	"slices"
	"testing"
)

// fakeProbe plays a series: all before first are from, the others the opposite; some do not build, some are known. It counts
// what had to be built.
type fakeProbe struct {
	from    outcome
	first   int
	skip    map[int]bool
	known   map[int]bool
	built   []int
	flipped map[int]bool // outcomes that do not fit
}

func (f *fakeProbe) outcome(patch int) outcome {
	other := map[outcome]outcome{good: bad, bad: good}
	o := f.from
	if patch >= f.first {
		o = other[o]
	}
	if f.flipped[patch] {
		o = other[o]
	}
	if f.skip[patch] {
		o = skipped
	}
	return o
}

func (f *fakeProbe) probe(_ context.Context, patch int, known bool) (probed, bool, error) {
	if known && !f.known[patch] {
		return probed{}, false, nil
	}
	if !known {
		f.built = append(f.built, patch)
	}
	return probed{Patch: patch, Outcome: f.outcome(patch), Known: known}, true, nil
}

func (f *fakeProbe) search(t *testing.T, last int) *searchResult {
	t.Helper()
	s := &search{last: last, from: f.from, probe: f.probe}
	r, err := s.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, p := range f.built {
		if seen[p] {
			t.Errorf("patch %d was built twice", p)
		}
		seen[p] = true
	}
	return r
}

// Every place in every series is found, with no more than the two ends and a halving each.
func TestSearchFinds(t *testing.T) {
	for last := 1; last <= 40; last++ {
		for first := 1; first <= last; first++ {
			for _, from := range []outcome{good, bad} {
				f := &fakeProbe{from: from, first: first}
				r := f.search(t, last)
				if r.Result != resultFound || r.First != first {
					t.Fatalf("%d patches, first %d: %+v", last, first, r)
				}
				if most := 2 + bits.Len(uint(last-1)); len(f.built) > most {
					t.Errorf("%d patches, first %d: built %v, want at most %d", last, first, f.built, most)
				}
			}
		}
	}
}

// With some that do not build the answer is right, and a range only where it must be: from what is good for certain to
// what is bad for certain, with nothing but skipped ones between.
func TestSearchSkips(t *testing.T) {
	const last = 7
	for set := 0; set < 1<<(last-1); set++ {
		for first := 1; first <= last; first++ {
			f := &fakeProbe{from: good, first: first, skip: map[int]bool{}}
			for i := 1; i < last; i++ {
				f.skip[i] = set>>(i-1)&1 != 0
			}
			lo, hi := first-1, first
			for f.skip[lo] {
				lo--
			}
			for f.skip[hi] {
				hi++
			}
			r := f.search(t, last)
			switch {
			case lo+1 == hi && (r.Result != resultFound || r.First != hi):
				t.Fatalf("first %d, skipped %07b: %+v, want %d", first, set, r, hi)
			case lo+1 < hi && (r.Result != resultRange || r.First != lo+1 || r.Last != hi):
				t.Fatalf("first %d, skipped %07b: %+v, want %d to %d", first, set, r, lo+1, hi)
			}
		}
	}
}

// What is known costs nothing and comes first.
func TestSearchKnown(t *testing.T) {
	f := &fakeProbe{from: good, first: 11, known: map[int]bool{0: true, 16: true, 10: true, 12: true}}
	if r := f.search(t, 16); r.Result != resultFound || r.First != 11 || !slices.Equal(f.built, []int{11}) {
		t.Errorf("%+v, built %v, want 11 alone", r, f.built)
	}
	f = &fakeProbe{from: bad, first: 3, known: map[int]bool{0: true, 1: true, 2: true, 3: true}}
	if r := f.search(t, 3); r.First != 3 || len(f.built) > 0 {
		t.Errorf("%+v, built %v, want nothing", r, f.built)
	}
}

// A search of a series whose ends do not differ as expected builds no more than these.
func TestSearchEnds(t *testing.T) {
	for _, x := range []struct {
		f    fakeProbe
		want string
	}{
		{fakeProbe{from: good, first: 99}, resultNothing},
		{fakeProbe{from: good, first: 0}, resultNothing},
		{fakeProbe{from: good, first: 1, skip: map[int]bool{0: true}}, resultUnknown},
		{fakeProbe{from: good, first: 1, skip: map[int]bool{5: true}}, resultUnknown},
	} {
		if r := x.f.search(t, 5); r.Result != x.want || len(x.f.built) != 2 || r.First != 0 {
			t.Errorf("%+v: %+v, want %s", x.f, r, x.want)
		}
	}
	f := &fakeProbe{from: bad, first: 2}
	s := &search{last: 5, from: good, probe: f.probe}
	if r, err := s.run(t.Context()); err != nil || r.Result != resultOther || len(f.built) != 2 {
		t.Errorf("mended instead of broken: %+v, %v", r, err)
	}
	boom := errors.New("boom")
	s = &search{last: 5, from: good, probe: func(context.Context, int, bool) (probed, bool, error) { return probed{}, false, boom }}
	if _, err := s.run(t.Context()); !errors.Is(err, boom) {
		t.Errorf("an error of the rig: %v", err)
	}
}

// An outcome that comes and goes is said to; what is found is the first change that is known.
func TestSearchTurns(t *testing.T) {
	f := &fakeProbe{from: good, first: 3, flipped: map[int]bool{6: true}, known: map[int]bool{6: true}}
	if r := f.search(t, 8); r.Result != resultFound || r.First != 3 && r.First != 7 {
		t.Errorf("%+v, want a change", r)
	}
	f.known[4], f.built = true, nil
	if r := f.search(t, 8); r.First != 3 || len(r.Notes) != 1 {
		t.Errorf("%+v, want patch 3 and a note", r)
	}
}
