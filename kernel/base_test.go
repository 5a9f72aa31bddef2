// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seriesrig/series/internal/need"
)

func TestParseBase(t *testing.T) {
	for spec, want := range map[string]Base{
		"debian:linux-source-6.12":                     {Debian, "linux-source-6.12", ""},
		"debian:linux-source":                          {Debian, "linux-source", ""},
		"debian:linux-source-6.12=6.12.117-1~deb12u1":  {Debian, "linux-source-6.12", "6.12.117-1~deb12u1"},
		"git:/src/linux#v6.12":                         {Git, "/src/linux", "v6.12"},
		"git:../li#nux#HEAD~3":                         {Git, "../li#nux", "HEAD~3"},
		"git:https://git.kernel.org/linux.git#v6.12":   {Git, "https://git.kernel.org/linux.git", "v6.12"},
		"git:git@example.org:linux.git#main":           {Git, "git@example.org:linux.git", "main"},
		"tar:linux-6.12.tar.xz":                        {Tar, "linux-6.12.tar.xz", ""},
		"tar:https://cdn.kernel.org/linux-6.12.tar.xz": {Tar, "https://cdn.kernel.org/linux-6.12.tar.xz", ""},
		"dir:.": {Dir, ".", ""},
	} {
		got, err := ParseBase(spec)
		if err != nil || got != want {
			t.Errorf("ParseBase(%q) = %+v, %v, want %+v", spec, got, err, want)
		}
		if got.String() != spec {
			t.Errorf("ParseBase(%q).String() = %q", spec, got)
		}
	}
	for _, spec := range []string{"", "linux-source-6.12", "debian:", "debian:bash", "debian:linux-source-6.12=", "debian:linux-source-6.12;rm",
		"debian:linux-source-6.12=../../x", "debian:-o", "git:/src/linux", "git:/src/linux#", "git:#v1", "git:x#--upload-pack=evil", "git:ext::sh -c evil% #x",
		"git:ext://x#y", "tar:", "tar:ftp://x/y", "tar:file:///etc/passwd", "tar:http://", "dir:", "zip:x", "dir:a\nb", "git:a#b\x00"} {
		b, err := ParseBase(spec)
		if spec == "git:ext::sh -c evil% #x" {
			continue // a path for us; git is told which protocols it may use
		}
		var be *BaseError
		if !errors.As(err, &be) || !strings.Contains(err.Error(), "dir:PATH") || strings.Contains(err.Error(), "\n") {
			t.Errorf("ParseBase(%q) = %+v, %v, want one line with the forms", spec, b, err)
		}
	}
}

