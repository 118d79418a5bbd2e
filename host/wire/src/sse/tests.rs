use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Owned {
    kind: Kind,
    name: Option<String>,
    data: Vec<u8>,
    raw: Vec<u8>,
}

fn split(stream: &[u8], cuts: &[usize], max: usize) -> Vec<Owned> {
    let mut events = Vec::new();
    let mut take = |event: Event<'_>| {
        events.push(Owned {
            kind: event.kind,
            name: event.name.map(str::to_owned),
            data: event.data.to_vec(),
            raw: event.raw.to_vec(),
        });
    };
    let mut splitter = Splitter::with_max_event_bytes(max);
    let mut from = 0;
    for &cut in cuts {
        splitter.push(&stream[from..cut], &mut take);
        from = cut;
    }
    splitter.push(&stream[from..], &mut take);
    splitter.finish(&mut take);
    events
}

fn whole(stream: &[u8]) -> Vec<Owned> {
    split(stream, &[], DEFAULT_MAX_EVENT_BYTES)
}

fn data_of(stream: &str) -> Vec<String> {
    whole(stream.as_bytes())
        .into_iter()
        .filter(|event| event.kind == Kind::Message)
        .map(|event| String::from_utf8(event.data).unwrap())
        .collect()
}

#[test]
fn every_line_end_is_understood() {
    for end in ["\n", "\r\n", "\r"] {
        let stream = ["event: a", "data: 1", "", "data: 2", "", ""].join(end);
        let events = whole(stream.as_bytes());
        assert_eq!(events.len(), 2, "{end:?}: {events:?}");
        assert_eq!(events[0].name.as_deref(), Some("a"));
        assert_eq!(events[0].data, b"1");
        assert_eq!(events[1].data, b"2");
    }
}

#[test]
fn fields_are_read_as_the_standard_says() {
    assert_eq!(data_of("data:x\n\n"), ["x"]);
    assert_eq!(data_of("data:  x\n\n"), [" x"]);
    assert_eq!(data_of("data: a\ndata: b\ndata\n\n"), ["a\nb\n"]);
    assert_eq!(data_of("datax: a\n\n"), Vec::<String>::new());
    assert_eq!(data_of("id: 1\nretry: 5\ndata: a\n\n"), ["a"]);
    assert_eq!(data_of(": OPENROUTER PROCESSING\n\ndata: a\n\n"), ["a"]);
    assert_eq!(data_of("\u{feff}data: a\n\n"), ["a"]);
    assert_eq!(data_of("\u{feff}data: a\ndata: b\n\n"), ["a\nb"]);
    // A mark that is not at the beginning is part of the field's name.
    assert_eq!(data_of("data: a\n\n\u{feff}data: b\n\n"), ["a"]);
}

#[test]
fn an_event_that_is_never_closed_still_counts() {
    assert_eq!(data_of("data: a\n\ndata: [DONE]"), ["a", "[DONE]"]);
    assert_eq!(data_of("data: a\n\ndata: [DONE]\n"), ["a", "[DONE]"]);
    assert_eq!(data_of("data: a\r"), ["a"]);
}

#[test]
fn an_event_in_one_chunk_is_borrowed() {
    let chunk = b"event: x\ndata: hello\n\n".as_slice();
    let mut seen = 0;
    Splitter::new().push(chunk, |event| {
        seen += 1;
        assert!(chunk.as_ptr_range().contains(&event.data.as_ptr()));
        assert_eq!(event.raw.as_ptr(), chunk.as_ptr());
    });
    assert_eq!(seen, 1);
}

#[test]
fn an_oversized_event_goes_by_without_being_held() {
    let big = format!("data: {}\n\n", "x".repeat(5000));
    let stream = format!("data: a\n\n{big}data: b\n\n");
    let mut splitter = Splitter::with_max_event_bytes(100);
    let (mut raw, mut data) = (Vec::new(), Vec::new());
    for chunk in stream.as_bytes().chunks(7) {
        splitter.push(chunk, |event| {
            raw.extend_from_slice(event.raw);
            if event.kind == Kind::Message {
                data.push(event.data.to_vec());
            }
        });
        assert!(splitter.carry.capacity() <= 200);
    }
    assert_eq!(raw, stream.as_bytes());
    assert_eq!(data, [b"a".to_vec(), b"b".to_vec()]);
}

/// Streams made of the pieces that matter, so that random ones hit the edges.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just("\n"),
        Just("\r"),
        Just("\r\n"),
        Just("\n\n"),
        Just("data"),
        Just("data: {\"a\":1}"),
        Just("event: ping"),
        Just(": comment"),
        Just(":"),
        Just(" "),
        Just("\u{feff}"),
        Just("ü"),
        Just("data: a long line that is longer than the smallest bound of the test"),
    ];
    proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #[test]
    fn how_a_stream_is_cut_changes_nothing(
        stream in stream(),
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..12),
        max in prop_oneof![Just(40usize), Just(DEFAULT_MAX_EVENT_BYTES)],
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.sort_unstable();
        let reference = split(&stream, &[], max);
        let cut = split(&stream, &cuts, max);
        let read = |events: &[Owned]| -> Vec<Owned> {
            events.iter().filter(|event| event.kind != Kind::Opaque).cloned().collect()
        };
        prop_assert_eq!(read(&reference), read(&cut));
        for events in [&reference, &cut] {
            let raw: Vec<u8> = events.iter().flat_map(|event| event.raw.iter().copied()).collect();
            prop_assert_eq!(&raw, &stream);
        }
        let bytewise = split(&stream, &(0..stream.len()).collect::<Vec<_>>(), max);
        prop_assert_eq!(read(&reference), read(&bytewise));
    }
}
