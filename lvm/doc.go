// Package lvm manages volume groups, volumes and snapshots.
package lvm
