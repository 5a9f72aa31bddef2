// SPDX-License-Identifier: Apache-2.0

package intake

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/seriesrig/series/patches"
	"github.com/seriesrig/series/patches/mail"
)

// Update adds the trailers that were gathered to the patches of a series that is there, and changes nothing else of them.
// A trailer is for the diff that its person saw: where a patch has another one now, or is no more, what was said of it is
// noted and not taken. With dry nothing is written. It returns what is added, "0001-x.patch: Acked-by: ...".
func (s *Series) Update(to *patches.Series, dry bool) (added []string, err error) {
	type change struct {
		path string
		data []byte
	}
	var changes []change
	for i, seen := range s.Patches {
		trailers := s.trailers[i+1]
		if len(trailers) == 0 {
			continue
		}
		at := slices.IndexFunc(to.Patches, func(p *patches.Patch) bool { return p.Subject == seen.Subject })
		if at < 0 || !mail.SameDiff(to.Patches[at], seen) {
			why := "it has another diff now"
			if at < 0 {
				why = "there is no patch of that subject now"
			}
			for _, t := range trailers {
				s.note("patch %d, %s: %s not taken: %s", i+1, shorten(seen.Subject), shorten(t), why)
			}
			continue
		}
		p := to.Patches[at]
		raw := p.Raw
		for _, t := range trailers {
			q, err := mail.AddTrailer(p, t)
			if err != nil {
				return nil, err
			}
			if !bytes.Equal(q.Raw, p.Raw) {
				added = append(added, filepath.Base(p.File)+": "+t)
			}
			p = q
		}
		if !bytes.Equal(p.Raw, raw) {
			changes = append(changes, change{p.File, p.Raw})
		}
	}
	if dry || len(changes) == 0 {
		return added, nil
	}
	// All are written before any takes its place.
	tmp, err := os.MkdirTemp(to.Dir, ".import-")
	if err != nil {
		return nil, fmt.Errorf("add trailers to %s: %w", to.Dir, err)
	}
	defer os.RemoveAll(tmp)
	for _, c := range changes {
		err = errors.Join(err, os.WriteFile(filepath.Join(tmp, filepath.Base(c.path)), c.data, 0o644))
	}
	for _, c := range changes {
		if err == nil {
			err = os.Rename(filepath.Join(tmp, filepath.Base(c.path)), c.path)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("add trailers to %s: %w", to.Dir, err)
	}
	return added, nil
}
