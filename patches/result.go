// SPDX-License-Identifier: Apache-2.0

package patches

import (
	"maps"
)

// A Hunk says where a hunk went.
type Hunk struct {
	Path   string `json:"path"`   // of the file after the patch
	Line   int    `json:"line"`   // its first line in the file that the patch was applied to; 1 is the first
	Offset int    `json:"offset"` // Line, less the line that the patch names
}

// Applied is one patch that was applied.
type Applied struct {
	File   string `json:"file"`
	Commit string `json:"commit,omitempty"` // once a branch has been made of it
	Hunks  []Hunk `json:"hunks"`            // in the order of the patch

	// Changed are the files that the patch changed, as they are after it; nil stands for one that is gone.
	Changed map[string]*File `json:"-"`
}

// A Result is what applying patches gave. Nothing of it is on disk.
type Result struct {
	Patches []Applied `json:"patches"`

	base map[string]*File // what the base has at every path that a patch changed; nil for nothing
}

// Files returns all files that differ from the base after the first n patches; nil stands for one that is gone. A file
// that a later patch puts back as it was is not among them. Files panics unless 0 <= n <= len(r.Patches).
func (r *Result) Files(n int) map[string]*File {
	out := map[string]*File{}
	for _, p := range r.Patches[:n] {
		maps.Copy(out, p.Changed)
	}
	maps.DeleteFunc(out, func(path string, f *File) bool { return f.same(r.base[path]) })
	return out
}

// Base returns the base's file at a path that some patch changed; nil where the base has none.
func (r *Result) Base(path string) *File { return r.base[path] }

// same tells whether two files are equal; nil, which stands for no file, equals only itself.
func (f *File) same(g *File) bool {
	if f == nil || g == nil {
		return f == g
	}
	return f.Mode == g.Mode && string(f.Data) == string(g.Data)
}

// Moved returns the hunks that did not go to the line that their patch names, of all patches.
func (r *Result) Moved() []Hunk {
	var out []Hunk
	for _, p := range r.Patches {
		for _, h := range p.Hunks {
			if h.Offset != 0 {
				out = append(out, h)
			}
		}
	}
	return out
}
