// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"embed"
	"io/fs"
	"strings"
)

//go:embed *.go agent/*.go
var sources embed.FS

// A Source is a file that the agent is built from.
type Source struct {
	Name string // relative to this package's folder, with slashes
	Text string
}

// Sources returns this package and the agent below it, in the order of their names. An installed series has no checkout
// to build the agent from.
func Sources() []Source {
	var all []Source
	for _, pattern := range []string{"*.go", "agent/*.go"} {
		names, _ := fs.Glob(sources, pattern) // the patterns are good
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			text, _ := sources.ReadFile(name) // it is there: Glob found it
			all = append(all, Source{Name: name, Text: string(text)})
		}
	}
	return all
}
