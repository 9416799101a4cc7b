package xenlab

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"time"
)

// monitor gives one command to QEMU's monitor over its machine protocol and
// returns what it printed.
func monitor(ctx context.Context, socket, command string) (string, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	answers, requests := json.NewDecoder(conn), json.NewEncoder(conn)
	var greeting struct{ QMP json.RawMessage }
	if err := answers.Decode(&greeting); err != nil {
		return "", fmt.Errorf("greeting: %w", err)
	}
	ask := func(request any) (string, error) {
		if err := requests.Encode(request); err != nil {
			return "", err
		}
		for {
			var answer struct {
				Return json.RawMessage
				Error  *struct{ Desc string }
			}
			if err := answers.Decode(&answer); err != nil {
				return "", err
			}
			if answer.Error != nil {
				return "", fmt.Errorf("%s: %s", command, answer.Error.Desc)
			}
			if answer.Return != nil { // and not an event
				var text string
				_ = json.Unmarshal(answer.Return, &text) // {} where there is no text
				return text, nil
			}
		}
	}
	if _, err := ask(map[string]any{"execute": "qmp_capabilities"}); err != nil {
		return "", err
	}
	text, err := ask(map[string]any{"execute": "human-monitor-command", "arguments": map[string]string{"command-line": command}})
	if err == nil && strings.Contains(text, "Error") {
		err = fmt.Errorf("%s: %s", command, strings.TrimSpace(text))
	}
	return text, err
}
