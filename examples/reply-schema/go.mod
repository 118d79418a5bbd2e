module reply-schema

go 1.25

require (
	github.com/santhosh-tekuri/jsonschema/v6 v6.0.2
	weir/sdk v0.2.0
)

require (
	go.bytecodealliance.org/pkg v0.2.3 // indirect
	golang.org/x/text v0.14.0 // indirect
)

replace weir/sdk => ../../guest-sdk/go
