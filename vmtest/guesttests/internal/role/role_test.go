// SPDX-License-Identifier: Apache-2.0

//go:build linux

package role

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestMain(m *testing.M) {
	Roles{
		"say":  func() error { _, err := fmt.Print(os.Getenv("SERIES_TEST_WORD")); return err },
		"fail": func() error { return errors.New("will not") },
	}.Main(m)
}

func TestCommand(t *testing.T) {
	if out, err := Command("say", "SERIES_TEST_WORD=yes").Output(); err != nil || string(out) != "yes" {
		t.Errorf("say: %q, %v, want yes", out, err)
	}
	for name, want := range map[string]string{"fail": "fail: will not\n", "nobody": "no role \"nobody\"\n"} {
		var said strings.Builder
		cmd := Command(name)
		cmd.Stderr = &said
		if err := cmd.Run(); cmd.ProcessState.ExitCode() != 1 || said.String() != want {
			t.Errorf("%s: %v, said %q, want status 1 and %q", name, err, said.String(), want)
		}
	}
}
