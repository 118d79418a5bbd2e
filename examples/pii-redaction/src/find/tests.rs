use weir_sdk::Policy;

use crate::scan::{Instead, Match, Scanner};
use crate::settings::Settings;

/// Names what is found.
struct Names;

impl Instead for Names {
    fn wants_data(&self) -> bool {
        true
    }

    fn wants_placeholders(&self) -> bool {
        false
    }

    fn instead(&mut self, found: Match<'_>, _: &str) -> Option<String> {
        match found {
            Match::Data(name) => Some(format!("[{name}]")),
            Match::Placeholder | Match::Allowed => None,
        }
    }
}

#[track_caller]
fn all_become(config: &str, texts: &[(&str, &str)]) {
    let settings = Settings::configure(config).unwrap();
    for (text, wanted) in texts {
        let out = Scanner::whole(&settings.rules, text, &mut Names);
        assert_eq!(out.as_deref().unwrap_or(text), *wanted, "{text}");
    }
}

#[test]
fn addresses_of_mail() {
    all_become(
        r#"{"detect": ["email"], "allow": ["*@ours.example", "Info@Other.example"]}"#,
        &[
            ("Write to bob@example.com.", "Write to [EMAIL]."),
            ("<Bob.O'Neil+list@mail.example.co.uk>, or", "<[EMAIL]>, or"),
            ("mailto:a@b.io?x", "mailto:[EMAIL]?x"),
            ("..a@b.io", "..[EMAIL]"),
            ("bob@example.com-sent", "[EMAIL]-sent"),
            ("jürgen@müller.de und mehr", "[EMAIL] und mehr"),
            ("联系bob@example.com吧", "联系[EMAIL]吧"),
            ("x@xn--bcher-kva.xn--p1ai", "[EMAIL]"),
            (
                "bob@localhost, @bob, bob@, a @ b.io, v1@2.3",
                "bob@localhost, @bob, bob@, a @ b.io, v1@2.3",
            ),
            (
                "first.last@ours.example and info@OTHER.example",
                "first.last@ours.example and info@OTHER.example",
            ),
        ],
    );
}

#[test]
fn cards() {
    all_become(
        r#"{"detect": ["card"]}"#,
        &[
            ("4111111111111111", "[CARD]"),
            ("4111 1111 1111 1111 123 12/27", "[CARD] 123 12/27"),
            ("No. 1 5555-5555-5555-4444.", "No. 1 [CARD]."),
            ("3782 822463 10005", "[CARD]"),
            ("378282246310005 or 30569309025904", "[CARD] or [CARD]"),
            ("2223\u{a0}0031\u{a0}2200\u{a0}3222", "[CARD]"),
            ("4111 1111 1111 1111 2026", "[CARD] 2026"),
            (
                "4111111111111112, 1111111111111117, 41111111111111111",
                "4111111111111112, 1111111111111117, 41111111111111111",
            ),
            ("4111 11111111 1111", "4111 11111111 1111"),
            (
                "a4111111111111111 4111111111111111a",
                "a4111111111111111 4111111111111111a",
            ),
            ("12345678901234567890123", "12345678901234567890123"),
        ],
    );
}

#[test]
fn accounts() {
    all_become(
        r#"{"detect": ["iban"]}"#,
        &[
            ("DE89370400440532013000", "[IBAN]"),
            (
                "IBAN: de89 3704 0044 0532 0130 00, thanks",
                "IBAN: [IBAN], thanks",
            ),
            (
                "GB82 WEST 1234 5698 7654 32 or NO93 8601 1117 947",
                "[IBAN] or [IBAN]",
            ),
            ("MT84MALT011000012345MTLCAST001S", "[IBAN]"),
            ("DE89370400440532013001", "DE89370400440532013001"),
            (
                "DE893704004405320130001 XDE89370400440532013000",
                "DE893704004405320130001 XDE89370400440532013000",
            ),
            ("DE89 3704 0044", "DE89 3704 0044"),
            ("ZZ89370400440532013000", "ZZ89370400440532013000"),
        ],
    );
}

