package billing

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"

	"github.com/xenhost/xenhost/internal/durable"
)

// over says that an order has come to its end.
type over struct {
	Ref
	Guest uuid.UUID `json:"guest"`
	At    time.Time `json:"at"`
}

// ends keeps a file for each order that is over.
type ends struct{ dir string }

func (e ends) path(order string) string { return filepath.Join(e.dir, GuestOf(order).String()+".json") }

// get reads it, or fs.ErrNotExist.
func (e ends) get(order string) (o over, err error) {
	data, err := os.ReadFile(e.path(order))
	if err != nil {
		return o, err
	}
	if err := json.Unmarshal(data, &o); err != nil {
		return o, fmt.Errorf("%s: %w", e.path(order), err)
	}
	if o.Order != order {
		return o, fmt.Errorf("%s: is of order %.140q", e.path(order), o.Order)
	}
	return o, nil
}

func (e ends) put(o over) error {
	if err := durable.MkdirAll(e.dir); err != nil {
		return err
	}
	data, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return durable.WriteFile(e.path(o.Order), append(data, '\n'))
}
