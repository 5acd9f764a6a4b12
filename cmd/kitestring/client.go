package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kitestring/actors/token"
	"kitestring/actors/web/api"
	"kitestring/messages"
)

// clientFlags say which server a command asks.
type clientFlags struct {
	addr, envFile string
	json          bool
}

// reading adds the flags of a command that asks a server.
func (p *program) reading(c *cobra.Command) *cobra.Command {
	f := c.Flags()
	f.StringVar(&p.client.addr, "addr", p.defaultAddr(), "address of the server")
	f.BoolVar(&p.client.json, "json", false, "print the API's answer as JSON")
	return c
}

// acting adds the flags of a command that changes something.
func (p *program) acting(c *cobra.Command) *cobra.Command {
	c.Flags().StringVar(&p.client.envFile, "env-file", ".env", "file to take ADMIN_TOKEN from, when the server wants one")
	return p.reading(c)
}

// get asks the server and decodes its answer. With --json it prints the answer
// as well, and the command has nothing more to print.
func (p *program) get(ctx context.Context, path string, into any) error {
	return p.call(ctx, http.MethodGet, path, nil, into)
}

// csvText takes an answer in CSV, which is printed as it is.
type csvText struct{}

func (p *program) post(ctx context.Context, path string, body, into any) error {
	return p.call(ctx, http.MethodPost, path, body, into)
}

func (p *program) call(ctx context.Context, method, path string, body, into any) error {
	if err := checkAddr(p.client.addr); err != nil {
		return &exitWith{exitUsage, err}
	}
	var payload io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return err
		}
		payload = bytes.NewReader(data)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+p.client.addr+path, payload)
	if err != nil {
		return &exitWith{exitUsage, fmt.Errorf("--addr %q is not an address like 127.0.0.1:8420", p.client.addr)}
	}
	if admin := p.adminToken(); method != http.MethodGet && !admin.IsZero() {
		req.Header.Set("Authorization", "Bearer "+admin.Reveal())
	}
	resp, err := http.DefaultClient.Do(req)
	switch {
	case err != nil && errors.Is(context.Cause(ctx), context.Canceled):
		return context.Canceled
	case err != nil:
		return &exitWith{exitUnreachable, fmt.Errorf("no server answers at %s. Start one with \"kitestring run\", or name its address with --addr", p.client.addr)}
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return &exitWith{exitUnreachable, fmt.Errorf("the server at %s stopped in the middle of its answer", p.client.addr)}
	}
	if _, printed := into.(csvText); printed && resp.StatusCode < 400 && strings.HasPrefix(resp.Header.Get("Content-Type"), "text/csv") {
		_, err = p.stdout.Write(data)
		return err
	}
	var problem api.Problem
	switch {
	case resp.StatusCode < 400 && api.Decode(data, into) == nil:
		if p.client.json {
			_, err = p.stdout.Write(data)
		}
		return err
	case resp.StatusCode < 400, json.Unmarshal(data, &problem) != nil, problem.Title == "":
		return &exitWith{exitUnreachable, fmt.Errorf("what answers at %s (%s) is no kitestring. Name the server's address with --addr", p.client.addr, resp.Status)}
	}
	if len(problem.Names) > 0 {
		problem.Detail += " Known: " + strings.Join(problem.Names, ", ") + "."
	}
	if resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusBadRequest {
		return &exitWith{exitUsage, errors.New(problem.Detail)}
	}
	return &exitWith{exitError, errors.New(problem.Detail)}
}

// adminToken is the ADMIN_TOKEN of the file, else of the environment.
func (p *program) adminToken() messages.Secret {
	store, err := token.Open(token.StoreConfig{Path: p.client.envFile, Getenv: p.getenv})
	if err != nil {
		return messages.Secret{}
	}
	return store.Secret("ADMIN_TOKEN")
}
