// SPDX-License-Identifier: Apache-2.0

package tsc

// read returns the time stamp counter.
func read() uint64

const here = true
