// SPDX-License-Identifier: Apache-2.0

package mail

// diffCount is the number of lines that the shortest edit script adds and deletes.
func diffCount(before, after []string) (added, deleted int) {
	for len(before) > 0 && len(after) > 0 && before[0] == after[0] {
		before, after = before[1:], after[1:]
	}
	for len(before) > 0 && len(after) > 0 && before[len(before)-1] == after[len(after)-1] {
		before, after = before[:len(before)-1], after[:len(after)-1]
	}
	d := editDistance(before, after)
	// With d = added + deleted, and the lengths telling added - deleted.
	added = (d + len(after) - len(before)) / 2
	return added, d - added
}

// editDistance is the length of the shortest edit script of insertions and deletions (Myers, 1986, figure 2).
func editDistance(a, b []string) int {
	limit := len(a) + len(b)
	v := make([]int, 2*limit+3)
	for d := 0; d <= limit; d++ {
		for k := -d; k <= d; k += 2 {
			x := 0
			if at := limit + 1 + k; k == -d || k != d && v[at-1] < v[at+1] {
				x = v[at+1]
			} else {
				x = v[at-1] + 1
			}
			y := x - k
			for x < len(a) && y < len(b) && a[x] == b[y] {
				x, y = x+1, y+1
			}
			v[limit+1+k] = x
			if x >= len(a) && y >= len(b) {
				return d
			}
		}
	}
	return limit
}

// minScore is the percentage from which git calls a file renamed.
const minScore = 50

// similarity is the percentage of a file that is found again in another, by git's measure: the bytes of lines, cut into
// pieces of at most 64, that both have, of the larger one's bytes (diffcore_count_changes in git's diffcore-delta.c).
func similarity(before, after []string) int {
	old, oldSize := pieces(before)
	fresh, newSize := pieces(after)
	size := max(oldSize, newSize)
	if size == 0 {
		return 100
	}
	if min(oldSize, newSize) == 0 {
		return 0
	}
	same := 0
	for p, n := range old {
		same += min(n, fresh[p])
	}
	const most = 60000 // git's MAX_SCORE; its two divisions round twice
	return same * most / size * 100 / most
}

func pieces(lines []string) (count map[string]int, size int) {
	const most = 64
	count = make(map[string]int)
	for _, l := range lines {
		size += len(l)
		for len(l) > 0 {
			n := min(most, len(l))
			count[l[:n]] += n
			l = l[n:]
		}
	}
	return count, size
}
