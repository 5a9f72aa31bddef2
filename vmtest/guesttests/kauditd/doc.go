// SPDX-License-Identifier: Apache-2.0

// Package kauditd tests how the kernel wakes kauditd, the thread that hands audit records to auditd, and how tasks wait
// for it: no record may be late, out of order or lost because of a wakeup that was saved.
//
// The tests take over the audit subsystem of the machine they run on, so they are compiled with the build tag guest only
// and refuse to run where somebody else is auditd. They want audit=1 on the kernel's command line, two CPUs and root.
package kauditd
