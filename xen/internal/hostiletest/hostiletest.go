// Package hostiletest finds every place where the methods of a driver take a
// string, so that a new method, or a new field, can not be forgotten.
package hostiletest

import (
	"context"
	"io"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/xenhost/xenhost/xen"
)

// Good are parameters that a driver takes.
type Good struct {
	ID   uuid.UUID // of a domain that runs
	Spec func(method string) xen.Spec
	Disk xen.Disk
	Vif  xen.Vif
}

// words are good strings by the method.
func words(method string) []string {
	switch method {
	case "Rename", "Wake":
		return []string{"web2"}
	case "DetachDisk":
		return []string{"xvdb"}
	case "Insert":
		return []string{"hdc", "/srv/new.iso"}
	case "Eject":
		return []string{"hdc"}
	}
	return nil
}

// Parameters makes good parameters for a method; the first, the driver, is left
// to the caller. A type that is not known here fails the test: say what a good
// value of it is.
func Parameters(t *testing.T, method reflect.Method, good Good) []reflect.Value {
	t.Helper()
	in := []reflect.Value{{}}
	strings := words(method.Name)
	for i := 1; i < method.Type.NumIn(); i++ {
		v := reflect.New(method.Type.In(i)).Elem()
		switch p := v.Addr().Interface().(type) {
		case *int, *int64, *xen.CPUSet, *xen.MAC:
		case *context.Context:
			*p = t.Context()
		case *uuid.UUID:
			*p = good.ID
		case *xen.Spec:
			*p = good.Spec(method.Name)
		case *xen.Disk:
			*p = good.Disk
		case *xen.Vif:
			*p = good.Vif
		case *xen.Share:
			*p = xen.Share{Weight: 1}
		case **xen.CreateOptions:
			*p = &xen.CreateOptions{}
		case **xen.ShutdownOptions:
			*p = &xen.ShutdownOptions{Grace: -1}
		case **xen.RebootOptions:
			*p = &xen.RebootOptions{Grace: time.Millisecond}
		case **xen.SendOptions:
			*p = &xen.SendOptions{}
		case **xen.SaveOptions:
			*p = &xen.SaveOptions{}
		case **xen.RestoreOptions:
			*p = &xen.RestoreOptions{}
		case *io.Writer:
			*p = io.Discard
		case *io.Reader:
			*p = empty{}
		case *io.ReadWriter:
			*p = empty{}
		case *string:
			require.NotEmpty(t, strings, "what is a good string for parameter %d of %s?", i, method.Name)
			*p, strings = strings[0], strings[1:]
		default:
			require.Fail(t, "unknown parameter", "what is a good %T for parameter %d of %s?", p, i, method.Name)
		}
		in = append(in, v)
	}
	return in
}

type empty struct{}

func (empty) Read([]byte) (int, error)    { return 0, io.EOF }
func (empty) Write(p []byte) (int, error) { return len(p), nil }

// Texts returns every string in the values.
func Texts(values []reflect.Value) (found []reflect.Value) {
	for _, v := range values {
		switch v.Kind() {
		case reflect.String:
			found = append(found, v)
		case reflect.Pointer:
			if !v.IsNil() {
				found = slices.Concat(found, Texts([]reflect.Value{v.Elem()}))
			}
		case reflect.Struct:
			for i := range v.NumField() {
				found = slices.Concat(found, Texts([]reflect.Value{v.Field(i)}))
			}
		case reflect.Slice:
			for i := range v.Len() {
				found = slices.Concat(found, Texts([]reflect.Value{v.Index(i)}))
			}
		}
	}
	return found
}
