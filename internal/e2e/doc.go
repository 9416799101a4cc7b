// Package e2e proves the main promises on two real Xen hosts: its tests run in
// tier lab (see internal/lab) and have no other code.
package e2e