// The same files give the same source, whatever kind of base they come by.
func TestSameContent(t *testing.T) {
	need.Tool(t, "git")
	s := makeStore(t)
	tmp := t.TempDir()
	plain, repo := filepath.Join(tmp, "plain"), filepath.Join(tmp, "repo")
	writeTree(t, plain, fakeKernel)
	writeTree(t, repo, fakeKernel)
	commit := sh(t, repo, "git init -q . && git add -A && git commit -qm x && git rev-parse HEAD")
	data := makeTar(t, "linux-6.12", fakeKernel)
	files := map[string][]byte{"k.tar": data, "k.tar.gz": gzipped(data), "flat.tar": makeTar(t, "", fakeKernel)}
	for _, tool := range []string{"xz", "zstd", "bzip2"} {
		if path, err := exec.LookPath(tool); err == nil {
			c := exec.Command(path, "-c")
			c.Stdin = bytes.NewReader(data)
			out, err := c.Output()
			if err != nil {
				t.Fatal(err)
			}
			files["k."+tool] = out
		}
	}
	specs := []string{"dir:" + plain, "dir:" + repo, "git:" + repo + "#HEAD", "git:file://" + repo + "#master", "git:file://" + repo + "#" + commit}
	sh(t, repo, "git branch -m master")
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(tmp, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
		specs = append(specs, "tar:"+filepath.Join(tmp, name))
	}
	var first *Source
	for _, spec := range specs {
		src := resolve(t, s, spec)
		if first == nil {
			first = src
			checkContent(t, src.Dir, fakeKernel)
		}
		if src.Hash != first.Hash || src.Dir != first.Dir {
			t.Errorf("%s: hash %s in %s, want %s", spec, src.Hash, src.Dir, first.Hash)
		}
		if src.Version != "6.12.7-rc3" || src.Spec != spec {
			t.Errorf("%s: version %q, spec %q", spec, src.Version, src.Spec)
		}
		if strings.HasPrefix(spec, "git:") && (src.Commit != commit || src.Repo == "") {
			t.Errorf("%s: commit %q in %q, want %s", spec, src.Commit, src.Repo, commit)
		}
	}
	// Mode, content, name and target each count.
	seen := map[string]string{first.Hash: "the first"}
	for i, files := range []map[string]string{
		with(fakeKernel, "scripts/run.sh*", "-", "scripts/run.sh", "#!/bin/sh\n"),
		with(fakeKernel, "init/main.c", "int main2;\n"),
		with(fakeKernel, "init/main.c", "-", "init/main2.c", "int main;\n"),
		with(fakeKernel, "scripts/dtc/arm", "->../../kernel"),
		with(fakeKernel, "scripts/dtc/arm", "../../init"),
	} {
		src := fakeSource(t, s, files)
		if was, twice := seen[src.Hash]; twice {
			t.Errorf("change %d gives the hash of %s", i, was)
		}
		seen[src.Hash] = fmt.Sprint("change ", i)
	}
}

func TestHostileTar(t *testing.T) {
	link := func(name, target string) *tar.Header {
		return &tar.Header{Name: name, Linkname: target, Typeflag: tar.TypeSymlink}
	}
	for what, test := range map[string]struct {
		extra []*tar.Header
		want  string
	}{
		"dot dot":       {[]*tar.Header{{Name: "linux/../../evil", Typeflag: tar.TypeReg}}, "leads out"},
		"absolute":      {[]*tar.Header{{Name: "/tmp/evil", Typeflag: tar.TypeReg}}, "leads out"},
		"device":        {[]*tar.Header{{Name: "linux/null", Typeflag: tar.TypeChar}}, "neither file"},
		"pipe":          {[]*tar.Header{{Name: "linux/pipe", Typeflag: tar.TypeFifo}}, "neither file"},
		"absolute link": {[]*tar.Header{link("linux/l", "/etc/passwd")}, "outside"},
		"link out":      {[]*tar.Header{link("linux/init/l", "../../x")}, "outside"},
		"link to above": {[]*tar.Header{link("linux/a", "init/b"), link("linux/init/b", ".."), link("linux/c", "a/../../../x")}, "outside"},
		"link chain":    {[]*tar.Header{link("linux/p/q/r", "../.."), link("linux/v", "p/q/r/../x")}, "outside"},
		"below a link":  {[]*tar.Header{link("linux/d", "init"), {Name: "linux/d/main.c", Typeflag: tar.TypeReg}}, "a folder too"},
		"below a file":  {[]*tar.Header{{Name: "linux/Makefile/x", Typeflag: tar.TypeReg}}, "a folder too"},
		"twice":         {[]*tar.Header{{Name: "linux/Makefile", Typeflag: tar.TypeReg}}, "twice"},
		"hard link out": {[]*tar.Header{{Name: "linux/h", Linkname: "../../../etc/passwd", Typeflag: tar.TypeLink}}, "no earlier file"},
		"hard to link":  {[]*tar.Header{link("linux/z", "init/main.c"), {Name: "linux/h", Linkname: "linux/z", Typeflag: tar.TypeLink}}, "no earlier file"},
	} {
		s := makeStore(t)
		name := filepath.Join(t.TempDir(), "evil.tar")
		if err := os.WriteFile(name, makeTar(t, "linux", fakeKernel, test.extra...), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := resolveErr(t, s, "tar:"+name); !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", what, err, test.want)
		}
		if list, _ := os.ReadDir(s.src()); len(list) != 2 { // .known and .lock
			t.Errorf("%s: left %v", what, list)
		}
	}
}

