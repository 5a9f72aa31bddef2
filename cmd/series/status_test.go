// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"os/exec"
	"strconv"
)

// exitStatus is the exit status that an error of exec carries.
func exitStatus(err error) string {
	var xe *exec.ExitError
	if errors.As(err, &xe) {
		return strconv.Itoa(xe.ExitCode())
	}
	return err.Error()
}
