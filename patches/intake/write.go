// SPDX-License-Identifier: Apache-2.0

package intake

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/seriesrig/series/patches"
)

// A Target says where a series is written, and what mail does not say of it.
type Target struct {
	Root   string   // the folder that holds the series
	ID     string   // "" means the series' own
	Base   string   // spec of the base
	Arches []string // what it is built for
	Loader patches.Loader
}

// Write writes the series as a folder of Root, whole or not at all: it is made beside its place, read back, compared and
// then renamed. A folder that is there already is an error. It returns the folder.
func (s *Series) Write(t Target) (string, error) {
	id := t.ID
	if id == "" {
		id = s.ID
	}
	dir := filepath.Join(t.Root, id)
	if err := s.write(t, id, dir); err != nil {
		var bad *patches.InputError
		if errors.As(err, &bad) {
			return "", err
		}
		return "", fmt.Errorf("import into %s: %w", dir, err)
	}
	return dir, nil
}

func (s *Series) write(t Target, id, dir string) error {
	if _, err := os.Lstat(dir); err == nil {
		return &patches.InputError{File: dir, Msg: "is there already; name another with --id", Err: fs.ErrExist}
	}
	if fi, err := os.Stat(t.Root); err != nil || !fi.IsDir() {
		return &patches.InputError{File: t.Root, Msg: "is not a folder; name the one that holds the series with --patches", Err: fs.ErrNotExist}
	}
	if id == "" || id != filepath.Base(dir) || strings.HasPrefix(id, ".") {
		return &patches.InputError{File: dir, Msg: fmt.Sprintf("%q is not an id: small letters, digits and hyphens", id)}
	}
	tmp, err := os.MkdirTemp(t.Root, ".import-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	made := filepath.Join(tmp, id)
	if err := os.Mkdir(made, 0o755); err != nil {
		return err
	}
	for name, data := range s.files(t, id) {
		if err := os.WriteFile(filepath.Join(made, name), data, 0o644); err != nil {
			return err
		}
	}
	back, err := t.Loader.Load(made)
	if err != nil {
		return inPlace(err, made, dir)
	}
	if text := strings.Trim(s.Cover, " \t\n"); back.Cover.Subject != s.Title || strings.Trim(back.Cover.Body, " \t\n") != text {
		return fmt.Errorf("the cover letter was read back as another")
	}
	for i, p := range back.Patches {
		if i >= len(s.Patches) || string(p.Raw) != string(s.Patches[i].Raw) {
			return fmt.Errorf("patch %d was read back as another", i+1)
		}
	}
	return os.Rename(made, dir)
}

// inPlace names the file where it would have been.
func inPlace(err error, made, dir string) error {
	var bad *patches.InputError
	if errors.As(err, &bad) {
		if rel, e := filepath.Rel(made, bad.File); e == nil {
			bad.File = filepath.Join(dir, rel)
		}
		return bad
	}
	return err
}

// files are the series' files by their names.
func (s *Series) files(t Target, id string) map[string][]byte {
	letter := s.Cover
	if !strings.Contains(s.Title, "{{") { // such a heading would be a place; then the title of series.toml is the subject
		letter = strings.TrimRight("# "+s.Title+"\n\n"+s.Cover, "\n") + "\n"
	}
	out := map[string][]byte{"series.toml": s.toml(t, id), "cover.md": []byte(letter)}
	for i, p := range s.Patches {
		out[fmt.Sprintf("%04d-%s.patch", i+1, fileName(p.Subject))] = p.Raw
	}
	return out
}

// fileName is what git format-patch calls the file of a patch: letters, digits, full stops and underscores, and a hyphen
// for all else; 52 characters at most.
func fileName(subject string) string {
	var b strings.Builder
	last := rune('-')
	for _, r := range subject {
		switch {
		case r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_':
		case r == '.' && last != '.':
		default:
			r = '-'
		}
		if r == '-' && last == '-' {
			continue
		}
		b.WriteRune(r)
		last = r
	}
	out := strings.TrimLeft(b.String(), ".-_")
	if out = strings.TrimRight(out[:min(len(out), 52)], ".-"); out == "" {
		out = "patch"
	}
	return out
}

// toml is the series.toml.
func (s *Series) toml(t Target, id string) []byte {
	var b strings.Builder
	b.WriteString("# SPDX-License-Identifier: Apache-2.0\n")
	key := func(name, value string) { fmt.Fprintf(&b, "%s = %s\n", name, quote(value)) }
	key("id", id)
	key("title", s.Title)
	fmt.Fprintf(&b, "revision = %d\n", s.Revision)
	key("prefix", s.Prefix)
	if s.BaseCommit != "" && !strings.HasSuffix(t.Base, "#"+s.BaseCommit) {
		fmt.Fprintf(&b, "# it was posted with base-commit: %s\n", s.BaseCommit)
	}
	key("base", t.Base)
	if s.ChangeID != "" {
		key("change-id", s.ChangeID)
	}
	list(&b, "prerequisites", s.Prerequisites)
	list(&b, "arches", t.Arches)
	if len(s.To) > 0 {
		b.WriteString("\n[mail]\n")
		list(&b, "to", s.To)
		list(&b, "cc", s.Cc)
	}
	return []byte(b.String())
}

func list(b *strings.Builder, name string, values []string) {
	switch {
	case len(values) == 0:
		return
	case len(values) == 1:
		fmt.Fprintf(b, "%s = [%s]\n", name, quote(values[0]))
		return
	}
	fmt.Fprintf(b, "%s = [\n", name)
	for _, v := range values {
		fmt.Fprintf(b, "  %s,\n", quote(v))
	}
	b.WriteString("]\n")
}

// quote writes a TOML string.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteRune('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
