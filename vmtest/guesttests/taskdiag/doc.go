// SPDX-License-Identifier: Apache-2.0

// Package taskdiag tests /proc/task_diag of the task-diag series.
package taskdiag
