// Package xen says what a domain is and which roles a hypervisor driver plays.
package xen
