// Package seed makes the disk from which cloud-init in a guest learns who it is:
// a NoCloud seed with host name, keys and network.
//
//	s := seed.Seed{Hostname: "web1", Keys: []string{"ssh-ed25519 AAAA... anna"}, Nics: []seed.Nic{...}}
//	iso, err := s.ISO(guest.UUID.String())
//	guest.Disks = append(guest.Disks, seed.Disk("xvdb", guest.Disks[0].Volume, iso))
//	opts.Images["xvdb"] = bytes.NewReader(iso)
//
// The seed is a small volume of the guest like its others: it travels in a move
// and ends with the guest. Nothing of the guest is mounted in dom0. To reset the
// access of a guest, reinstall that one disk with a seed of another instance-id:
// cloud-init then makes host keys anew and sets the keys.
//
// cloud-init looks for a filesystem with the label cidata and reads user-data,
// meta-data and network-config in it (its documentation, "NoCloud"). All three
// are written as JSON, which is YAML too: what a customer wrote stays a value
// whatever is in it.
package seed
