// Package image opens golden images as the streams that host.Provision writes
// onto fresh volumes.
//
//	img, err := image.Open(ctx, image.Source{Path: "/images/debian12.qcow2", Format: image.Qcow2, SHA256: sum})
//	defer img.Close()
//	g, err := h.Provision(ctx, guest, &host.ProvisionOptions{Images: map[string]io.Reader{"xvda": img}})
//
// Nothing is mounted, no other program is run, and no temporary copy is made:
// qcow2 is read here, cluster by cluster.
//
// # What is trusted
//
// The format is what the caller says and is never guessed: a raw image whose
// first bytes read as a qcow2 header is copied as it is. A qcow2 image is read
// alone: one that names a backing file or a file for its data is refused, so that
// no image leads to another file of dom0. What a broken or hostile image says of
// itself is bounded: no more memory is used than a few of its clusters (2 MiB at
// most) and 32 MiB for its first table.
//
// # What is not promised
//
// Encrypted images, extended L2 entries and internal snapshots (other than the
// present state) are not read: errors.ErrUnsupported. A tar of a root filesystem
// is no image: it needs a filesystem made around it, and mke2fs does that from a
// tar (mke2fs -d) only from e2fsprogs 1.47.1 on.
package image
