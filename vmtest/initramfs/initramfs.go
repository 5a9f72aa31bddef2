// SPDX-License-Identifier: Apache-2.0

// Package initramfs makes what a guest boots from: a base image of u-root's commands and the agent, both built once and
// kept in a cache, and archives of files that the kernel unpacks over them.
package initramfs

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seriesrig/series/internal/cache"
	"github.com/seriesrig/series/internal/run"
	"github.com/seriesrig/series/vmtest/guest"
)

// Commands are u-root's packages in the base image, each a program in /bbin. /init and /bin/sh lead to init and gosh.
var Commands = []string{
	"github.com/u-root/u-root/cmds/core/cat",
	"github.com/u-root/u-root/cmds/core/dmesg",
	"github.com/u-root/u-root/cmds/core/echo",
	"github.com/u-root/u-root/cmds/core/gosh",
	"github.com/u-root/u-root/cmds/core/grep",
	"github.com/u-root/u-root/cmds/core/init",
	"github.com/u-root/u-root/cmds/core/ls",
	"github.com/u-root/u-root/cmds/core/mount",
	"github.com/u-root/u-root/cmds/core/ps",
	"github.com/u-root/u-root/cmds/core/sleep",
}

// Arches are the architectures that guests may have.
var Arches = []string{"amd64", "ppc64", "ppc64le"}

// The program that makes the base image, and the go.mod and go.sum of the module that it is built in. An installed
// series has no checkout at hand.
var (
	//go:embed mkbase/main.go
	mkbaseMain string
	//go:embed mkbase/base.mod
	mkbaseMod string
	//go:embed mkbase/base.sum
	mkbaseSum string
)

// agentMain is cmd/guest/main.go, which cannot be embedded from here.
const agentMain = `// SPDX-License-Identifier: Apache-2.0

// Command guest is the program that runs inside a guest: see package agent.
package main

import (
	"os"

	"github.com/seriesrig/series/vmtest/guest/agent"
)

func main() { os.Exit(agent.Main()) }
`

// agentMod is the go.mod of the module that the agent is built in. It has no dependencies.
const agentMod = "module github.com/seriesrig/series\n\ngo 1.26.0\n"

// Base returns the path of the base image for an architecture, and builds it where the cache has none. That needs Go,
// and modules from the module cache or a proxy.
func Base(ctx context.Context, c *cache.Cache, goarch string) (path string, err error) {
	tool, err := goTool(ctx, goarch)
	if err != nil {
		return "", err
	}
	key := cache.KeyOf(append([]string{"base", tool.version, goarch, mkbaseMain, mkbaseMod, mkbaseSum}, Commands...)...)
	return fill(ctx, c, key, "base.cpio", func(ctx context.Context, dir, out string) error {
		return buildBase(ctx, tool, goarch, dir, out)
	})
}

// Agent returns the path of the agent's program for an architecture, and builds it where the cache has none.
func Agent(ctx context.Context, c *cache.Cache, goarch string) (path string, err error) {
	tool, err := goTool(ctx, goarch)
	if err != nil {
		return "", err
	}
	return fill(ctx, c, agentKey(tool, goarch), "agent", func(ctx context.Context, dir, out string) error {
		return buildAgent(ctx, goarch, dir, out)
	})
}

// Image returns the path of an image with base and agent, which boots with rdinit=guest.AgentPath. It is what to put
// files on top of with Concat.
func Image(ctx context.Context, c *cache.Cache, goarch string) (path string, err error) {
	tool, err := goTool(ctx, goarch)
	if err != nil {
		return "", err
	}
	key := cache.KeyOf(append([]string{"image", agentKey(tool, goarch), mkbaseMain, mkbaseMod, mkbaseSum}, Commands...)...)
	return fill(ctx, c, key, "image.cpio", func(ctx context.Context, dir, out string) error {
		base, err := Base(ctx, c, goarch)
		if err != nil {
			return err
		}
		agent, err := Agent(ctx, c, goarch)
		if err != nil {
			return err
		}
		var a Archive
		if err := a.AddFile(guest.AgentPath, agent); err != nil {
			return err
		}
		_, err = Concat(out, &a, base)
		return err
	})
}

