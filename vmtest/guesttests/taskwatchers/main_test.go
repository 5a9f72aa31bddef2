// SPDX-License-Identifier: Apache-2.0

//go:build guest

package taskwatchers

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/seriesrig/series/vmtest/guesttests/internal/role"
)

var roles = role.Roles{
	"ids":     func() error { return errors.Join(syscall.Setgid(1001), syscall.Setuid(1002)) },
	"allowed": allowed,
	"forks":   forks,
	"wait": func() error {
		_, err := io.Copy(io.Discard, os.Stdin)
		return err
	},
}

func TestMain(m *testing.M) { roles.Main(m) }

// statusField returns a line of /proc/WHO/status.
func statusField(who, name string) (string, error) {
	file := "/proc/" + who + "/status"
	b, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(b)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value), nil
		}
	}
	return "", fmt.Errorf("%s: no %s", file, name)
}
