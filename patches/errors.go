// SPDX-License-Identifier: Apache-2.0

package patches

import (
	"fmt"
	"slices"
	"strings"
)

// An InputError says what is wrong with a file that a person wrote, and where.
type InputError struct {
	File string
	Line int // 1 is the first; 0 where the whole file is meant
	Msg  string
	Err  error // the cause, where there is one to be asked for; Msg already tells it
}

func (e *InputError) Error() string {
	if e.Line > 0 {
		return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Msg)
	}
	return fmt.Sprintf("%s: %s", e.File, e.Msg)
}

func (e *InputError) Unwrap() error { return e.Err }

// nearest returns those names that are at most a third of the word away from it, best first, three at most.
func nearest(word string, names []string) []string {
	type cand struct {
		name string
		d    int
	}
	var cs []cand
	for _, n := range names {
		d := distance(strings.ToLower(word), strings.ToLower(n))
		if d <= max(1, max(len(word), len(n))/3) {
			cs = append(cs, cand{n, d})
		}
	}
	slices.SortStableFunc(cs, func(a, b cand) int { return a.d - b.d })
	var out []string
	for _, c := range cs[:min(len(cs), 3)] {
		out = append(out, c.name)
	}
	return out
}

// distance is the number of single-byte insertions, deletions, changes and swaps of neighbours between a and b
// (optimal string alignment).
func distance(a, b string) int {
	prev2, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], prev2[j-2]+1)
			}
		}
		prev2, prev, cur = prev, cur, prev2
	}
	return prev[len(b)]
}

// quoted joins names as "a", "b" or "c".
func quoted(names []string) string {
	q := make([]string, len(names))
	for i, n := range names {
		q[i] = fmt.Sprintf("%q", n)
	}
	if n := len(q); n > 1 {
		return strings.Join(q[:n-1], ", ") + " or " + q[n-1]
	}
	return strings.Join(q, "")
}
