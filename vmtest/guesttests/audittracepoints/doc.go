// SPDX-License-Identifier: Apache-2.0

// Package audittracepoints has the guest tests and benchmarks of the two series that give audit's hooks of syscalls a trace
// event: audit-tracepoints-inside, where only tasks with an audit context have events, and audit-tracepoints-outside, where all
// tasks have, and audit is a probe. Which of the two a kernel is its symbols say; what a test expects depends on that.
//
// # What the benchmarks measure
//
// A child of a fork, in which nothing of Go runs, makes system calls in a state of audit: 10 batches, three times. An operation is a
// getpid, or an openat with the close of what it opened; insns/op (ns/op where the guest's clock counts no instructions) is what one
// takes of the child's CPU time, in the third to the fifth of the last ten batches, the shortest one first. The others have a tick in
// them, or an empty list of free objects. Where no batch before the last ten takes as long, within 1 %, another child is tried, and after
// four the benchmark fails; warm-up-ops is how many operations came before the first such batch.
//
// All batches have marks for series bench --functions, but in the state of a rule that matches: there kauditd runs in between, whose
// instructions are no time of the child's.
package audittracepoints
