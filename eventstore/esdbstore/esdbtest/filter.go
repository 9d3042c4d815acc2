package esdbtest

import (
	"regexp"
	"slices"
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// filter chooses events by stream name or by type; the zero value takes all.
type filter struct {
	byType   bool
	prefixes []string
	regex    *regexp.Regexp
}

func (f filter) everything() bool { return len(f.prefixes) == 0 && f.regex == nil }

func (f filter) matches(e *Event) bool {
	subject := e.Stream
	if f.byType {
		subject = e.Type
	}
	switch {
	case f.regex != nil:
		return f.regex.MatchString(subject)
	case len(f.prefixes) > 0:
		return slices.ContainsFunc(f.prefixes, func(p string) bool { return strings.HasPrefix(subject, p) })
	}
	return true
}

// expression is what both services' filters are made of.
type expression interface {
	GetRegex() string
	GetPrefix() []string
}

// filterOf reads the filter of a read; none and an empty one are the same.
func filterOf(options *streams.ReadReq_Options) (filter, error) {
	f := options.GetFilter()
	switch {
	case f.GetStreamIdentifier() != nil:
		return newFilter(f.GetStreamIdentifier(), false)
	case f.GetEventType() != nil:
		return newFilter(f.GetEventType(), true)
	}
	return filter{}, nil
}

func newFilter(e expression, byType bool) (filter, error) {
	f := filter{byType: byType, prefixes: e.GetPrefix()}
	if e.GetRegex() == "" {
		return f, nil
	}
	regex, err := regexp.Compile(e.GetRegex())
	if err != nil {
		return filter{}, status.Errorf(codes.InvalidArgument, "filter: %v", err)
	}
	f.regex = regex
	return f, nil
}
