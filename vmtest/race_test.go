// SPDX-License-Identifier: Apache-2.0

//go:build race

package vmtest

// slow is how much slower a test binary is under the race detector, its start above all.
const slow = 5

// The console is looked at byte by byte.
func init() { consoleLimit = 8 * mib }
