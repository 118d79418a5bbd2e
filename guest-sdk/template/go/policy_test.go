package main

import (
	// weir:if access route
	"errors"
	// weir:end
	"testing"

	// weir:if access route reply audit
	weir "weir/sdk"
	// weir:end
	"weir/sdk/weirtest"
)

// weir:if access
func TestADeniedModel(t *testing.T) {
	host := weirtest.New(t, configure, `{"denied_models": ["o1*"]}`)
	if err := host.Authorize(weirtest.Call{Model: "gpt-4o"}); err != nil {
		t.Error(err)
	}
	var denial *weir.Denial
	if err := host.Authorize(weirtest.Call{Model: "o1-pro"}); !errors.As(err, &denial) || denial.Code != "model_denied" {
		t.Error(err)
	}
}

// weir:end
// weir:if rewrite
func TestTheInstructionComesFirst(t *testing.T) {
	host := weirtest.New(t, configure, `{"instruction": "Be brief."}`)
	if err := host.Rewrite(weirtest.Call{}); err != nil || len(host.Seen.Edits) != 1 {
		t.Error(err, host.Seen.Edits)
	}
}

// weir:end
// weir:if limit
func TestABucketForEachKey(t *testing.T) {
	rules, err := weirtest.New(t, configure, `{"requests_per_minute": 60}`).Limits(weirtest.Call{Key: "key_7"})
	if err != nil || len(rules) != 1 || rules[0].Key != "key:key_7" || rules[0].Limit != 60 {
		t.Error(rules, err)
	}
}

// weir:end
// weir:if answer
func TestTheNoticeIsTheAnswer(t *testing.T) {
	answer, err := weirtest.New(t, configure, `{"notice": "Back at nine."}`).Answer(weirtest.Call{})
	if err != nil || answer == nil || answer.Status != 503 {
		t.Error(answer, err)
	}
}

// weir:end
// weir:if route
func TestWithoutAChannelOfTheRegionTheCallIsDenied(t *testing.T) {
	var denial *weir.Denial
	if _, err := weirtest.New(t, configure, `{"region": "eu"}`).Route(weirtest.Call{}); !errors.As(err, &denial) {
		t.Error(err)
	}
}

// weir:end
// weir:if reply
func TestRepliesAreStamped(t *testing.T) {
	host := weirtest.New(t, configure, `{"stamp": "checked"}`)
	reply, err := host.Reply(weirtest.Call{}, weir.Response{Status: 200})
	if err != nil || reply == nil || reply.Headers[0].Value != "checked" {
		t.Error(reply, err)
	}
}

// weir:end
// weir:if events
func TestWordsOfAStream(t *testing.T) {
	host := weirtest.New(t, configure, `{"replace": {"secret": "[redacted]"}}`)
	text, err := host.Stream(weirtest.Call{}, "a secret, ", "another secret")
	if err != nil || text != "a [redacted], another [redacted]" {
		t.Error(text, err)
	}
}

// weir:end
// weir:if audit
func TestFinishedCallsAreCounted(t *testing.T) {
	host := weirtest.New(t, configure, `{}`)
	host.Finished(weir.Outcome{Status: 429})
	if len(host.Seen.Metrics) != 1 {
		t.Error(host.Seen.Metrics)
	}
}

// weir:end
func TestASettingThatThereIsNot(t *testing.T) {
	if _, err := weirtest.Configure(configure, `{"regoin": "eu"}`); err == nil || err.Error() != "regoin: no such setting" {
		t.Error(err)
	}
}
