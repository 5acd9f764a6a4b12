package drills

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"kitestring/actors/simulator"
	"kitestring/messages"
	"kitestring/supervisor/tree"
)

// far is an exchange of the drill's own, for servers that are processes of
// their own: it keeps clock, prices and tokens when they die.
type far struct {
	*simulator.Exchange
	end    context.CancelFunc
	served chan error
}

func openFar(cfg simulator.Config) (*far, error) {
	cfg.APIKey, cfg.APISecret, cfg.Sequence, cfg.Seed = tree.SimAPIKey, messages.NewSecret(simSecret), true, 1
	ex, err := simulator.New(cfg)
	if err != nil {
		return nil, err
	}
	if err := ex.Listen("127.0.0.1:0"); err != nil {
		return nil, err
	}
	ctx, end := context.WithCancel(context.Background())
	f := &far{ex, end, make(chan error, 1)}
	go func() { f.served <- ex.Serve(ctx) }()
	return f, nil
}

func (f *far) close() error {
	f.end()
	err := <-f.served
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return errors.Join(err, f.Exchange.Close())
}

// process is "kitestring run" in a process of its own, in a folder that stays
// when it dies.
type process struct {
	*Rig
	cmd    *exec.Cmd
	exited chan error
}

// folder lays out the file of a server whose exchange is far away.
func (r *Rig) folder(name string, f *far, token messages.AccessToken) (dir string, err error) {
	dir = filepath.Join(r.Dir, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	content := fmt.Sprintf("KITESTRING_PROFILE=sim\nZERODHA_API_KEY=%s\nZERODHA_API_SECRET=%s\nKITE_API_URL=%s\nZERODHA_ACCESS_TOKEN=%s\n",
		tree.SimAPIKey, simSecret, f.APIURL(), token.Reveal())
	return dir, writeFile(filepath.Join(dir, ".env"), content)
}

// process starts a server in a folder, with a time zone of its own.
func (r *Rig) process(ctx context.Context, dir, zone string, f *far, token messages.AccessToken) (*process, error) {
	binary := r.options.Binary
	if binary == "" {
		own, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("find this program: %w", err)
		}
		binary = own
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	s := &Rig{
		Dir: dir, EnvFile: filepath.Join(dir, ".env"), http: r.http, log: &capture{}, options: r.options, still: r.still,
		web: addr, sims: f.Addr(), secrets: []string{token.Reveal()},
	}
	p := &process{Rig: s, exited: make(chan error, 1)}
	p.cmd = exec.CommandContext(ctx, binary, "run", "--env-file", s.EnvFile, "--addr", addr,
		"--state-dir", filepath.Join(dir, "state"), "--profile", "sim", "--log-format", "json", "--log-level", "debug")
	p.cmd.Env = []string{"TZ=" + zone, "HOME=" + dir}
	p.cmd.Stdout, p.cmd.Stderr = s.log, s.log
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a server: %w", err)
	}
	go func() { p.exited <- p.cmd.Wait() }()
	return p, nil
}

// kill ends the process as power failures do.
func (p *process) kill() error {
	err := p.cmd.Process.Kill()
	<-p.exited
	return err
}

// stop asks the process to go, and looks through all that it has said.
func (p *process) stop() error {
	err := p.cmd.Process.Signal(os.Interrupt)
	select {
	case e := <-p.exited:
		var exit *exec.ExitError
		if e != nil && !errors.As(e, &exit) {
			err = errors.Join(err, e)
		}
	case <-time.After(20 * time.Second):
		err = errors.Join(err, errors.New("the server did not stop within 20 s"), p.kill())
	}
	said := string(p.log.bytes())
	for _, secret := range append(p.secrets, simSecret) {
		if strings.Contains(said, secret) {
			err = errors.Join(err, errors.New("a secret stands in the output of the server"))
		}
	}
	return err
}

// up waits until the server answers and is live.
func (p *process) up(ctx context.Context) error {
	err := p.within(ctx, 20*time.Second, "the server answers", func() (bool, string) {
		_, err := p.raw(http.MethodGet, "/healthz", nil)
		return err == nil, fmt.Sprintf("%v; it said: %s", err, p.log.bytes())
	})
	if err != nil {
		return err
	}
	return p.live(ctx)
}