// fill has build make the file name in a cache entry; what else build leaves in the folder dir is removed.
func fill(ctx context.Context, c *cache.Cache, key, name string, build func(ctx context.Context, dir, out string) error) (string, error) {
	dir, _, err := c.Fill(ctx, "initramfs", key, func(ctx context.Context, dir string) error {
		work := filepath.Join(dir, "work")
		if err := os.Mkdir(work, 0o755); err != nil {
			return err
		}
		if err := build(ctx, work, filepath.Join(dir, name)); err != nil {
			return err
		}
		return os.RemoveAll(work)
	})
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, name), nil
}

// A gotool is the Go that builds.
type gotool struct{ version, root string }

func goTool(ctx context.Context, goarch string) (gotool, error) {
	if !slices.Contains(Arches, goarch) {
		return gotool{}, fmt.Errorf("build for guest %q: want one of %s", goarch, strings.Join(Arches, ", "))
	}
	// From a folder without go.mod, so that the caller's does not choose another release.
	out, err := run.Cmd{Name: "go", Args: []string{"env", "-json", "GOVERSION", "GOROOT"}, Dir: os.TempDir(), Env: goEnv("")}.Output(ctx)
	if err != nil {
		return gotool{}, fmt.Errorf("ask for the Go release: %w", err)
	}
	var v struct{ GOVERSION, GOROOT string }
	if err := json.Unmarshal(out, &v); err != nil {
		return gotool{}, fmt.Errorf("ask for the Go release: %w", err)
	}
	return gotool{v.GOVERSION, v.GOROOT}, nil
}

// goEnv is the environment of the Go command. What could change its output is fixed.
func goEnv(goarch string) []string {
	env := run.CleanEnv("GOFLAGS=", "GOWORK=off", "GO111MODULE=", "CGO_ENABLED=0", "GOAMD64=v1", "GOPPC64=power8")
	if goarch != "" {
		env = append(env, "GOOS=linux", "GOARCH="+goarch)
	}
	return env
}

func buildBase(ctx context.Context, tool gotool, goarch, dir, out string) error {
	err := writeFiles(dir, map[string]string{"main.go": mkbaseMain, "go.mod": mkbaseMod, "go.sum": mkbaseSum})
	if err != nil {
		return err
	}
	tmp := filepath.Join(dir, "tmp")
	if err := os.Mkdir(tmp, 0o755); err != nil {
		return err
	}
	steps := []run.Cmd{
		{Name: "go", Args: []string{"build", "-buildvcs=false", "-o", "mkbase", "."}},
		{Name: filepath.Join(dir, "mkbase"), Args: []string{"-goroot", tool.root, "-goarch", goarch, "-o", out, "-tmp", tmp,
			"-commands", strings.Join(Commands, ",")}},
	}
	for _, s := range steps {
		s.Dir, s.Env = dir, goEnv("")
		if err := s.Run(ctx); err != nil {
			return fmt.Errorf("build base initramfs for %s: %w", goarch, err)
		}
	}
	return nil
}

func agentKey(tool gotool, goarch string) string {
	parts := []string{"agent", tool.version, goarch, agentMain, agentMod}
	for _, s := range guest.Sources() {
		parts = append(parts, s.Name, s.Text)
	}
	return cache.KeyOf(parts...)
}

func buildAgent(ctx context.Context, goarch, dir, out string) error {
	files := map[string]string{"go.mod": agentMod, "cmd/guest/main.go": agentMain}
	for _, s := range guest.Sources() {
		files["vmtest/guest/"+s.Name] = s.Text
	}
	if err := writeFiles(dir, files); err != nil {
		return err
	}
	build := run.Cmd{Name: "go", Args: []string{"build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", out, "./cmd/guest"},
		Dir: dir, Env: goEnv(goarch)}
	if err := build.Run(ctx); err != nil {
		return fmt.Errorf("build guest agent for %s: %w", goarch, err)
	}
	return nil
}

func writeFiles(dir string, files map[string]string) error {
	for name, text := range files {
		p := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}
