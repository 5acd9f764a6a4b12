package cli

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

// Reading adds the flags of a command that asks a server.
func (p *Program) Reading(c *cobra.Command) *cobra.Command {
	f := c.Flags()
	f.StringVar(&p.Addr, "addr", p.ServerAddr(), "address of the server")
	f.BoolVar(&p.JSON, "json", false, "print the API's answer as JSON")
	return c
}

// Acting adds the flags of a command that changes something.
func (p *Program) Acting(c *cobra.Command) *cobra.Command {
	c.Flags().StringVar(&p.EnvFile, "env-file", ".env", "file to take ADMIN_TOKEN from, when the server wants one")
	return p.Reading(c)
}

// Get asks the server and decodes its answer. With --json it prints the answer
// as well, and the command has nothing more to print.
func (p *Program) Get(ctx context.Context, path string, into any) error {
	return p.Call(ctx, http.MethodGet, path, nil, into)
}

// CSVText takes an answer in CSV, which is printed as it is.
type CSVText struct{}

// Post has the server do something and decodes its answer, as Get does.
func (p *Program) Post(ctx context.Context, path string, body, into any) error {
	return p.Call(ctx, http.MethodPost, path, body, into)
}

// Call is any other request.
func (p *Program) Call(ctx context.Context, method, path string, body, into any) error {
	if err := CheckAddr(p.Addr); err != nil {
		return Exit(ExitUsage, err)
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
	req, err := http.NewRequestWithContext(ctx, method, "http://"+p.Addr+path, payload)
	if err != nil {
		return Misuse("--addr %q is not an address like 127.0.0.1:8420", p.Addr)
	}
	if admin := p.adminToken(); method != http.MethodGet && !admin.IsZero() {
		req.Header.Set("Authorization", "Bearer "+admin.Reveal())
	}
	resp, err := http.DefaultClient.Do(req)
	switch {
	case err != nil && errors.Is(context.Cause(ctx), context.Canceled):
		return context.Canceled
	case err != nil:
		return Exit(ExitUnreachable, fmt.Errorf("no server answers at %s. Start one with \"kitestring run\", or name its address with --addr", p.Addr))
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return Exit(ExitUnreachable, fmt.Errorf("the server at %s stopped in the middle of its answer", p.Addr))
	}
	if _, printed := into.(CSVText); printed && resp.StatusCode < 400 && strings.HasPrefix(resp.Header.Get("Content-Type"), "text/csv") {
		_, err = p.Stdout.Write(data)
		return err
	}
	var problem api.Problem
	switch {
	case resp.StatusCode < 400 && api.Decode(data, into) == nil:
		if p.JSON {
			_, err = p.Stdout.Write(data)
		}
		return err
	case resp.StatusCode < 400, json.Unmarshal(data, &problem) != nil, problem.Title == "":
		return Exit(ExitUnreachable, fmt.Errorf("what answers at %s (%s) is no kitestring. Name the server's address with --addr", p.Addr, resp.Status))
	}
	if len(problem.Names) > 0 {
		problem.Detail += " Known: " + strings.Join(problem.Names, ", ") + "."
	}
	if resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusBadRequest {
		return Exit(ExitUsage, errors.New(problem.Detail))
	}
	return Exit(ExitError, errors.New(problem.Detail))
}

// adminToken is the ADMIN_TOKEN of the file, else of the environment.
func (p *Program) adminToken() messages.Secret {
	store, err := token.Open(token.StoreConfig{Path: p.EnvFile, Getenv: p.Getenv})
	if err != nil {
		return messages.Secret{}
	}
	return store.Secret("ADMIN_TOKEN")
}
