// Package blockcopy brings the content of a volume to another host: whole, or
// only the blocks that changed, proven as it arrives, and so that it can be cut
// anywhere and go on.
//
// A transfer has a sender and a receiver that know the same Transfer: the size
// of the volume and a random key. In a program with both ends in one process:
//
//	t := blockcopy.NewTransfer(volume.Size())
//	go blockcopy.Send(ctx, w, volume, t, nil)           // all of it
//	stats, err := blockcopy.Receive(ctx, r, copy, t, nil)
//	if err != nil {
//		t.From = stats.Next                         // at both ends: the rest, and no extent twice
//	}
//	a, err := blockcopy.Sum(ctx, volume, size)          // both ends read all of it again
//	b, err := blockcopy.Sum(ctx, copy, size)
//
// # What is sent
//
// SendOptions says what to look at: all of the volume, or a list of changes
// (of a snapshot, by lvm.Content.Changed), whose zeros are not even read. An
// Index says what of it the receiver has: it keeps 16 bytes for each 4 KiB
// beside the source, so that the next night costs one reading here, nothing
// there, and the blocks that changed on the way. Zeros travel as a word; at a
// receiver that reads as zeros already they do not travel.
//
// What decides that a block is left out is a keyed hash, HighwayHash-128 with a
// secret of the index: a tenant who chooses the content of blocks can not make
// two that look alike. (On one core and blocks of 4 KiB it does 5.3 GB/s where
// SHA-256 does 0.7 and BLAKE3 0.9.)
//
// # A replica
//
// Receive writes as frames arrive: a stream that ends early leaves a volume
// that is neither the old nor the new. A Replica does not: it collects a delta
// in a redo log, and applies it when all of it is there, proven and on the disk.
// A crash before that leaves the old generation, one after it is finished by
// the next OpenReplica.
//
// What travels twice when a transfer is cut, at whatever byte: of a frame, what
// had come of it, less than an extent. When the receiver is killed, also what it
// held in its memory, at most 8 extents. When its power fails, what the disk had
// not got: of a delta at most 16 MiB; of a first copy the blocks that are not
// there, which Push finds out by their hashes.
//
// # Push and Serve
//
// Push and Serve are the two ends of a connection that do all of this: they
// agree on a Transfer, go on with one that was cut, ask the receiver for hashes
// where there is no index, and compare at the end. examples/blocksync is them
// with a command line. What an index of another generation than the receiver
// holds would send is refused with ErrBase. With a snapshot of the moment that
// the receiver holds, PushOptions.Changes saves the reading of all the rest: the
// cost is then of what changed, whatever the size of the volume.
//
// Each end holds less than 64 MiB, whatever the size of the volume: indexes, redo
// logs and hashes stream from and to files.
//
// # The stream
//
// A stream is a row of frames with ascending offsets, each a header of 76
// bytes and a payload, all numbers little endian:
//
//	type 1 | codec 1 | 0 2 | raw 4 | offset 8 | coded 4 | CRC-32C of the payload 4 | blocks 32 |
//	hash 16 | CRC-32C of the 72 bytes before 4 | payload: coded bytes
//
// A frame is about the extent of 1 MiB at offset, and in it about the blocks of
// 4 KiB whose bits are set, raw bytes in all. DATA (1) carries them one behind
// the other, plain (codec 0) or as a zstd frame (codec 1) where that is smaller;
// ZERO (2) says that they are zeros; END (3) has the number of frames as its
// offset and the root as its payload. The hash is SHA-256 of the key, the 56
// bytes before it and the raw bytes, cut to 16. The root begins as SHA-256 of
// "xenhost blockcopy 2", key, base and size, and each frame makes it SHA-256 of
// root and header; behind END it names the generation.
//
// The receiver believes nothing: bounds, order and lengths are checked before
// anything is allocated or written, the hash before the write, and a stream
// without its END is an error. A frame can not be sent twice, in another
// transfer or out of order, and nothing follows END.
//
// What the stream does not do: encrypt, or tell who sends it; that is the
// connection's job.
package blockcopy
