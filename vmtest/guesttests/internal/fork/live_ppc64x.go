// SPDX-License-Identifier: Apache-2.0

//go:build linux && (ppc64 || ppc64le)

package fork

// live uses a vector register, so that all of these are loaded. The kernel loads them by itself when a task runs again, but not each
// 256th time; from then on each of its system calls takes some instructions more, as it looks whether they are.
func live()
