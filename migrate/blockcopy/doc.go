// Package blockcopy carries the content of a volume over a byte stream and
// proves that it arrived.
//
// A transfer has a sender and a receiver that know the same Transfer: the size
// of the volume and a random key. In a program with both ends in one process:
//
//	t, err := blockcopy.NewTransfer(volume.Size())
//	go blockcopy.Send(ctx, w, volume, nil, t)       // nil: all of it
//	stats, err := blockcopy.Receive(ctx, r, copy, t)
//	...                                             // the guest stops; then what changed since
//	go blockcopy.Send(ctx, w, volume, changed, t2)
//	stats, err = blockcopy.Receive(ctx, r, copy, t2)
//	a, err := blockcopy.Sum(ctx, volume, size)      // and both ends read all of it again
//	b, err := blockcopy.Sum(ctx, copy, size)
//
// # The stream
//
// A stream is a row of frames with ascending offsets, each a header of 40
// bytes and a payload, all numbers little endian:
//
//	type 1 | codec 1 | 0 2 | offset 8 | raw 4 | coded 4 | hash 16 | CRC-32C of the 36 bytes before 4 | payload: coded bytes
//
// A frame stands for raw bytes, at most 1 MiB, at offset. DATA (1) carries
// them, plain (codec 0) or as a zstd frame (codec 1) where that is smaller;
// ZERO (2) says that they are zeros; END (3) has the number of frames as its
// offset and, as its payload, the SHA-256 of the key and all headers before.
// The hash is SHA-256 of key and raw bytes, cut to 16 bytes: a tenant who
// chooses the content does not know the key.
//
// The receiver believes nothing: bounds, order and lengths are checked before
// anything is allocated or written, the hash before the write, and a stream
// without its END is an error. A frame can not be sent twice or out of order,
// and nothing follows END. Receive syncs the volume before it returns.
//
// What it does not do: encrypt or authenticate; that is the connection's job.
package blockcopy
