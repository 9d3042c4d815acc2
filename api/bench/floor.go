package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/authledger/authledger/api/gen"
)

// floor serves the two requests of a login with echo alone: it reads the same
// bodies and writes the same answers, and keeps, checks and decides nothing.
type floor struct {
	server *http.Server
	url    string
	ended  chan error
}

// openFloor answers with what the product answered to a login.
func openFloor(started, responded []byte) (*floor, error) {
	var first gen.Authentication
	var second gen.Challenge
	if err := errors.Join(json.Unmarshal(started, &first), json.Unmarshal(responded, &second)); err != nil {
		return nil, fmt.Errorf("read the product's answers: %w", err)
	}
	e := echo.New()
	e.POST(pathStart, func(c echo.Context) error {
		var r gen.StartAuthenticationRequest
		if err := c.Bind(&r); err != nil {
			return err
		}
		return c.JSON(http.StatusCreated, first)
	})
	e.POST(pathRespond, func(c echo.Context) error {
		var r gen.ResponseRequest
		if err := c.Bind(&r); err != nil {
			return err
		}
		return c.JSON(http.StatusOK, second)
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	f := &floor{server: &http.Server{Handler: e}, url: "http://" + l.Addr().String(), ended: make(chan error, 1)}
	go func() { f.ended <- f.server.Serve(l) }()
	return f, nil
}

func (f *floor) close() error {
	err := f.server.Close()
	if served := <-f.ended; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}
