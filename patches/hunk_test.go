// SPDX-License-Identifier: Apache-2.0

package patches

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A place is a hunk of the tests below: in a file whose lines are all different, it is a block of seven lines that are
// the same wherever the block stands, and the middle one is changed. The file is long enough for any of them.
const (
	blockA = "a1\na2\na3\na4\na5\na6\na7\n"
	blockB = "b1\nb2\nb3\nb4\nb5\nb6\nb7\n"
	blockC = "c1\nc2\nc3\nc4\nc5\nc6\nc7\n"
)

// stand makes a file of n lines with blocks at lines; 1 is the first.
func stand(n int, at map[int]string) string {
	var b strings.Builder
	for i := 1; i <= n; i++ {
		if block, ok := at[i]; ok {
			b.WriteString(block)
			i += strings.Count(block, "\n") - 1
			continue
		}
		fmt.Fprintf(&b, "line %d\n", i)
	}
	return b.String()
}

// hunkOf is a hunk that changes a block's middle line, and puts more lines after it.
func hunkOf(block string, old, fresh, more int) string {
	l := strings.SplitAfter(block, "\n")
	var add strings.Builder
	for i := range more {
		fmt.Fprintf(&add, "+more %d\n", i)
	}
	return fmt.Sprintf("@@ -%d,7 +%d,%d @@\n %s %s %s-%s+changed %s%s %s %s %s", old, fresh, 7+more, l[0], l[1], l[2], l[3], l[3], add.String(), l[4], l[5], l[6])
}

func fileDiff(hunks ...string) string {
	return "diff --git a/f b/f\nindex 1234567..89abcde 100644\n--- a/f\n+++ b/f\n" + strings.Join(hunks, "")
}

// TestPlaces has a case for each rule by which a hunk is placed. git says what git apply makes of it: the same, something
// else where there is a choice, or nothing.
func TestPlaces(t *testing.T) {
	const same, other, refuses = "same", "other", "refuses"
	for name, tc := range map[string]struct {
		base string
		diff string
		want string // offsets of the hunks, or the places in the error
		git  string
	}{
		"at its line, repeated": {stand(99, map[int]string{20: blockA, 40: blockA, 60: blockA}),
			fileDiff(hunkOf(blockA, 40, 40, 0)), "+0", same},
		"moved, alone": {stand(99, map[int]string{44: blockA}),
			fileDiff(hunkOf(blockA, 40, 40, 0)), "+4", same},
		"moved, repeated, nothing before it": {stand(99, map[int]string{44: blockA, 60: blockA}),
			fileDiff(hunkOf(blockA, 40, 40, 0)), "places 44 60", other},
		"moved like the one before, and the nearest": {stand(99, map[int]string{12: blockA, 42: blockB, 60: blockB}),
			fileDiff(hunkOf(blockA, 10, 10, 0), hunkOf(blockB, 40, 40, 0)), "+2 +2", same},
		"moved like the one before, but another is at its line": {stand(99, map[int]string{20: blockA, 40: blockB, 50: blockB}),
			fileDiff(hunkOf(blockA, 10, 10, 0), hunkOf(blockB, 40, 40, 0)), "places 40 50", other},
		"moved like the one before, but another is nearer": {stand(99, map[int]string{30: blockA, 60: blockB, 49: blockB}),
			fileDiff(hunkOf(blockA, 10, 10, 0), hunkOf(blockB, 40, 40, 0)), "places 49 60", other},
		"moved like the one before, but another is as near": {stand(99, map[int]string{19: blockA, 31: blockB, 49: blockB}),
			fileDiff(hunkOf(blockA, 10, 10, 0), hunkOf(blockB, 40, 40, 0)), "places 31 49", other},
		"moved otherwise than the one before, alone": {stand(99, map[int]string{12: blockA, 50: blockB}),
			fileDiff(hunkOf(blockA, 10, 10, 0), hunkOf(blockB, 40, 40, 0)), "+2 +10", same},
		"moved otherwise, repeated": {stand(99, map[int]string{12: blockA, 50: blockB, 80: blockB}),
			fileDiff(hunkOf(blockA, 10, 10, 0), hunkOf(blockB, 40, 40, 0)), "places 50 80", other},
		"one moves, one does not, the third is repeated": {stand(99, map[int]string{12: blockA, 40: blockB, 60: blockC, 80: blockC}),
			fileDiff(hunkOf(blockA, 10, 10, 0), hunkOf(blockB, 40, 40, 0), hunkOf(blockC, 60, 60, 0)), "+2 +0 +0", same},
		"a copy before the hunk before": {stand(99, map[int]string{3: blockB, 22: blockA, 42: blockB}),
			fileDiff(hunkOf(blockA, 20, 20, 0), hunkOf(blockB, 40, 40, 0)), "+2 +2", same},
		"a nearer copy before the hunk before": {stand(199, map[int]string{13: blockB, 20: blockA, 150: blockB}),
			fileDiff(hunkOf(blockA, 20, 20, 0), hunkOf(blockB, 30, 30, 0)), "places 13 150", other},
		"a copy before the hunk before, which adds lines": {stand(199, map[int]string{3: blockB, 20: blockA, 118: blockB}),
			fileDiff(hunkOf(blockA, 20, 20, 100), hunkOf(blockB, 60, 160, 0)), "+0 +58", same},
		"header that does not add up, alone": {stand(99, map[int]string{20: blockA, 40: blockB}),
			fileDiff(hunkOf(blockA, 20, 20, 0), hunkOf(blockB, 40, 45, 0)), "+0 +0", same},
		"header that does not add up, repeated": {stand(99, map[int]string{20: blockA, 40: blockB, 50: blockB}),
			fileDiff(hunkOf(blockA, 20, 20, 0), hunkOf(blockB, 40, 50, 0)), "places 40 50", other},
		"nowhere": {stand(99, nil), fileDiff(hunkOf(blockA, 20, 20, 0)), "places", refuses},
		"only within the hunk before it": {stand(99, map[int]string{20: "x1\nx2\nx3\nx4\nx5\nx6\nx7\n"}),
			fileDiff(hunkOf("x1\nx2\nx3\nx4\nx5\nx6\nx7\n", 20, 20, 0), hunkOf("x1\nx2\nx3\nx4\nx5\nx6\nx7\n", 30, 30, 0)), "places", refuses},
	} {
		t.Run(name, func(t *testing.T) {
			p := parse(t, mbox("place", tc.diff))
			base := Map{"f": text1(tc.base)}
			res, err := Apply(base, []*Patch{p})
			got := ""
			var e *ApplyError
			switch {
			case errors.As(err, &e):
				got = "places" + strings.TrimSuffix(fmt.Sprintf(" %v", strings.Trim(fmt.Sprint(e.Places), "[]")), " ")
			case err != nil:
				t.Fatal(err)
			default:
				var offs []string
				for _, h := range res.Patches[0].Hunks {
					offs = append(offs, fmt.Sprintf("%+d", h.Offset))
				}
				got = strings.Join(offs, " ")
			}
			if got != tc.want {
				t.Errorf("Apply = %s (%v), want %s", got, err, tc.want)
			}
			want, ok, said := gitApply(t, base, p)
			if ok != (tc.git != refuses) {
				t.Errorf("git apply says %s, want that it %s", said, tc.git)
			}
			if err == nil && tc.git == same {
				if d := cmp.Diff(treeText(want), treeText(after(base, res, 1))); d != "" {
					t.Errorf("not what git apply makes of it (-git +ours)\n%s", d)
				}
			}
			if err == nil && tc.git != same {
				t.Errorf("accepted, though git apply does something else")
			}
		})
	}
}

