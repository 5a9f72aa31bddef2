// SPDX-License-Identifier: Apache-2.0

// Package audittracepoints has the guest tests and benchmarks of the two series that give audit's hooks of syscalls a trace
// event: audit-tracepoints-inside, where only tasks with an audit context have events, and audit-tracepoints-outside, where all
// tasks have, and audit is a probe. Which of the two a kernel is its symbols say; what a test expects depends on that.
package audittracepoints
