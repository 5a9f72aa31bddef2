// SPDX-License-Identifier: Apache-2.0

package maintainers

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"

	"github.com/seriesrig/series/patches"
)

// Open makes a Finder of a kernel tree: its MAINTAINERS, and its .mailmap where it has one.
func Open(tree patches.Source) (*Finder, error) {
	data, err := tree.ReadFile("MAINTAINERS")
	if err != nil {
		return nil, fmt.Errorf("find recipients: %w", err)
	}
	f := &Finder{Tree: tree}
	if f.File, err = Parse("MAINTAINERS", bytes.NewReader(data.Data)); err != nil {
		return nil, err
	}
	data, err = tree.ReadFile(".mailmap")
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return f, nil
	case err != nil:
		return nil, fmt.Errorf("find recipients: %w", err)
	}
	f.Mailmap, err = ParseMailmap(".mailmap", bytes.NewReader(data.Data))
	return f, err
}
