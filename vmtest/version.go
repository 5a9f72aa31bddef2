// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	"context"
	"fmt"
	"regexp"

	"github.com/seriesrig/series/internal/run"
)

var versionForm = regexp.MustCompile(`QEMU emulator version (.+)`)

// QEMU returns the path of the program that runs guests of an architecture, and its version as it says it itself:
// "7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)".
func QEMU(ctx context.Context, a Arch) (path, version string, err error) {
	x, err := a.lookup()
	if err != nil {
		return "", "", err
	}
	if path, err = run.Look(x.qemu); err != nil {
		return "", "", err
	}
	out, err := run.Cmd{Name: path, Args: []string{"--version"}}.Output(ctx)
	if err != nil {
		return "", "", err
	}
	m := versionForm.FindSubmatch(out)
	if m == nil {
		return "", "", fmt.Errorf("%s --version: no version in %.80q", x.qemu, out)
	}
	return path, string(m[1]), nil
}
