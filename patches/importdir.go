// SPDX-License-Identifier: Apache-2.0

package patches

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/seriesrig/series/internal/cache"
)

// importKind is the kind of the cache's entries that hold imported folders. The number goes up when what is imported,
// or how, changes.
const importKind = "basegit1"

// ImportDir makes a commit of a plain folder, in a bare repository that is kept in the cache under the hash of the
// folder's content; a second call finds it there. about is the commit's subject: "linux-source-6.12 6.12.117". The id of
// the commit depends on content and about alone.
//
// The files go through git fast-import and not through git add, because it takes them as they are: no .gitignore, no
// line ends changed, and it writes one pack. Folders named .git are left out.
func ImportDir(ctx context.Context, c *cache.Cache, dir, hash, about string) (Commit, error) {
	key := cache.KeyOf(hash, about)
	repo, _, err := c.Fill(ctx, importKind, key, func(ctx context.Context, tmp string) error {
		return full(c.Dir, tmp, fastImport(ctx, tmp, dir, about))
	})
	if err != nil {
		return Commit{}, fmt.Errorf("import %s into git: %w", dir, full(c.Dir, c.Dir, err))
	}
	return Commit{Repo: repo, Rev: "refs/heads/" + importBranch}, nil
}

const importBranch = "base"

func fastImport(ctx context.Context, repo, dir, about string) error {
	if err := git(repo, "init", "--quiet", "--bare", "--object-format=sha1", "--template=", ".").Run(ctx); err != nil {
		return err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	// Most files come once, so looking for deltas costs time and saves nothing.
	cmd := git(repo, "-c", "core.compression=1", "fast-import", "--quiet", "--done", "--depth=0")
	cmd.Stdin = r
	p, err := cmd.Start(ctx)
	r.Close()
	if err != nil {
		w.Close()
		return err
	}
	werr := writeImport(ctx, w, dir, about)
	w.Close()
	// Where git ended early, the error of writing to it is only what followed.
	if err := p.Wait(); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if werr != nil && !errors.Is(werr, syscall.EPIPE) {
			return werr
		}
		return err
	}
	if werr != nil {
		return werr
	}
	return git(repo, "symbolic-ref", "HEAD", "refs/heads/"+importBranch).Run(ctx)
}

// writeImport writes the commands for git fast-import. Without the "done" at the end it keeps nothing.
func writeImport(ctx context.Context, w io.Writer, dir, about string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	b := bufio.NewWriterSize(w, 1<<20)
	who := fmt.Sprintf("%s <%s> %d +0000", committerName, committerEmail, importTime)
	about = strings.TrimSpace(about) + "\n"
	fmt.Fprintf(b, "commit refs/heads/%s\nauthor %s\ncommitter %s\ndata %d\n%s", importBranch, who, who, len(about), about)
	buf := make([]byte, 1<<20)
	files := 0
	err = fs.WalkDir(root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case strings.EqualFold(e.Name(), ".git") && e.IsDir():
			return fs.SkipDir
		case strings.EqualFold(e.Name(), ".git"), e.IsDir():
			return nil
		}
		files++
		return importFile(b, root, name, e, buf)
	})
	if err != nil {
		return err
	}
	if files == 0 {
		return fmt.Errorf("%s has no files", dir)
	}
	fmt.Fprint(b, "done\n")
	return b.Flush()
}

// importTime is the date of the commit of an imported folder, the one that git format-patch puts into each From line; a
// fixed one, so that the commit's id is that of its content. Patches are newer.
const importTime = 1_000_684_800 // Mon Sep 17 00:00:00 2001

func importFile(w *bufio.Writer, root *os.Root, name string, e fs.DirEntry, buf []byte) error {
	switch {
	case e.Type()&fs.ModeSymlink != 0:
		to, err := root.Readlink(name)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, "M 120000 inline %s\ndata %d\n%s\n", importName(name), len(to), to)
		return err
	case !e.Type().IsRegular():
		return fmt.Errorf("%s is neither file, folder nor symbolic link", filepath.Join(root.Name(), name))
	}
	f, err := root.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	mode := "100644"
	if fileMode(fi.Mode()) == 0o755 {
		mode = "100755"
	}
	fmt.Fprintf(w, "M %s inline %s\ndata %d\n", mode, importName(name), fi.Size())
	n, err := io.CopyBuffer(struct{ io.Writer }{w}, io.LimitReader(f, fi.Size()), buf)
	if err != nil {
		return err
	}
	if n != fi.Size() {
		return fmt.Errorf("%s changed while it was read", filepath.Join(root.Name(), name))
	}
	return w.WriteByte('\n')
}

// importName quotes a name where git fast-import would misread it.
func importName(name string) string {
	if !strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == '"' || r == '\\' || r == 0x7f }) {
		return name
	}
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(name) {
		if c := name[i]; c < ' ' || c == '"' || c == '\\' || c == 0x7f {
			fmt.Fprintf(&b, `\%03o`, c)
		} else {
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}
