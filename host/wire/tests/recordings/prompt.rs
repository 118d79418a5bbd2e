//! Prompts: the edits on real requests change what they should, and nothing else.

use serde_json::Value;
use weir_wire::prompt::{messages, prepend_system, set_message_text};

use crate::corpus::recordings;

const MARK: &str = "-- \"mark\" --";

#[test]
fn every_prompt_takes_its_edits() {
    let mut seen = 0;
    for recording in recordings() {
        let Some(request) = &recording.request else {
            continue;
        };
        let body = serde_json::to_vec(request).unwrap();
        let before = messages(recording.dialect, &body).unwrap();
        for index in 0..before.len() {
            let changed = set_message_text(recording.dialect, &body, index, MARK).unwrap();
            let mut expected = before.clone();
            expected[index].text = MARK.to_owned();
            let after = messages(recording.dialect, &changed).unwrap();
            assert_eq!(after, expected, "{} message {index}", recording.name);
            seen += 1;
        }
        let Ok(changed) = prepend_system(recording.dialect, &body, MARK) else {
            continue;
        };
        let after = messages(recording.dialect, &changed).unwrap();
        assert!(after[0].text.starts_with(MARK), "{}", recording.name);
        assert!(
            (before.len()..=before.len() + 1).contains(&after.len()),
            "{}",
            recording.name
        );
        // What the prompt is no part of is as it was.
        let changed: Value = serde_json::from_slice(&changed).unwrap();
        for key in [
            "model",
            "tools",
            "temperature",
            "stream",
            "generationConfig",
        ] {
            assert_eq!(changed[key], request[key], "{}", recording.name);
        }
    }
    assert!(seen > 100, "{seen}");
}
