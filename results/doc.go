// SPDX-License-Identifier: Apache-2.0

// Package results keeps what was found out about a series: records of runs with everything needed to repeat them,
// benchmark figures in Go's benchmark format, comparisons, and tables made from records only.
//
// A Run is written once and not changed afterwards. Its file carries the hash of its own content, so that a truncated
// or edited record is told apart from a true one when it is read:
//
//	jsonPath, err := results.Save("results/kauditd-wakeup", run)
//	run, err := results.Load(jsonPath)
//	table, err := results.TableFor("wakeups", run)
//
// A cell of a record that has no figure is missing: it is never shown as 0, and never compared.
package results
