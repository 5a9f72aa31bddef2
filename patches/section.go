// SPDX-License-Identifier: Apache-2.0

package patches

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

var sectionForm = regexp.MustCompile(`^[A-Za-z0-9_.+-]{1,100}$`)

// checkSections takes the [[section]] tables.
func (d *document) checkSections(s *Series) error {
	for i, r := range d.raw.Section {
		key := fmt.Sprintf("section[%d]", i)
		sec := Section(r)
		switch {
		case !sectionForm.MatchString(sec.Name):
			return d.errorf(key+".name", "%q is not the name of an ELF section", shorten(sec.Name))
		case sec.Module != "" && (path.Ext(sec.Module) != ".ko" || path.Clean(sec.Module) != sec.Module || path.IsAbs(sec.Module) || strings.HasPrefix(sec.Module, "..")):
			return d.errorf(key+".module", "%q is not the path of a module in kbuild's output folder, such as samples/x/x.ko", shorten(sec.Module))
		case slices.ContainsFunc(s.Sections, func(have Section) bool {
			return have.Name == sec.Name && have.Module == sec.Module && meet(have.Arches, sec.Arches) && meet(have.Variants, sec.Variants)
		}):
			return d.errorf(key+".name", "section %q is there twice for the same kernels", sec.Name)
		}
		if err := d.checkOwnArches(s, key, sec.Arches); err != nil {
			return err
		}
		if err := d.checkConfigs(s, key+".variants", sec.Variants); err != nil {
			return err
		}
		s.Sections = append(s.Sections, sec)
	}
	return nil
}

// meet tells whether two lists, of which none means all, have something in common.
func meet(a, b []string) bool {
	return len(a) == 0 || len(b) == 0 || slices.ContainsFunc(a, func(x string) bool { return slices.Contains(b, x) })
}
