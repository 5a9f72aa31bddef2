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
//
// # What the benchmarks measure
//
// BenchmarkTasks reads about every process of a guest with 1,000, 10,000 and 50,000 processes that do nothing (tiny.Crowd),
// from files of /proc and from /proc/task_diag in turns, so that the ratio of the two is of one kernel and one guest. A task
// is an operation. A turn reads 10,000 tasks or more on each side. The turns before two in a row of which each side takes the
// same, within 1 %, do not count: the first ones fill the caches of /proc. How many these were is warm-up-turns, and the benchmark
// fails where 12 turns are not enough. On the side of /proc a file is opened, read and closed by raw system calls, and not looked
// at; maps and smaps are read to their end. On the side of task_diag every task and every mapping is looked at.
//
//   - none: readdir of /proc alone, and a request for no group: what nobody can do without.
//   - stat, stat-all: /proc/PID/stat against BASE, which is what most of its readers want, and against BASE and STAT, which
//     is all that it has.
//   - status: against BASE and CRED. maps: against VMA. smaps: against VMA and VMA_STAT. The processes share one address
//     space with few mappings, so the figures are of that, and not of programs.
//   - ps: a list of pid and ppid, made by package ps from the one and from the other: reading, and text again.
//
// The units are proc-insns/task and diag-insns/task where the guest's clock counts instructions (SERIES_MODE=icount), or else
// proc-ns/task and diag-ns/task; ratio; proc-calls/task and diag-calls/task, the system calls. TestCalls has a tracer count
// them as well. Both sides have marks, so that series bench --functions tells where each has its instructions. BPF task iterators are not among it: they need BTF, which this kernel is built without.
package taskdiag
