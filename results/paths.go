// SPDX-License-Identifier: Apache-2.0

package results

import (
	"reflect"
	"strings"
)

// ReplacePaths replaces folders by names in all of the record's texts, such as the work folder by $WORK, so that a record
// which is published does not tell where it was made and its command lines can be repeated elsewhere. A folder is
// replaced where it is a whole path or is followed by a slash; of two that fit, the longer one counts.
func (r *Run) ReplacePaths(names map[string]string) {
	replacePaths(reflect.ValueOf(r).Elem(), func(s string) string {
		for i := 0; i < len(s); i++ {
			best := ""
			for dir := range names {
				rest, ok := strings.CutPrefix(s[i:], dir)
				if ok && dir != "" && len(dir) > len(best) && startsPath(s, i) && endsPath(rest) {
					best = dir
				}
			}
			if best != "" {
				s = s[:i] + names[best] + s[i+len(best):]
				i += len(names[best]) - 1
			}
		}
		return s
	})
}

// startsPath tells whether a path may begin at s[i]: not in the middle of a longer one.
func startsPath(s string, i int) bool {
	return i == 0 || !strings.ContainsRune("/.-_+", rune(s[i-1])) && !isWord(s[i-1])
}

func endsPath(rest string) bool {
	return rest == "" || !strings.ContainsRune(".-_+", rune(rest[0])) && !isWord(rest[0])
}

func isWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// replacePaths walks a value and changes each string in it.
func replacePaths(v reflect.Value, change func(string) string) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(change(v.String()))
	case reflect.Pointer:
		if !v.IsNil() {
			replacePaths(v.Elem(), change)
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			replacePaths(v.Index(i), change)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				replacePaths(v.Field(i), change)
			}
		}
	}
}
