package ocra_test

import (
	"fmt"
	"time"

	"github.com/authledger/authledger/domain/ocra"
)

func ExampleVerify() {
	suite, err := ocra.Parse("OCRA-1:HOTP-SHA256-8:QN06-T1M")
	if err != nil {
		panic(err)
	}
	key := []byte("12345678901234567890123456789012")

	// The phone's clock is a minute slow.
	server := time.Date(2026, time.March, 25, 12, 6, 30, 0, time.UTC)
	phone := server.Add(-time.Minute)
	response, err := suite.Compute(key, ocra.Input{Question: "314159", Time: suite.TimeStep(phone)})
	if err != nil {
		panic(err)
	}

	match, err := ocra.Verify(suite, key, ocra.Input{Question: "314159", Time: suite.TimeStep(server)}, response, ocra.Window{Steps: 2})
	fmt.Println(match.OK, match.StepOffset, err)
	// Output: true -1 <nil>
}
