// Package layout keeps the shape of the house: which package may import which,
// and what no file may contain. Its test runs over the whole module with every
// go test ./..., and says for each breach what to do instead.
//
//	examples
//	   migrate   accounting
//	      xen/host
//	         xen   lvm   network   shaping      (never each other)
//	            xen/dom0   xen/host/owner
//	               internal/ether and other leaves
//
// A package imports its own area and what stands below it. Files of tests are
// free of the layers, but not of the rules on other people's modules.
// Modules of their own (those with a go.mod below the root) are not looked at.
package layout