func TestTarForms(t *testing.T) {
	s := makeStore(t)
	tmp := t.TempDir()
	write := func(name string, data []byte) string {
		name = filepath.Join(tmp, name)
		if err := os.WriteFile(name, data, 0o644); err != nil {
			t.Fatal(err)
		}
		return "tar:" + name
	}
	// A hard link, what git archive puts first, and a link that leads nowhere or in circles.
	data := makeTar(t, "linux", with(fakeKernel, "loop", "->loop", "dangling", "->init/gone"),
		&tar.Header{Name: "linux/init/copy.c", Linkname: "linux/init/main.c", Typeflag: tar.TypeLink})
	src := resolve(t, s, write("odd.tar", data))
	checkContent(t, src.Dir, with(fakeKernel, "loop", "->loop", "dangling", "->init/gone", "init/copy.c", "int main;\n"))

	whole := gzipped(makeTar(t, "linux", fakeKernel))
	for what, test := range map[string]struct {
		data []byte
		want string
	}{
		"cut short":   {whole[:len(whole)-20], "unexpected EOF"},
		"no archive":  {[]byte("hello"), ""},
		"empty":       {nil, "without files"},
		"no kernel":   {makeTar(t, "x", map[string]string{"README": "x"}), "not a kernel source: it has no Makefile"},
		"no version":  {makeTar(t, "x", with(fakeKernel, "Makefile", "all:\n")), "its Makefile has no VERSION"},
		"bad gz body": {append([]byte("\x1f\x8b\x08\x00"), bytes.Repeat([]byte("x"), 100)...), ""},
	} {
		if err := resolveErr(t, s, write("bad.tar", test.data)); !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", what, err, test.want)
		}
	}
	if err := resolveErr(t, s, "tar:"+tmp+"/gone.tar"); !errors.As(err, new(*BaseError)) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing archive: %v", err)
	}
	if _, err := exec.LookPath("xz"); err == nil {
		c := exec.Command("xz", "-c")
		c.Stdin = bytes.NewReader(makeTar(t, "linux", fakeKernel))
		xz, err := c.Output()
		if err != nil {
			t.Fatal(err)
		}
		if err := resolveErr(t, s, write("cut.xz", xz[:len(xz)-30])); !strings.Contains(err.Error(), "xz") {
			t.Errorf("xz cut short: %v, want what xz says", err)
		}
	}
}

func TestTarURL(t *testing.T) {
	data := gzipped(makeTar(t, "linux", fakeKernel))
	var gets, full int
	status := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		gets++
		switch {
		case status != 0:
			w.WriteHeader(status)
		case r.Header.Get("If-None-Match") == `"1"`:
			w.WriteHeader(http.StatusNotModified)
		default:
			full++
			w.Header().Set("ETag", `"1"`)
			w.Write(data)
		}
	}))
	defer srv.Close()
	s := makeStore(t)
	src := resolve(t, s, "tar:"+srv.URL+"/k.tar.gz")
	again := resolve(t, s, "tar:"+srv.URL+"/k.tar.gz")
	if gets != 2 || full != 1 || again.Hash != src.Hash || again.Note != "" {
		t.Errorf("%d requests, %d downloads, hashes %s and %s", gets, full, src.Hash, again.Hash)
	}
	status = 404
	if err := resolveErr(t, s, "tar:"+srv.URL+"/k.tar.gz"); !errors.As(err, new(*BaseError)) {
		t.Errorf("404: %v, want a BaseError", err)
	}
	status = 502
	if off := resolve(t, s, "tar:"+srv.URL+"/k.tar.gz"); off.Hash != src.Hash || !strings.Contains(off.Note, "502") {
		t.Errorf("502: %+v, want the source with a note", off)
	}
	url := srv.URL
	srv.Close()
	if off := resolve(t, s, "tar:"+url+"/k.tar.gz"); off.Hash != src.Hash || off.Note == "" {
		t.Errorf("no server: %+v, want the source with a note", off)
	}
	resolveErr(t, s, "tar:"+url+"/other.tar.gz")
}

