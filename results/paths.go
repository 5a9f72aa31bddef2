// SPDX-License-Identifier: Apache-2.0

package results

import (
	"path"
	"reflect"
	"slices"
	"strings"
)

// ReplacePaths replaces folders by names in all of the record's texts, such as the work folder by $WORK, so that a record
// which is published does not tell where it was made and its command lines can be repeated elsewhere. A folder is
// replaced where it is a whole path or is followed by a slash; of two that fit, the longer one counts.
func (r *Run) ReplacePaths(names map[string]string) {
	eachText(reflect.ValueOf(r).Elem(), nil, func(s string) string {
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

// HidePaths leaves nothing of a path that leads out of the repository but its last element: where something lay on the host
// that made a record is nobody's business, and repeats nothing. What test cases print is left as it is, as its paths are a
// guest's, and so are those below folders that each system has.
func (r *Run) HidePaths() {
	eachText(reflect.ValueOf(r).Elem(), reflect.TypeFor[Test](), func(s string) string { return outsidePaths(s, path.Base) })
}

// OutsidePaths returns the paths that HidePaths would change, sorted.
func (r *Run) OutsidePaths() []string {
	var all []string
	eachText(reflect.ValueOf(r).Elem(), reflect.TypeFor[Test](), func(s string) string {
		return outsidePaths(s, func(p string) string {
			all = append(all, p)
			return p
		})
	})
	slices.Sort(all)
	return slices.Compact(all)
}

// systemDirs are the folders in / whose names tell nothing of a host; the last two are a guest's.
var systemDirs = []string{"bin", "dev", "etc", "lib", "lib32", "lib64", "proc", "sbin", "sys", "usr", "series", "init"}

// outsidePaths replaces the paths in a text that begin with /, ../ or ~/, but for those of each system.
func outsidePaths(s string, by func(path string) string) string {
	for i := 0; i < len(s); i++ {
		if i > 0 && !strings.ContainsRune(" \t\n\"'=:,(<[{@", rune(s[i-1])) {
			continue
		}
		rest, lead := s[i:], 0 // lead: how many bytes of it are the beginning
		for _, begin := range []string{"/", "../", "~/"} {
			if strings.HasPrefix(rest, begin) {
				lead = len(begin)
			}
		}
		if rest == ".." {
			lead = 2
		}
		if lead == 0 {
			continue
		}
		if strings.HasPrefix(rest, "//") && !strings.HasSuffix(s[:i], "file:") {
			continue // what follows is the host of a URL
		}
		end := strings.IndexAny(rest, " \t\n\"'<>|,;:()[]{}#")
		if end < 0 {
			end = len(rest)
		}
		name := rest[:end]
		first, _, _ := strings.Cut(strings.TrimLeft(name, "/"), "/")
		if first == "" || name[0] == '/' && slices.Contains(systemDirs, first) {
			i += end - 1
			continue
		}
		new := by(name)
		if new == ".." { // a name it has not
			new = "DIR"
		}
		s = s[:i] + new + rest[end:]
		i += len(new) - 1
	}
	return s
}

// eachText walks a value and changes each string in it, but for those of a type.
func eachText(v reflect.Value, but reflect.Type, change func(string) string) {
	if v.Type() == but {
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(change(v.String()))
	case reflect.Pointer:
		if !v.IsNil() {
			eachText(v.Elem(), but, change)
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			eachText(v.Index(i), but, change)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				eachText(v.Field(i), but, change)
			}
		}
	}
}