#[test]
fn addresses_of_machines() {
    all_become(
        r#"{"detect": ["ip"], "allow": ["127.0.0.*"]}"#,
        &[
            (
                "from 203.0.113.7:443 to 10.0.0.1/8.",
                "from [IP]:443 to [IP]/8.",
            ),
            (
                "[2001:db8::1]:80, fe80::1%eth0, ::ffff:1.2.3.4",
                "[[IP]]:80, [IP]%eth0, [IP]",
            ),
            ("at 2001:db8:0:0:0:0:0:1.", "at [IP]."),
            ("127.0.0.1", "127.0.0.1"),
            (
                "1.2.3, 1.2.3.4.5, 1.2.3.400, v1.2.3.4",
                "1.2.3, 1.2.3.4.5, 1.2.3.400, v1.2.3.4",
            ),
            (
                "at 12:30:45, std::vec, add::dead, a:b, ::",
                "at 12:30:45, std::vec, add::dead, a:b, ::",
            ),
        ],
    );
}

#[test]
fn telephone_numbers() {
    let default = [
        ("+49 (30) 123-4567!", "[PHONE]!"),
        ("+14155552671, 0044 20 7946 0958", "[PHONE], [PHONE]"),
        (
            "(415) 555-2671 or 415-555-2671 or 1 415.555.2671",
            "[PHONE] or [PHONE] or [PHONE]",
        ),
        (
            "2026-11-21, 1,000,000, 415-555-26711, +1 to 5",
            "2026-11-21, 1,000,000, 415-555-26711, +1 to 5",
        ),
        ("030 1234567", "030 1234567"),
        ("5+49301234567", "5+49301234567"),
    ];
    all_become(r#"{"detect": ["phone"]}"#, &default);
    all_become(
        r#"{"detect": ["phone_national"]}"#,
        &[
            (
                "030 1234567, (030) 123 45 67, 0171/1234567",
                "[PHONE], [PHONE], [PHONE]",
            ),
            (
                "02-03-2026 10:00, 01.02.2026, 0123, 012345678901234",
                "02-03-2026 10:00, 01.02.2026, 0123, 012345678901234",
            ),
        ],
    );
}

#[test]
fn words_and_patterns() {
    all_become(
        r##"{"detect": [], "words": {"PERSON": ["Ada", "Ada Lovelace", "李雷"]},
            "patterns": {"STAFF": ["EMP-####"], "KEY": ["sk-&+", "@@? ##\\#"]}}"##,
        &[
            (
                "ada LOVELACE met Ada\nLovelace and Adam",
                "[PERSON] met [PERSON] and Adam",
            ),
            ("Canada, Ada.", "Canada, [PERSON]."),
            ("我叫李雷。", "我叫[PERSON]。"),
            (
                "emp-1234, EMP-12345, XEMP-1234",
                "[STAFF], EMP-12345, XEMP-1234",
            ),
            ("sk-abc123! sk-!", "[KEY]! sk-!"),
            ("a 12# ab 34# abc 56#", "[KEY] [KEY] abc 56#"),
        ],
    );
}

#[test]
fn mistakes_in_the_settings() {
    for (config, wanted) in [
        (
            r#"{"detect": ["mail"]}"#,
            "detect[0]: unknown variant `mail`",
        ),
        (r#"{"detect": []}"#, "detect: with no words"),
        (
            r#"{"words": {"person": ["Ada"]}}"#,
            "words.person: a name of placeholders",
        ),
        (
            r#"{"words": {"EMAIL": ["Ada"]}}"#,
            "words.EMAIL: placeholders of this name",
        ),
        (
            r#"{"words": {"PERSON": ["A"]}}"#,
            "words.PERSON: `A` must have 2 to 200",
        ),
        (
            r##"{"patterns": {"KEY": ["#+1"]}}"##,
            "patterns.KEY: `#+1`: a part with `+`",
        ),
        (
            r##"{"patterns": {"KEY": ["+#"]}}"##,
            "patterns.KEY: `+#`: `+` has nothing",
        ),
        (r#"{"keep_ms": 5}"#, "keep_ms: must be from"),
        (
            r#"{"prompts": false, "reversible": true}"#,
            "reversible: needs prompts",
        ),
        (
            r#"{"prompts": false, "replies": false}"#,
            "replies: with prompts",
        ),
        (r#"{"colour": 1}"#, "colour: unknown field"),
        (r#"{"match": {"model": "x"}}"#, "match.model: unknown field"),
    ] {
        let error = Settings::configure(config)
            .err()
            .unwrap_or_default()
            .concat();
        assert!(error.contains(wanted), "{config}: {error}");
    }
}
