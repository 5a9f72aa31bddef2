// SPDX-License-Identifier: Apache-2.0

package run

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// packages says which Debian package brings a tool, where the names differ.
var packages = map[string]string{
	"qemu-system-x86_64":        "qemu-system-x86",
	"qemu-system-ppc64":         "qemu-system-ppc",
	"powerpc64-linux-gnu-gcc":   "gcc-powerpc64-linux-gnu",
	"powerpc64le-linux-gnu-gcc": "gcc-powerpc64le-linux-gnu",
	"ld.lld":                    "lld",
	"apt-get":                   "apt",
	"apt-cache":                 "apt",
	"dpkg-deb":                  "dpkg",
	"xz":                        "xz-utils",
	"zstd":                      "zstd",
	"go":                        "golang-go",
	"saslpasswd2":               "sasl2-bin",
	"public-inbox-init":         "public-inbox",
	"public-inbox-mda":          "public-inbox",
	"public-inbox-httpd":        "public-inbox",
}

// binutils are the programs of that package; with the name of another machine before it, it brings them for that one.
var binutils = []string{"ar", "as", "ld", "nm", "objcopy", "objdump", "ranlib", "readelf", "size", "strip"}

// A MissingError says that a program is not installed, and which Debian package brings it.
type MissingError struct {
	Tool    string
	Package string
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("%s: not found in PATH; on Debian: apt-get install %s", e.Tool, e.Package)
}

// Look finds a program in PATH, or checks the path it is given. A program that is not there is a *MissingError.
func Look(tool string) (string, error) {
	path, err := exec.LookPath(tool)
	if err == nil {
		return path, nil
	}
	if strings.ContainsRune(tool, '/') {
		return "", fmt.Errorf("find %s: %w", tool, err)
	}
	return "", &MissingError{Tool: tool, Package: Package(tool)}
}

// Package says which Debian package brings a tool.
func Package(tool string) string {
	if pkg := packages[tool]; pkg != "" {
		return pkg
	}
	machine, program := "", tool
	if i := strings.LastIndex(tool, "-linux-gnu-"); i >= 0 {
		machine, program = "-"+tool[:i]+"-linux-gnu", tool[i+len("-linux-gnu-"):]
	}
	if slices.Contains(binutils, program) {
		return "binutils" + machine
	}
	return tool
}

// kept are the variables of our own environment that a child gets. Everything else stays out: a GIT_DIR or a
// MAKEFLAGS of the caller's shell would change what git and make do, and so would a locale.
var kept = []string{"PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "TERM", "XDG_CACHE_HOME", "XDG_CONFIG_HOME",
	"CCACHE_DIR", "CCACHE_CONFIGPATH", "CCACHE_MAXSIZE", "CCACHE_DISABLE",
	"GOPATH", "GOCACHE", "GOMODCACHE", "GOPROXY", "GOSUMDB", "GONOSUMDB", "GOPRIVATE", "GOTOOLCHAIN", "GOROOT", "GOFLAGS", "GONOSUMCHECK",
	"GORACE", // a program under the race detector waits for a second before it ends, unless it is told not to
	"http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"}

// CleanEnv returns the environment that children get, with extra (each "NAME=value") added; where a name stands twice
// the last one counts.
func CleanEnv(extra ...string) []string {
	env := []string{"LC_ALL=C", "TZ=UTC"}
	for _, name := range kept {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return append(env, extra...)
}
