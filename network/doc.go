// Package network keeps bridges, guests' ports, masquerading and forwards.
package network