func TestGitBase(t *testing.T) {
	need.Tool(t, "git")
	s := makeStore(t)
	repo := t.TempDir()
	writeTree(t, repo, with(fakeKernel, ".gitattributes", "*.c text eol=crlf export-subst\n", "init/subst.c", "$Format:%H$ $Id$\n"))
	sh(t, repo, "git init -q . && git branch -m main && git add -A && git -c core.autocrlf=false commit -qm one && git tag -am t v1")
	src := resolve(t, s, "git:"+repo+"#v1")
	// What is stored counts, not what a checkout would make of it, and not what lies about.
	writeTree(t, repo, map[string]string{"init/stray.c": "x"})
	checkContent(t, src.Dir, with(fakeKernel, ".gitattributes", "*.c text eol=crlf export-subst\n", "init/subst.c", "$Format:%H$ $Id$\n"))
	sh(t, repo, "git add -A && git commit -qm two")
	two := resolve(t, s, "git:"+repo+"#HEAD")
	if two.Hash == src.Hash || resolve(t, s, "git:"+repo+"#HEAD^").Hash != src.Hash {
		t.Errorf("HEAD is %s, HEAD^ %s", two.Hash, src.Hash)
	}
	for spec, want := range map[string]string{
		"git:" + repo + "#nosuch":               `no commit "nosuch"`,
		"git:" + repo + "#HEAD:init":            "no commit",
		"git:" + repo + "/init/gone#HEAD":       "no repository there",
		"git:" + t.TempDir() + "#HEAD":          "not a git repository",
		"git:file://" + repo + "/gone.git#HEAD": "fetch",
		"git:ext::sh -c 'touch evil'#HEAD":      "no repository there",
	} {
		if err := resolveErr(t, s, spec); !strings.Contains(err.Error(), want) || !errors.As(err, new(*BaseError)) {
			t.Errorf("%s: %v, want a BaseError with %q", spec, err, want)
		}
	}
	// A URL: the branch moves, then the server is gone.
	spec := "git:file://" + repo + "#main"
	if got := resolve(t, s, spec); got.Hash != two.Hash || got.Commit != two.Commit {
		t.Errorf("%s = %s, want %s", spec, got.Commit, two.Commit)
	}
	writeTree(t, repo, map[string]string{"init/three.c": "x"})
	sh(t, repo, "git add -A && git commit -qm three")
	three := resolve(t, s, spec)
	if three.Hash == two.Hash {
		t.Error("the branch moved, and the source did not")
	}
	if err := os.Rename(repo, repo+".gone"); err != nil {
		t.Fatal(err)
	}
	if off := resolve(t, s, spec); off.Hash != three.Hash || off.Commit != three.Commit || off.Note == "" {
		t.Errorf("without the server: %+v, want commit %s and a note", off, three.Commit)
	}
}

func TestReadFile(t *testing.T) {
	s := makeStore(t)
	src := fakeSource(t, s, fakeKernel)
	f, err := src.ReadFile("kernel/audit/audit.c")
	if err != nil || string(f.Data) != "int audit;\n" || f.Mode != 0o644 {
		t.Errorf("ReadFile = %+v, %v", f, err)
	}
	if f, err := src.ReadFile("scripts/run.sh"); err != nil || f.Mode != 0o755 {
		t.Errorf("ReadFile(scripts/run.sh) = %+v, %v, want mode 0755", f, err)
	}
	if f, err := src.ReadFile("scripts/dtc/arm"); err != nil || f.Mode != fs.ModeSymlink || string(f.Data) != "../../init" {
		t.Errorf("ReadFile of a link = %+v, %v", f, err)
	}
	for _, name := range []string{"kernel/gone.c", "gone/dir/x.c"} {
		if _, err := src.ReadFile(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("ReadFile(%q) = %v, want fs.ErrNotExist", name, err)
		}
	}
	if _, err := src.ReadFile("scripts/dtc/arm/main.c"); err == nil || !strings.Contains(err.Error(), "scripts/dtc/arm is a symbolic link") {
		t.Errorf("ReadFile through a link = %v, want that it is one", err)
	}
	for _, name := range []string{"../src", "/etc/passwd", "", ".", "kernel", "kernel/", "kernel//fork.c", "scripts/dtc/arm/main.c", "Makefile/x", "kernel/../Makefile"} {
		if f, err := src.ReadFile(name); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("ReadFile(%q) = %v, %v, want an error that is not fs.ErrNotExist", name, f, err)
		}
	}
}

