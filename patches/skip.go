// SPDX-License-Identifier: Apache-2.0

package patches

import (
	"fmt"
	"slices"
	"strings"
)

// Skip says on which kernels a test may skip itself: on those before patch Before, and in the configurations of Variants; with
// both, where both hold. On all others a skip is a finding, for who asks that nothing is left out.
type Skip struct {
	Test     string   `json:"test"`               // a Go test's name; Test/sub names a subtest
	Before   int      `json:"before,omitempty"`   // 1..len(Patches); 0 is no condition
	Variants []string `json:"variants,omitempty"` // configurations, "release" or variants; none is no condition
	Why      string   `json:"why"`
}

// On tells whether the test may skip on the kernel with patches 1 to patch, in a configuration.
func (s Skip) On(patch int, config string) bool {
	return (s.Before == 0 || patch < s.Before) && (len(s.Variants) == 0 || slices.Contains(s.Variants, config))
}

// MaySkip tells whether a test, or a subtest, may skip itself on a kernel.
func (s *Series) MaySkip(test string, patch int, config string) bool {
	return slices.ContainsFunc(s.Skips, func(k Skip) bool {
		return (test == k.Test || strings.HasPrefix(test, k.Test+"/")) && k.On(patch, config)
	})
}

// checkSkips takes the [[skip]] tables; the patches are checked by checkNumbers.
func (d *document) checkSkips(s *Series) error {
	for i, r := range d.raw.Skip {
		key := fmt.Sprintf("skip[%d]", i)
		_, before := d.lines[key+".before"]
		switch {
		case !testForm.MatchString(r.Test):
			return d.errorf(key+".test", "%q is not the name of a Go test", shorten(r.Test))
		case strings.TrimSpace(r.Why) == "":
			return d.errorf(key+".why", "why is empty: say what those kernels do not have")
		case !before && len(r.Variants) == 0:
			return d.errorf(key, "a test that may skip on every kernel tests nothing: before or variants has to say where it may")
		}
		if err := d.checkConfigs(s, key+".variants", r.Variants); err != nil {
			return err
		}
		s.Skips = append(s.Skips, Skip(r))
	}
	return nil
}

// checkConfigs refuses names of configurations that the series does not have.
func (d *document) checkConfigs(s *Series, key string, configs []string) error {
	for i, c := range configs {
		if c != Release && !slices.ContainsFunc(s.Variants, func(have Variant) bool { return have.Name == c }) {
			return d.errorf(fmt.Sprintf("%s[%d]", key, i), "%q is neither %s nor a variant of the series", shorten(c), Release)
		}
	}
	return nil
}
