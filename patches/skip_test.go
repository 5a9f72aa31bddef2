// SPDX-License-Identifier: Apache-2.0

package patches

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestMaySkip(t *testing.T) {
	s := &Series{Skips: []Skip{
		{Test: "TestBefore", Before: 3},
		{Test: "TestVariant", Variants: []string{Release}},
		{Test: "TestBoth", Before: 2, Variants: []string{"debug"}},
		{Test: "TestOf/part", Before: 3},
	}}
	for _, c := range []struct {
		test   string
		patch  int
		config string
		want   bool
	}{
		{"TestBefore", 2, Release, true},
		{"TestBefore/sub", 2, "debug", true},
		{"TestBefore", 3, Release, false},
		{"TestBeforehand", 2, Release, false},
		{"TestVariant", 9, Release, true},
		{"TestVariant", 0, "debug", false},
		{"TestBoth", 1, "debug", true},
		{"TestBoth", 1, Release, false},
		{"TestBoth", 2, "debug", false},
		{"TestOf", 0, Release, false},
		{"TestOf/part", 0, Release, true},
		{"TestOther", 0, Release, false},
	} {
		if got := s.MaySkip(c.test, c.patch, c.config); got != c.want {
			t.Errorf("MaySkip(%s, %d, %s) = %v, want %v", c.test, c.patch, c.config, got, c.want)
		}
	}
}

func TestLoadSkips(t *testing.T) {
	const good = "[[skip]]\ntest = \"TestNth\"\nbefore = 2\nvariants = [\"release\"]\nwhy = \"no fault injection\"\n\n"
	load := func(skip string) (*Series, error) {
		files := trial()
		files["series.toml"] = strings.Replace(files["series.toml"], "[[symbol]]", skip+"[[symbol]]", 1)
		return Load(filepath.Join(writeTrial(t, files), "trial"))
	}
	s, err := load(good)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Skips) != 1 || !s.MaySkip("TestNth", 1, Release) || s.MaySkip("TestNth", 2, Release) {
		t.Errorf("skips are %+v", s.Skips)
	}
	for name, c := range map[string]struct{ old, new, want string }{
		"no test":    {`"TestNth"`, `"Nth"`, `"Nth" is not the name of a Go test`},
		"no reason":  {`"no fault injection"`, `""`, "why is empty"},
		"everywhere": {"before = 2\nvariants = [\"release\"]\n", "", "a test that may skip on every kernel tests nothing"},
		"too late":   {"before = 2", "before = 3", "before = 3: the series has patches 1 to 2"},
		"of nothing": {"before = 2", "before = 0", "before = 0: the series has patches 1 to 2"},
		"elsewhere":  {`"release"`, `"debug"`, `"debug" is neither release nor a variant of the series`},
	} {
		if _, err := load(strings.Replace(good, c.old, c.new, 1)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %v, want %q", name, err, c.want)
		}
	}
}
