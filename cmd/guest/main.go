// SPDX-License-Identifier: Apache-2.0

// Command guest is the program that runs inside a guest: see package agent.
package main

import (
	"os"

	"github.com/seriesrig/series/vmtest/guest/agent"
)

func main() { os.Exit(agent.Main()) }
