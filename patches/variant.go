// SPDX-License-Identifier: Apache-2.0

package patches

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// variantDir is the folder of a series that holds the patches of its variants, so that none is taken for one of the series.
const variantDir = "variants"

var (
	variantForm      = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,39}$`)
	variantPatchForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]*\.patch$`)
	kconfigForm      = regexp.MustCompile(`^[A-Z0-9][A-Za-z0-9_]*$`)
)

// checkVariants takes the [[variant]] tables.
func (l Loader) checkVariants(d *document, s *Series) error {
	for i, r := range d.raw.Variant {
		key := fmt.Sprintf("variant[%d]", i)
		v := Variant{Name: r.Name, Why: r.Why, Config: r.Config, Off: r.Off, Arches: r.Arches, Test: r.Test}
		switch {
		case !variantForm.MatchString(v.Name):
			return d.errorf(key+".name", "%q is not of small letters, digits and hyphens, 40 at most", shorten(v.Name))
		case v.Name == Release || v.Name == "all" || v.Name == "control":
			return d.errorf(key+".name", "%q has a meaning of its own: choose another name", v.Name)
		case slices.ContainsFunc(s.Variants, func(have Variant) bool { return have.Name == v.Name }):
			return d.errorf(key+".name", "variant %q is there twice", v.Name)
		case strings.TrimSpace(v.Why) == "":
			return d.errorf(key+".why", "why is empty: say what building it shows")
		case len(v.Config) == 0 && len(v.Off) == 0:
			return d.errorf(key, "variant %q is the release configuration: it needs config or off", v.Name)
		}
		for j, c := range v.Config {
			if !configForm.MatchString(c) {
				return d.errorf(fmt.Sprintf("%s.config[%d]", key, j), "%q is not the name of a fragment in configs/, without .config, nor NAME@N for one from patch N on", shorten(c))
			}
		}
		for j, name := range v.Off {
			if !kconfigForm.MatchString(name) || strings.HasPrefix(name, "CONFIG_") {
				return d.errorf(fmt.Sprintf("%s.off[%d]", key, j), "%q is not a Kconfig symbol, without CONFIG_", shorten(name))
			}
		}
		if err := d.checkOwnArches(s, key, v.Arches); err != nil {
			return err
		}
		if r.Patch != "" {
			if !variantPatchForm.MatchString(r.Patch) {
				return d.errorf(key+".patch", "%q is not the name of a file in the series' folder %s/, such as prompt.patch", shorten(r.Patch), variantDir)
			}
			p, err := LoadPatch(filepath.Join(s.Dir, variantDir, r.Patch))
			if err != nil {
				return d.errorf(key+".patch", "%v", err)
			}
			v.Patch = p
		}
		s.Variants = append(s.Variants, v)
	}
	return nil
}
