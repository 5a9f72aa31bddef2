// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"archive/tar"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seriesrig/series/internal/cache"
	"github.com/seriesrig/series/internal/run"
)

// fakeApt answers as apt-get does, out of a folder: known-system and known-private are what its two sets of lists say,
// mirror.deb is what the server has. Each call is noted.
const fakeApt = `#!/bin/sh
echo "$*" >> "$0.calls"
dir=$(dirname "$0")
lists=$dir/known-system
case "$*" in *Dir::State=*) lists=$dir/known-private;; esac
case "$*" in
*update*) test -e "$dir/offline" && { echo "E: no network" >&2; exit 100; }; cp "$dir/server" "$dir/known-private";;
*--print-uris*) cat "$lists" 2>/dev/null || { echo "E: Unable to locate package" >&2; exit 100; };;
*download*) test -e "$dir/offline" && { echo "E: no network" >&2; exit 100; }
	set -- $(cat "$lists"); cp "$dir/mirror-$2" "$2" || exit 100;;
esac
`

type aptWorld struct {
	t   *testing.T
	dir string
}

func newAptWorld(t *testing.T) aptWorld {
	t.Helper()
	w := aptWorld{t, t.TempDir()}
	w.write("apt-get", fakeApt)
	w.write("apt-cache", "#!/bin/sh\necho 'linux-source-6.1 - source'\n")
	w.write("dpkg-deb", "#!/bin/sh\ncat \"$2\"\n")
	t.Setenv("PATH", w.dir+":"+os.Getenv("PATH"))
	return w
}

func (w aptWorld) write(name, text string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o755); err != nil {
		w.t.Fatal(err)
	}
}

func (w aptWorld) calls(what string) int {
	data, _ := os.ReadFile(filepath.Join(w.dir, "apt-get.calls"))
	return strings.Count(string(data), what)
}

// publish puts a package on the server and returns apt's line about it.
func (w aptWorld) publish(version string, files map[string]string) string {
	w.t.Helper()
	var b bytes.Buffer
	t := tar.NewWriter(&b)
	inner := gzipped(makeTar(w.t, "linux-source-6.12", files))
	if err := errors.Join(t.WriteHeader(&tar.Header{Name: "./usr/share/doc/x", Typeflag: tar.TypeReg, Mode: 0o644}),
		t.WriteHeader(&tar.Header{Name: "./usr/src/linux-source-6.12.tar.gz", Typeflag: tar.TypeReg, Size: int64(len(inner)), Mode: 0o644})); err != nil {
		w.t.Fatal(err)
	}
	t.Write(inner)
	t.Close()
	name := "linux-source-6.12_" + version + "_all.deb"
	w.write("mirror-"+name, b.String())
	sum, err := cache.HashFile(filepath.Join(w.dir, "mirror-"+name))
	if err != nil {
		w.t.Fatal(err)
	}
	return "'http://mirror/" + name + "' " + name + " 5 SHA256:" + sum + "\n"
}

func TestDebian(t *testing.T) {
	const spec = "debian:linux-source-6.12"
	w, s := newAptWorld(t), makeStore(t)
	w.write("known-system", w.publish("6.12.7-1~deb12u1", fakeKernel))
	src := resolve(t, s, spec)
	checkContent(t, src.Dir, fakeKernel)
	if src.Package != "6.12.7-1~deb12u1" || src.Note != "" {
		t.Errorf("package %q, note %q", src.Package, src.Note)
	}
	if same := fakeSource(t, s, fakeKernel); same.Hash != src.Hash {
		t.Errorf("hash %s, and %s of the same files in a plain archive", src.Hash, same.Hash)
	}
	// Again: apt is not even asked.
	n := w.calls("")
	resolve(t, s, spec)
	if w.calls("") != n || w.calls("--print-uris") != 1 || w.calls("download ") != 2 {
		t.Errorf("apt was called again: %d --print-uris, %d download", w.calls("--print-uris"), w.calls("download "))
	}
	if list, _ := filepath.Glob(s.src(".download", "*.deb")); len(list) > 0 {
		t.Errorf("left %v", list)
	}

	// The system's lists are old: the server has another version only. Lists of our own are made, and used.
	s = makeStore(t)
	w.write("server", w.publish("6.12.8-1", with(fakeKernel, "init/main.c", "int newer;\n")))
	if err := os.Remove(filepath.Join(w.dir, "mirror-linux-source-6.12_6.12.7-1~deb12u1_all.deb")); err != nil {
		t.Fatal(err)
	}
	if src = resolve(t, s, spec); src.Package != "6.12.8-1" || w.calls("update") != 1 {
		t.Errorf("package %q after %d updates", src.Package, w.calls("update"))
	}
	// The network goes, and with it what apt knew: what is there is used, and said.
	w.write("offline", "")
	os.Remove(filepath.Join(w.dir, "known-system"))
	os.Remove(filepath.Join(w.dir, "known-private"))
	os.RemoveAll(filepath.Join(s.Dir, "apt"))
	memos, _ := filepath.Glob(s.src(".known", "*"))
	for _, m := range memos {
		if strings.Contains(readFileT(t, m), `"Print"`) {
			os.Remove(m)
		}
	}
	if off := resolve(t, s, spec); off.Hash != src.Hash || off.Package != "6.12.8-1" || !strings.Contains(off.Note, "no network") {
		t.Errorf("offline: package %q, note %q", off.Package, off.Note)
	}
	if err := resolveErr(t, s, "debian:linux-source-6.13"); !strings.Contains(err.Error(), "it knows linux-source-6.1") || !strings.Contains(err.Error(), "no network") {
		t.Errorf("unknown package, offline: %v", err)
	}
}

func TestDebianDamaged(t *testing.T) {
	const spec = "debian:linux-source-6.12"
	w, s := newAptWorld(t), makeStore(t)
	line := w.publish("6.12.7-1", fakeKernel)
	name := strings.Fields(line)[1]
	// The server sends what the signed lists do not name; apt would notice, and so do we.
	w.write("known-system", line)
	w.write("server", line)
	good := readFileT(t, filepath.Join(w.dir, "mirror-"+name))
	w.write("mirror-"+name, good+"x")
	if err := resolveErr(t, s, spec); !strings.Contains(err.Error(), "apt's signed lists say") {
		t.Errorf("another file: %v", err)
	}
	// A killed process had the download ready: it is used, if it is right.
	w.write("mirror-"+name, "gone")
	if err := os.WriteFile(s.src(".download", name), []byte(good), 0o644); err != nil {
		t.Fatal(err)
	}
	n := w.calls("-q -o APT::Color=0 download")
	checkContent(t, resolve(t, s, spec).Dir, fakeKernel)
	if w.calls("-q -o APT::Color=0 download") != n {
		t.Error("it was downloaded again")
	}
	t.Setenv("PATH", t.TempDir())
	if err := resolveErr(t, s, spec); !errors.As(err, new(*run.MissingError)) {
		t.Errorf("without apt: %v, want that it is missing", err)
	}
}
