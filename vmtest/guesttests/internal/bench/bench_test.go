// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"errors"
	"strings"
	"testing"
)

func TestUnit(t *testing.T) {
	for mode, want := range map[string]string{"icount": "insns/op", "wall": "ns/op", "": "ns/op"} {
		t.Setenv("SERIES_MODE", mode)
		if got := Unit(); got != want || Icount() != (mode == "icount") {
			t.Errorf("mode %q: %s, want %s", mode, got, want)
		}
	}
}

// Where time is measured it is enough that nothing becomes faster.
func TestWall(t *testing.T) {
	t.Setenv("SERIES_MODE", "wall")
	if n, err := Warm([]float64{2000, 1020, 700}, 1000); n != 2 || err != nil {
		t.Errorf("Warm = %d, %v, want the first that takes no longer", n, err)
	}
	if n, err := Warm([]float64{2000, 1020}, 1000); err == nil {
		t.Errorf("Warm of what becomes faster = %d, want an error", n)
	}
	times := [][]float64{{3000, 500}, {1000, 900}, {900, 1500}}
	i := 0
	all, err := Repeat(3, func() ([]float64, error) { i++; return times[i-1], nil }, func(f []float64) []float64 { return f })
	if len(all) != 3 || err != nil {
		t.Errorf("Repeat: %v, %v, want all three: the sum of the second is less than that of the first", all, err)
	}
	i = 0
	if all, err := Repeat(2, func() ([]float64, error) { i++; return times[i-1], nil }, func(f []float64) []float64 { return f }); err == nil {
		t.Errorf("Repeat of what becomes faster: %v, want an error", all)
	}
}

func TestWarm(t *testing.T) {
	t.Setenv("SERIES_MODE", "icount")
	for _, c := range []struct {
		first []float64
		after float64
		want  int // -1: an error
	}{
		{[]float64{1000, 5000}, 1000, 0},
		{[]float64{2000, 1100, 1009, 1000}, 1000, 2},
		{[]float64{900, 1000}, 1000, 1}, // it may get dearer, too
		{[]float64{1000, 990, 980}, 500, -1},
		{[]float64{1011}, 1000, -1},
		{nil, 1000, -1}, // nobody has looked
	} {
		got, err := Warm(c.first, c.after)
		if (err != nil) != (c.want < 0) || err == nil && got != c.want {
			t.Errorf("Warm(%v, %v) = %d, %v, want %d", c.first, c.after, got, err, c.want)
		}
	}
}

func TestRepeat(t *testing.T) {
	t.Setenv("SERIES_MODE", "icount")
	type repeater func(most int, run func() ([]float64, error), figures func([]float64) []float64) ([][]float64, error)
	repeat := func(how repeater, times ...[]float64) (int, error) {
		i := 0
		all, err := how(len(times), func() ([]float64, error) {
			i++
			if times[i-1] == nil {
				return nil, errors.New("it breaks")
			}
			return times[i-1], nil
		}, func(f []float64) []float64 { return f })
		return len(all), err
	}
	for _, c := range []struct {
		times [][]float64
		want  int    // of them
		err   string // or what it says
	}{
		{[][]float64{{1000}, {1004}, {5}}, 2, ""},
		{[][]float64{{2000}, {1100}, {1000}, {996}}, 4, ""},
		{[][]float64{{1000}, {900}, {800}, {700}}, 0, "[[1000] [900] [800] [700]]"},
		{[][]float64{{1000, 2000}, {1000, 2500}, {1000, 2500}}, 3, ""},                                  // both have to settle
		{[][]float64{{1000}}, 0, "does not warm up"},                                                    // one alone shows nothing
		{[][]float64{{1359, 24626}, {1334, 22041}, {1378, 21981}, {1334, 22032}, {1378, 21983}}, 5, ""}, // takes turns
		{[][]float64{{1400}, {1300}, {1350}, {1250}}, 0, "does not warm up"},                            // takes turns, and gets less
		{[][]float64{{1000}, nil}, 0, "it breaks"},
	} {
		got, err := repeat(RepeatPairs, c.times...)
		if got != c.want || (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("RepeatPairs of %v: %d, %v, want %d, %q", c.times, got, err, c.want, c.err)
		}
		if c.want == 5 { // who reports one alone must not have it by chance
			c.want, c.err = 0, "does not warm up"
		}
		got, err = repeat(Repeat, c.times...)
		if got != c.want || (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("Repeat of %v: %d, %v, want %d, %q", c.times, got, err, c.want, c.err)
		}
	}
}