// TestDriftAcrossPatches has the first patch move, and the second name a line whose block is repeated.
func TestDriftAcrossPatches(t *testing.T) {
	first := parse(t, mbox("first", fileDiff(hunkOf(blockA, 10, 10, 0))))
	second := parse(t, mbox("second", fileDiff(hunkOf(blockB, 40, 40, 0))))
	for name, tc := range map[string]struct {
		at   map[int]string
		want int // 0 for a refusal
	}{
		"nearest":     {map[int]string{12: blockA, 42: blockB, 60: blockB}, 42},
		"at its line": {map[int]string{20: blockA, 40: blockB, 50: blockB}, 0},
	} {
		base := Map{"f": text1(stand(99, tc.at))}
		res, err := Apply(base, []*Patch{first, second})
		got := 0
		if err == nil {
			got = res.Patches[1].Hunks[0].Line
		}
		if got != tc.want {
			t.Errorf("%s: the second patch goes to line %d (%v), want %d", name, got, err, tc.want)
		}
	}
	// A rename takes along what is known of the file.
	ren := parse(t, mbox("ren", "diff --git a/f b/g\nsimilarity index 100%\nrename from f\nrename to g\n"))
	second = parse(t, mbox("second", strings.ReplaceAll(strings.ReplaceAll(fileDiff(hunkOf(blockB, 40, 40, 0)), "a/f", "a/g"), "b/f", "b/g")))
	base := Map{"f": text1(stand(99, map[int]string{20: blockA, 40: blockB, 50: blockB}))}
	if _, err := Apply(base, []*Patch{first, ren, second}); err == nil {
		t.Error("after a rename the second patch is put at its line, though the first has moved")
	}
}

// TestFoldersAndFiles makes files where others have their folder.
func TestFoldersAndFiles(t *testing.T) {
	add := func(name string) string {
		return fmt.Sprintf("diff --git a/%[1]s b/%[1]s\nnew file mode 100644\nindex 0000000..587be6b\n--- /dev/null\n+++ b/%[1]s\n@@ -0,0 +1 @@\n+x\n", name)
	}
	base := Map{"kept": text1("x\n")}
	for name, diffs := range map[string][]string{
		"at once":       {add("a") + add("a/b")},
		"at once, back": {add("a/b") + add("a")},
		"file first":    {add("a"), add("a/b/c")},
		"folder first":  {add("a/b/c"), add("a")},
		"deep":          {add("a/b/c"), add("a/b")},
		"below a file":  {add("kept/x")},
		"twice":         {add("a"), add("a")},
	} {
		var ps []*Patch
		for _, d := range diffs {
			ps = append(ps, parse(t, mbox("x", d)))
		}
		if _, err := Apply(base, ps); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := Apply(base, []*Patch{parse(t, mbox("x", add("a/b")+add("a-b")+add("ab"))), parse(t, mbox("x", add("a/c")))}); err != nil {
		t.Errorf("names that only look alike: %v", err)
	}
}
