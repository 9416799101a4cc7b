package accountingtest_test

import (
	"testing"

	"github.com/xenhost/xenhost/accounting"
	"github.com/xenhost/xenhost/accounting/accountingtest"
)

func TestMemory(t *testing.T) {
	accountingtest.TestStore(t, func(*testing.T) accounting.Store { return accountingtest.New() }, nil)
}
