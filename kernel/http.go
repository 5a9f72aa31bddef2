// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

// fetcher gives up on a server that does not answer, and never on one that is slow.
var fetcher = &http.Client{
	Transport: &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: 30 * time.Second,
		DisableCompression:    true, // an archive is taken as it is
	},
	CheckRedirect: func(r *http.Request, via []*http.Request) error {
		if len(via) >= 10 {
			return errors.New("more than 10 redirects")
		}
		if via[0].URL.Scheme == "https" && r.URL.Scheme != "https" {
			return errors.New("redirect from https to " + r.URL.Scheme)
		}
		return nil
	},
}

// resolveURL asks the server whether the archive is still the one we know, by its ETag or date.
func (s *Store) resolveURL(ctx context.Context, b Base) (*Source, error) {
	key := "url " + b.Name
	k, have := s.recall(key)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.Name, nil)
	if err != nil {
		return nil, b.errorf(err, "bad URL")
	}
	if have && k.Tag != "" {
		if k.Tag[0] == '"' || k.Tag[0] == 'W' {
			req.Header.Set("If-None-Match", k.Tag)
		} else {
			req.Header.Set("If-Modified-Since", k.Tag)
		}
	}
	resp, err := fetcher.Do(req)
	if err == nil {
		defer resp.Body.Close()
		if resp.StatusCode == http.StatusNotModified && have {
			return newSource(b, s.src(k.Hash), k.Hash)
		}
		if resp.StatusCode >= 500 {
			err = fmt.Errorf("server says %s", resp.Status)
		}
	}
	if err != nil {
		if have && ctx.Err() == nil {
			return s.older(b, k, err)
		}
		return nil, fmt.Errorf("fetch %s: %w", b.Name, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, b.errorf(nil, "server says %s", resp.Status)
	}
	tag := resp.Header.Get("ETag")
	if tag == "" {
		tag = resp.Header.Get("Last-Modified")
	}
	if have && tag != "" && tag == k.Tag { // a server that does not do conditions
		return newSource(b, s.src(k.Hash), k.Hash)
	}
	k, err = s.unpack(ctx, b, known{Key: key, Tag: tag}, true, func(u *unpacker) error {
		body := &counter{r: resp.Body, total: resp.ContentLength, s: s, what: b.String()}
		if err := untarCompressed(u, body); err != nil {
			return err
		}
		if resp.ContentLength >= 0 && body.n != resp.ContentLength {
			return fmt.Errorf("got %d of %d bytes", body.n, resp.ContentLength)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return newSource(b, s.src(k.Hash), k.Hash)
}

// older returns the source that a base gave the last time, since cause is in the way of asking again.
func (s *Store) older(b Base, k known, cause error) (*Source, error) {
	src, err := newSource(b, s.src(k.Hash), k.Hash)
	if err != nil {
		return nil, err
	}
	src.Package, src.Commit = k.Package, k.Commit
	src.Note = fmt.Sprintf("not asked anew, what %s gave on %s is used: %v", b, k.Time.Format(time.DateOnly), cause)
	s.warn("base not asked anew", "base", b.String(), "since", k.Time.Format(time.DateOnly), "cause", cause.Error())
	return src, nil
}

// A counter reports how much of a download has come.
type counter struct {
	r     io.Reader
	n     int64
	told  int64
	total int64
	s     *Store
	what  string
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	if c.n-c.told > 4<<20 {
		c.told = c.n
		c.s.event(Event{Stage: "download", Object: c.what, Done: c.n, Total: max(c.total, 0)})
	}
	return n, err
}

// exists tells whether a file is there.
func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}
