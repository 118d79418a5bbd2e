use proptest::prelude::*;
use weir_sdk::Policy;

use super::*;
use crate::settings::Settings;

/// Brackets what is found.
struct Marks {
    placeholders: bool,
}

impl Instead for Marks {
    fn wants_data(&self) -> bool {
        true
    }

    fn wants_placeholders(&self) -> bool {
        self.placeholders
    }

    fn instead(&mut self, found: Match<'_>, text: &str) -> Option<String> {
        match found {
            Match::Data(name) => Some(format!("<{name} {text}>")),
            Match::Placeholder => Some(format!("<? {text}>")),
            Match::Allowed => None,
        }
    }
}

fn settings(config: &str) -> Settings {
    Settings::configure(config).unwrap()
}

fn everything() -> Settings {
    settings(
        r##"{"detect": ["email", "phone", "phone_national", "card", "iban", "ip"],
            "words": {"PERSON": ["Ada Lovelace", "Ada", "李雷"]},
            "patterns": {"STAFF": ["EMP-####", "case &+/##"]},
            "allow": ["*@ours.example", "127.0.0.1"]}"##,
    )
}

fn whole(settings: &Settings, text: &str) -> String {
    let mut marks = Marks { placeholders: true };
    Scanner::whole(&settings.rules, text, &mut marks).unwrap_or_else(|| text.to_owned())
}

fn in_pieces<'t>(
    settings: &Settings,
    pieces: impl IntoIterator<Item = &'t str>,
) -> (String, usize) {
    let (mut marks, mut out) = (Marks { placeholders: true }, String::new());
    let (mut scanner, mut held) = (Scanner::default(), 0);
    for piece in pieces {
        scanner.push(&settings.rules, piece, &mut marks, &mut out);
        held = held.max(scanner.held.len());
    }
    scanner.finish(&settings.rules, &mut marks, &mut out);
    (out, held)
}

#[test]
fn nothing_is_held_back_but_what_may_become_something() {
    let settings = everything();
    let (mut marks, mut scanner) = (Marks { placeholders: true }, Scanner::default());
    let mut push = |piece| {
        let mut out = String::new();
        scanner.push(&settings.rules, piece, &mut marks, &mut out);
        out
    };
    assert_eq!(push("Hello, you. "), "Hello, you. ");
    assert_eq!(push("My card: 41"), "My card: ");
    assert_eq!(push("11 1111 1111"), "");
    assert_eq!(push(" 1111 "), "");
    assert_eq!(push("is"), "<CARD 4111 1111 1111 1111> ");
    assert_eq!(push(" it."), "is ");
    assert_eq!(push("\n"), "it.\n");
}

/// Texts that are made of what matters here, whole and broken.
fn texts() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "bob@example.com",
        "bob.builder+x@mail.example.co.uk.",
        "a@ours.example",
        "4111 1111 1111 1111",
        "378282246310005",
        "4111-1111-1111-1112",
        "DE89 3704 0044 0532 0130 00",
        "GB82WEST12345698765432",
        "10.0.0.1",
        "127.0.0.1",
        "1.2.3.4.5",
        "2001:db8::1",
        "::ffff:1.2.3.4",
        "+49 30 1234567",
        "(415) 555-2671",
        "1-415-555-2671",
        "030 1234567",
        "0049301234567",
        "ada lovelace",
        "Adam",
        "李雷",
        "emp-1234",
        "EMP-12345",
        "case abc1/22",
        "[EMAIL_1]",
        "[CARD_12",
        "[",
        "]",
        "@",
        "+",
        ":",
        "::",
        " ",
        "  ",
        ".",
        "-",
        "1",
        "00",
        "0",
        "\u{a0}",
        "ü",
        "日",
        "\n",
        "x",
        "(0",
        "4111",
        "fe80",
        "de89",
        "a@b",
        "a@b.c-",
    ]);
    let any = prop_oneof![8 => known.prop_map(str::to_owned), 1 => "[a-f0-9@.:+() -]{1,12}", 1 => "\\PC{0,6}"];
    prop::collection::vec(any, 0..12).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    /// Wherever a text is cut, the same comes out, and what is held back is bounded.
    #[test]
    fn any_pieces_give_what_the_whole_gives(text in texts(), cuts in prop::collection::vec(0usize..200, 0..8)) {
        let settings = everything();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut % (text.len() + 1)).collect();
        cuts.retain(|cut| text.is_char_boundary(*cut));
        cuts.sort_unstable();
        let ends = cuts.iter().copied().chain([text.len()]);
        let pieces = [0].into_iter().chain(cuts.iter().copied()).zip(ends).map(|(from, to)| &text[from..to]);
        let wanted = whole(&settings, &text);
        let (out, held) = in_pieces(&settings, pieces);
        prop_assert_eq!(&out, &wanted);
        prop_assert!(held <= 400, "{held} bytes held back");
        let (by_one, _) = in_pieces(&settings, text.split("").filter(|piece| !piece.is_empty()));
        prop_assert_eq!(by_one, wanted);
    }

    /// Texts without anything in them stay as they are.
    #[test]
    fn plain_words_stay(text in "([A-Z]?[a-z]{1,9}[ ,.!?]{1,2}){0,30}") {
        let settings = settings("{}");
        prop_assert_eq!(whole(&settings, &text), text);
    }
}
