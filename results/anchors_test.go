// SPDX-License-Identifier: Apache-2.0

package results

import (
	"strings"
	"testing"
)

// A published figure is not lost to a slip in the file.
func TestParseAnchors(t *testing.T) {
	good := string(anchorsFile)
	if _, err := parseAnchors([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string][3]string{
		"misspelt key":  {"cost_percent ", "cost_procent ", "cost_procent"},
		"figure gone":   {"-38.12, ", "", "8 figures for 9 patches"},
		"baseline gone": {"124.406, ", "", "kernbench.elapsed_s: 9 figures"},
		"no change":     {`change = "tie"`, `change = "draw"`, `change "draw"`},
		"no states":     {`audit = ["off", "seccomp"]`, `audit = []`, "states"},
		"no toml":       {"[task_watchers]", "[task_watchers", "anchors.toml"},
	} {
		bad := strings.Replace(good, c[0], c[1], 1)
		if bad == good {
			t.Fatalf("%s: %q is not in the file", name, c[0])
		}
		if _, err := parseAnchors([]byte(bad)); err == nil || !strings.Contains(err.Error()+missingKeys(err), c[2]) {
			t.Errorf("%s: parseAnchors = %v, want an error with %q", name, err, c[2])
		}
	}
}

// missingKeys is what the decoder has to say beyond its error's first line.
func missingKeys(err error) string {
	if s, ok := err.(interface{ Unwrap() error }); ok {
		if d, ok := s.Unwrap().(interface{ String() string }); ok {
			return d.String()
		}
	}
	return ""
}
