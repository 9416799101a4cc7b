package migrate

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestFragileSystems(t *testing.T) {
	for system, broken := range map[string]bool{
		"": false, "linux": false, "windows 10": false, "linux 6.1.192": false, "linux 5.0": false, "linux 5": false,
		"linux 4.2": false, "linux 4.1.99": true, "linux 3.16": true, "linux 2.6.32": true,
		"linux 4.10.17": false, "linux 4.11": true, "linux 4.14": true, "linux 4.14.96": true, "linux 4.14.97": false,
		"linux 4.15.99": true, "linux 4.19.16": true, "linux 4.19.17": false, "linux 4.19.316": false,
		"linux 4.20.3": true, "linux 4.20.4": false, "netbsd": true, "netbsd 10": true, "openbsd 7.4": true,
	} {
		assert.Equal(t, broken, breaks(system) != "", system)
	}
	assert.Contains(t, breaks("linux 4.19.16"), "linux 4.19.16")
	assert.Contains(t, breaks("openbsd"), "tornadovps.com")
	assert.NotEmpty(t, breaks("no such; form"))
}
