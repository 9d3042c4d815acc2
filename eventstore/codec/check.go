package codec

import (
	"bytes"
	"fmt"
	"reflect"

	"github.com/authledger/authledger/domain"
)

// Check proves the registry at start-up: names are unique, each version has
// its upcasters, every sample is complete, and every row's sample survives
// encoding, decoding and encoding again unchanged. A program that cannot read
// what it writes must not start.
func Check() error { return table().check() }

func (t registry) check() error {
	if len(t.byName) != len(t.rows) || len(t.byType) != len(t.rows) {
		return fmt.Errorf("check event registry: %d rows but %d names and %d types", len(t.rows), len(t.byName), len(t.byType))
	}
	for _, r := range t.rows {
		if err := r.check(); err != nil {
			return fmt.Errorf("check event %s: %w", r.name, err)
		}
	}
	return nil
}

func (r row) check() error {
	if r.version == 0 || len(r.upcasters) != int(r.version)-1 {
		return fmt.Errorf("version %d with %d upcasters", r.version, len(r.upcasters))
	}
	if path := empty(reflect.ValueOf(r.sample), ""); path != "" {
		return fmt.Errorf("sample leaves %s empty", path)
	}
	prepared, err := r.prepare(r.sample, func(string, *domain.Personal) error { return nil })
	if err != nil {
		return err
	}
	if !reflect.DeepEqual(prepared, r.sample) {
		return fmt.Errorf("sample is not in stored form")
	}
	first, err := marshal(r.sample)
	if err != nil {
		return fmt.Errorf("encode sample: %w", err)
	}
	decoded, err := r.decode(first)
	if err != nil {
		return fmt.Errorf("decode sample: %w", err)
	}
	if !reflect.DeepEqual(decoded, r.sample) {
		return fmt.Errorf("sample changes when it is encoded and decoded")
	}
	again, err := marshal(decoded)
	if err != nil {
		return fmt.Errorf("encode decoded sample: %w", err)
	}
	if !bytes.Equal(first, again) {
		return fmt.Errorf("bytes change when they are decoded and encoded")
	}
	return nil
}

// empty is the path of the first field that holds its zero value, which would
// hide a field that does not survive. Personal has no exported fields and
// counts as one value.
func empty(v reflect.Value, path string) string {
	if v.Kind() != reflect.Struct || v.NumField() == 0 || !v.Type().Field(0).IsExported() {
		if v.Kind() != reflect.Struct && v.IsZero() || v.Kind() == reflect.Struct && v.NumField() > 0 && v.IsZero() {
			return path
		}
		return ""
	}
	for i := range v.NumField() {
		if p := empty(v.Field(i), path+"."+v.Type().Field(i).Name); p != "" {
			return p
		}
	}
	return ""
}
