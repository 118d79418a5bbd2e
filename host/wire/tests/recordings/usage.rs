//! What a reply used, and whether a stream ended as it should.

use weir_wire::sse::Splitter;
use weir_wire::usage::{StreamReport, StreamUsage, WholeUsage, read_whole};

use crate::corpus::{Recording, Reply, recordings};
use crate::oracle;

fn stream(recording: &Recording, text: &str, chunk_bytes: usize) -> StreamReport {
    let mut usage = StreamUsage::new(recording.dialect);
    text.as_bytes()
        .chunks(chunk_bytes)
        .for_each(|chunk| usage.push(chunk));
    usage.finish()
}

#[test]
fn every_stream_tells_what_the_oracle_finds() {
    let mut seen = 0;
    for recording in recordings() {
        let Reply::Text(text) = &recording.reply else {
            continue;
        };
        let expected = oracle::usage(recording.dialect, &oracle::documents(text));
        let whole = stream(&recording, text, usize::MAX);
        assert_eq!(whole.usage, expected, "{}", recording.name);
        for chunk_bytes in [1000, 7] {
            assert_eq!(
                stream(&recording, text, chunk_bytes),
                whole,
                "{}",
                recording.name
            );
        }
        seen += usize::from(expected.is_some());
    }
    assert!(seen > 40, "{seen}");
}

#[test]
fn every_whole_reply_tells_what_the_oracle_finds() {
    let mut seen = 0;
    for recording in recordings() {
        let Reply::Json(body) = &recording.reply else {
            continue;
        };
        let documents = body
            .as_array()
            .cloned()
            .unwrap_or_else(|| vec![body.clone()]);
        let expected = oracle::usage(recording.dialect, &documents);
        let bytes = serde_json::to_vec(body).unwrap();
        assert_eq!(
            read_whole(recording.dialect, &bytes),
            expected,
            "{}",
            recording.name
        );
        let pretty = serde_json::to_vec_pretty(body).unwrap();
        assert_eq!(
            read_whole(recording.dialect, &pretty),
            expected,
            "{}",
            recording.name
        );
        let mut frames = WholeUsage::new(recording.dialect, 1 << 20);
        bytes
            .chunks(100)
            .for_each(|frame| frames.push(frame.to_vec().into()));
        assert_eq!(frames.finish(), expected, "{}", recording.name);
        seen += usize::from(expected.is_some());
    }
    assert!(seen > 40, "{seen}");
}

/// Streams that were recorded without an end, or that end in an error.
fn ends_early(recording: &Recording, text: &str) -> bool {
    let documents = oracle::documents(text);
    recording.status >= 400
        || documents
            .iter()
            .any(|document| !document["error"].is_null() || document["type"] == "error")
}

#[test]
fn every_whole_stream_is_known_as_one() {
    let mut broken = Vec::new();
    for recording in recordings() {
        let Reply::Text(text) = &recording.reply else {
            continue;
        };
        let is_events = text.contains("data:") || recording.name.contains("streamGenerateContent");
        if !is_events || ends_early(&recording, text) {
            continue;
        }
        let report = stream(&recording, text, usize::MAX);
        if !report.finished || report.error {
            broken.push(format!("{} {report:?}", recording.name));
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn an_error_in_a_stream_is_seen() {
    let mut seen = 0;
    for recording in recordings() {
        let Reply::Text(text) = &recording.reply else {
            continue;
        };
        if recording.status < 400 && text.contains("data:") && ends_early(&recording, text) {
            assert!(
                stream(&recording, text, usize::MAX).error,
                "{}",
                recording.name
            );
            seen += 1;
        }
    }
    assert!(seen > 0);
}

#[test]
fn a_stream_with_output_has_text() {
    for recording in recordings() {
        let Reply::Text(text) = &recording.reply else {
            continue;
        };
        let report = stream(&recording, text, usize::MAX);
        let output = report
            .usage
            .map_or(0, |usage| usage.output_tokens - usage.reasoning_tokens);
        // Some outputs have no text: encrypted reasoning, calls of the provider's own tools, audio.
        if output > 100 && report.output_text_bytes == 0 {
            panic!("{} {report:?}", recording.name);
        }
    }
}

#[test]
fn every_byte_of_a_stream_is_in_an_event() {
    for recording in recordings() {
        let Reply::Text(text) = &recording.reply else {
            continue;
        };
        let mut raw = Vec::new();
        let mut splitter = Splitter::new();
        for chunk in text.as_bytes().chunks(313) {
            splitter.push(chunk, |event| raw.extend_from_slice(event.raw));
        }
        splitter.finish(|event| raw.extend_from_slice(event.raw));
        assert_eq!(raw, text.as_bytes(), "{}", recording.name);
    }
}
