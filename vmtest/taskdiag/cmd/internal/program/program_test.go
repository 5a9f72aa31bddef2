// SPDX-License-Identifier: Apache-2.0

package program

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"testing"
)

func TestRealMain(t *testing.T) {
	define := func(flags *flag.FlagSet) Run {
		how := flags.String("how", "", "what comes of it")
		return func(_ context.Context, args []string, stdout, _ io.Writer) error {
			switch {
			case len(args) > 0:
				return Usage{Err: fmt.Errorf("unexpected argument %q", args[0])}
			case *how == "bad":
				return errors.New("not today")
			}
			_, err := io.WriteString(stdout, "fine\n")
			return err
		}
	}
	for _, tt := range []struct {
		args        string
		code        int
		out, stderr string // what standard error begins with
	}{
		{"", 0, "fine\n", ""},
		{"-how good", 0, "fine\n", ""},
		{"-how bad", 1, "", "x: not today\n"},
		{"-how good more", 2, "", "x: unexpected argument \"more\"\n"},
		{"-why", 2, "", "flag provided but not defined: -why\n"},
		{"-h", 0, "", "Usage of x:\n"},
	} {
		var stdout, stderr strings.Builder
		code := realMain(t.Context(), "x", define, strings.Fields(tt.args), &stdout, &stderr)
		if code != tt.code || stdout.String() != tt.out || !strings.HasPrefix(stderr.String(), tt.stderr) || tt.stderr == "" && stderr.Len() > 0 {
			t.Errorf("x %s: status %d, %q, %q; want %d, %q, %q", tt.args, code, stdout.String(), stderr.String(), tt.code, tt.out, tt.stderr)
		}
	}
}
