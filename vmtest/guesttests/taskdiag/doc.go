// SPDX-License-Identifier: Apache-2.0

// Package taskdiag tests /proc/task_diag of the task-diag series, and measures it. The tests read its messages byte by byte,
// without package vmtest/taskdiag, so that what a client skips is looked at as well; all that they accept is in wire_test.go.
// They need the build tag guest, run as root in a guest of their own with two CPUs, and change pid_max and what is mounted.
//
// Which patch a test needs is in series.toml; below it the test fails, as nothing here is skipped for want of the file.
// Flags of the test binary: -soak.count, -soak.seed and -soak.read of TestRandomRequests, see scripts/soak-task-diag.
//
// Most tests compare with /proc what does not stand still. Such a comparison asks task_diag before and after it looks at
// /proc, and counts if both answers are the same.
package taskdiag
