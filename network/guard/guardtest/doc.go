// Package guardtest has a guard without a kernel (Fake), the suite that every
// guard.Manager must pass (TestManager), and frames that a guest must not be
// able to send (Forged) beside ones that it must (Honest).
package guardtest
