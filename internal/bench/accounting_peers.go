package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// ticks of /proc/PID/stat are hundredths of a second on every Linux of today.
const tick = 10 * time.Millisecond

// nodeExporter times a scrape of the interfaces' counters, in CPU seconds of the
// exporter alone.
func (b *bench) nodeExporter(ctx context.Context, ns string) (float64, error) {
	const scrapes, address = 20, "127.0.0.1:19100"
	if err := b.run(ctx, "", nil, "ip", "-n", ns, "link", "set", "lo", "up"); err != nil {
		return 0, err
	}
	pid, stop, err := start(ctx, ns, "prometheus-node-exporter", "--web.listen-address="+address, "--collector.disable-defaults", "--collector.netdev")
	if err != nil {
		return 0, err
	}
	defer stop()
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DialContext: func(_ context.Context, network, address string) (c net.Conn, err error) {
		err = inside(ns, func() (err error) {
			c, err = net.Dial(network, address)
			return err
		})
		return c, err
	}}}
	scrape := func() error {
		answer, err := client.Get("http://" + address + "/metrics")
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err == nil && strings.Count(string(text), "node_network_receive_bytes_total{") < metered {
			err = fmt.Errorf("node_exporter shows too few interfaces: %s", answer.Status)
		}
		return err
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		if err = scrape(); err == nil {
			break
		}
		if time.Now().After(end) {
			return 0, err
		}
	}
	before, err := used(pid)
	if err != nil {
		return 0, err
	}
	for range scrapes {
		if err := scrape(); err != nil {
			return 0, err
		}
	}
	after, err := used(pid)
	return (after - before).Seconds() / scrapes, err
}

// vnstat times a minute of vnstatd, which reads, folds and stores once in it.
func (b *bench) vnstat(ctx context.Context, ns, dir string) (float64, error) {
	const minutes = 2
	database := filepath.Join(dir, "vnstat")
	if err := os.Mkdir(database, 0o700); err != nil {
		return 0, err
	}
	config := filepath.Join(dir, "vnstat.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, "DatabaseDir %q\nAlwaysAddNewInterfaces 1\nUpdateInterval 60\nPollInterval 60\nSaveInterval 1\nUseLogging 0\n", database), 0o600); err != nil {
		return 0, err
	}
	pid, stop, err := start(ctx, ns, "vnstatd", "--nodaemon", "--config", config)
	if err != nil {
		return 0, err
	}
	defer stop()
	wait := func(d time.Duration) error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(d):
			return nil
		}
	}
	last := time.Duration(-1)
	for { // it makes its database first, a row an interface
		now, err := used(pid)
		if err != nil {
			return 0, err
		}
		if now-last <= tick && last > 0 {
			break
		}
		last = now
		if err := wait(10 * time.Second); err != nil {
			return 0, err
		}
	}
	if err := wait(minutes * time.Minute); err != nil {
		return 0, err
	}
	now, err := used(pid)
	return (now - last).Seconds() / minutes, err
}

// start runs a program in a namespace until stop.
func start(ctx context.Context, ns string, argv ...string) (pid int, stop func(), err error) {
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return 0, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, path, argv[1:]...)
	if err := inside(ns, cmd.Start); err != nil {
		cancel()
		return 0, nil, err
	}
	return cmd.Process.Pid, func() { cancel(); _ = cmd.Wait() }, nil
}

// used is the CPU time of a process that runs.
func used(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	f := strings.Fields(rest)
	if len(f) < 13 {
		return 0, errors.New("what is this stat: " + string(text))
	}
	user, err := strconv.ParseInt(f[11], 10, 64)
	system, err2 := strconv.ParseInt(f[12], 10, 64)
	return time.Duration(user+system) * tick, errors.Join(err, err2)
}