// Several that want the same source wait for one, and get the same.
func TestResolveTogether(t *testing.T) {
	s := makeStore(t)
	var unpacked sync.Map
	s.Progress = func(e Event) { unpacked.Store(e.Done, e) }
	name := filepath.Join(t.TempDir(), "k.tar")
	if err := os.WriteFile(name, makeTar(t, "linux", fakeKernel), 0o644); err != nil {
		t.Fatal(err)
	}
	b, _ := ParseBase("tar:" + name)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := s.Resolve(t.Context(), b); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if list, _ := filepath.Glob(s.src("[0-9a-f]*")); len(list) != 2 {
		t.Errorf("src has %v, want one source and its manifest", list)
	}
}

// A process that was killed while it unpacked leaves a folder that is not trusted, and that the next one removes.
func TestStaleUnpack(t *testing.T) {
	s := makeStore(t)
	stale := s.src(".tmp-123")
	writeTree(t, stale, fakeKernel)
	src := fakeSource(t, s, fakeKernel)
	if exists(stale) {
		t.Error("what a killed process left is still there")
	}
	// A source whose folder or manifest is gone is unpacked again.
	for _, gone := range []string{src.Dir, src.Dir + ".manifest"} {
		if err := os.RemoveAll(gone); err != nil {
			t.Fatal(err)
		}
		src = fakeSource(t, s, fakeKernel)
		checkContent(t, src.Dir, fakeKernel)
	}
}

// A cancelled download or unpacking ends at once, and leaves nothing.
func TestCancelUnpack(t *testing.T) {
	s := makeStore(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	stopped := errors.New("stopped by the test")
	release := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data := makeTar(t, "linux", fakeKernel)
		w.Write(data[:len(data)/2])
		w.(http.Flusher).Flush()
		cancel(stopped)
		<-release
	}))
	defer srv.Close()
	defer close(release)
	b, _ := ParseBase("tar:" + srv.URL + "/x.tar")
	start := time.Now()
	if _, err := s.Resolve(ctx, b); err == nil || !errors.Is(err, context.Canceled) && !errors.Is(err, stopped) {
		t.Errorf("Resolve = %v, want that it was cancelled", err)
	}
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("Resolve took %v after it was cancelled", d)
	}
	if list, _ := filepath.Glob(s.src(".tmp-*")); len(list) > 0 {
		t.Errorf("left %v", list)
	}
}

func FuzzUntar(f *testing.F) {
	f.Add(makeTar(f, "linux", fakeKernel))
	f.Add(makeTar(f, "", fakeKernel, &tar.Header{Name: "x/../y", Typeflag: tar.TypeReg}))
	f.Fuzz(func(t *testing.T, data []byte) {
		tmp := t.TempDir()
		root := filepath.Join(tmp, "in")
		if err := os.Mkdir(root, 0o755); err != nil {
			t.Fatal(err)
		}
		u := newUnpacker(t.Context(), root, "fuzz", nil)
		err := untar(u, io.LimitReader(bytes.NewReader(data), 1<<20))
		if err2 := u.wait(); err == nil {
			err = err2
		}
		if list, _ := os.ReadDir(tmp); len(list) != 1 {
			t.Errorf("unpacked beside its folder: %v", list)
		}
		if err == nil {
			u.finish(true)
		}
	})
}
