// SPDX-License-Identifier: Apache-2.0

//go:build guest

// Package trivial has a test that does nothing: what it costs to run it is what a guest costs.
package trivial

import "testing"

func TestNothing(t *testing.T) {}
