// SPDX-License-Identifier: Apache-2.0

package patches

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSplitMbox(t *testing.T) {
	const sep = "From 0123456789012345678901234567890123456789 Mon Sep 17 00:00:00 2001\n"
	type part struct {
		line int
		raw  string
	}
	for name, c := range map[string]struct {
		data string
		want []part
	}{
		"empty":             {"", nil},
		"blank":             {"\n \n", nil},
		"no separator":      {"\nA: b\n\nc\n", []part{{2, "A: b\n\nc\n"}}},
		"two":               {sep + "A: b\n\nc\n\n" + sep + "D: e\n\nf\n", []part{{2, "A: b\n\nc\n"}, {7, "D: e\n\nf\n"}}},
		"no newline":        {sep + "A: b", []part{{2, "A: b"}}},
		"prose":             {sep + "A: b\n\nFrom here at 12:34:56 on\nFrom x 1:2\n", []part{{2, "A: b\n\nFrom here at 12:34:56 on\nFrom x 1:2\n"}}},
		"quoted":            {sep + "A: b\n\n>" + sep, []part{{2, "A: b\n\n>" + sep}}},
		"nothing between":   {sep + sep + "A: b\n", []part{{2, ""}, {3, "A: b\n"}}},
		"CR LF":             {"From x Mon Sep 17 00:00:00 2001\r\nA: b\r\n", []part{{2, "A: b\r\n"}}},
		"begins with prose": {"A: b\n\n" + sep + "C: d\n", []part{{1, "A: b\n"}, {4, "C: d\n"}}},
	} {
		var got []part
		for _, p := range SplitMbox([]byte(c.data)) {
			got = append(got, part{p.Line, string(p.Raw)})
		}
		if d := cmp.Diff(c.want, got, cmp.AllowUnexported(part{})); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}
