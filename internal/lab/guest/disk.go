package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/xenhost/xenhost/internal/lab/record"
)

const device = "/dev/xvda"

// keepRecords appends records at the chosen rate until the disk fails. A
// record is acknowledged only after its fsync.
func keepRecords(a arguments, s *state) error {
	if !await(device, 10*time.Second) {
		return fmt.Errorf("%s: %w", device, os.ErrNotExist)
	}
	disk, err := os.OpenFile(device, os.O_RDWR|os.O_SYNC, 0)
	if err != nil {
		return err
	}
	defer disk.Close()
	log, err := openLog(disk)
	if err != nil {
		return fmt.Errorf("%s: %w", device, err)
	}
	var ack net.Conn
	if a.ack.IsValid() {
		if ack, err = net.Dial("udp", a.ack.String()); err != nil {
			say("acknowledge: %v", err)
		}
	}
	say("%s boot %d, record %d", a.name, log.Boot(), log.Last())
	tick := time.NewTicker(time.Second / time.Duration(a.rate))
	defer tick.Stop()
	for {
		number, err := log.Append(time.Now().UnixNano())
		if err != nil {
			return err
		}
		s.wrote(number, log.Boot())
		if ack != nil {
			// A lost one does not matter: a later one says more.
			_, _ = fmt.Fprintf(ack, "%s %d %d\n", a.name, number, log.Boot())
		}
		<-tick.C
	}
}

func openLog(disk *os.File) (*record.Log, error) {
	size, err := disk.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	log, err := record.Open(disk, size)
	if !errors.Is(err, record.ErrBlank) {
		return log, err
	}
	var id record.ID
	rand.Read(id[:])
	if err := record.Format(disk, size, id); err != nil {
		return nil, err
	}
	return record.Open(disk, size)
}
