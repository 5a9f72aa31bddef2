// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestBringBack(t *testing.T) {
	tests := []struct {
		args []string
		want wanted
	}{
		{[]string{"-test.v", "-test.timeout=2m0s"}, wanted{timeout: 2 * time.Minute}},
		{[]string{"-test.coverprofile=/tmp/b/c.out", "-test.cpuprofile", "cpu.out"},
			wanted{files: []string{"/tmp/b/c.out", "/pkg/cpu.out"}}},
		{[]string{"-test.outputdir=/out", "--test.memprofile=m.out", "-test.gocoverdir=cov"},
			wanted{files: []string{"/out/m.out"}, folders: []string{"/pkg/cov"}}},
		{[]string{"--", "-test.trace=t.out"}, wanted{}},
		{[]string{"-test.trace"}, wanted{}},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, bringBack(tt.args, "/pkg"), cmp.AllowUnexported(wanted{})); diff != "" {
			t.Errorf("bringBack(%q): (-want +got)\n%s", tt.args, diff)
		}
	}
}

func TestSize(t *testing.T) {
	for in, want := range map[string]int64{"512MiB": 512 << 20, "2GiB": 2 << 30, "100": 100, "1KiB": 1024, "0B": 0} {
		if got, err := parseSize(in); err != nil || got != want {
			t.Errorf("parseSize(%q) = %d, %v; want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"", "MiB", "-1MiB", "1.5GiB", "12MB", "99999999999TiB"} {
		if got, err := parseSize(in); err == nil {
			t.Errorf("parseSize(%q) = %d, want an error", in, got)
		}
	}
	for in, want := range map[int64]string{300: "300B", 512 << 20: "512MiB", 1825361101: "1.7GiB"} {
		if got := formatSize(in); got != want {
			t.Errorf("formatSize(%d) = %q, want %q", in, got, want)
		}
	}
}
