// SPDX-License-Identifier: Apache-2.0

package maintainers

import "slices"

// Sections returns the sections that a path belongs to, the closest first. THE REST, which all do, is not among them.
func (f *Finder) Sections(path string) []*Section {
	return slices.DeleteFunc(slices.Clone(f.sections(path)), func(s *Section) bool { return s.Name == "THE REST" })
}
