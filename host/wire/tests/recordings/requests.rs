//! Requests: the head that is scanned from them, and the estimate of their tokens.

use serde_json::Value;
use weir_wire::Dialect;
use weir_wire::scan::scan;

use crate::corpus::{Recording, Reply, recordings};
use crate::oracle;

#[test]
fn every_request_is_read() {
    for recording in recordings() {
        let Some(request) = &recording.request else {
            continue;
        };
        for body in [
            serde_json::to_vec(request).unwrap(),
            serde_json::to_vec_pretty(request).unwrap(),
        ] {
            let head = scan(recording.dialect, &body).unwrap();
            assert_eq!(
                head.model.as_deref(),
                request["model"].as_str(),
                "{}",
                recording.name
            );
            assert_eq!(head.stream, request["stream"] == true, "{}", recording.name);
            if let Some(span) = head.model_span {
                assert_eq!(
                    serde_json::from_slice::<Value>(&body[span]).unwrap(),
                    request["model"]
                );
            }
        }
    }
}

/// Images, sound and files: what they count depends on what they show.
fn has_media(request: &Value) -> bool {
    let text = request.to_string();
    ["image_url", "input_audio", "\"file\"", "file_data"]
        .iter()
        .any(|key| text.contains(key))
}

fn ratio(recording: &Recording) -> Option<f64> {
    let request = recording
        .request
        .as_ref()
        .filter(|request| !has_media(request))?;
    let documents = match &recording.reply {
        Reply::Text(text) => oracle::documents(text),
        Reply::Json(body) => vec![body.clone()],
        Reply::Other => return None,
    };
    let truth = oracle::usage(recording.dialect, &documents)?.input_tokens;
    let body = serde_json::to_vec(request).unwrap();
    let estimate = scan(recording.dialect, &body)
        .unwrap()
        .input_tokens_estimate;
    (truth > 0).then(|| f64::from(estimate) / truth as f64)
}

#[test]
fn the_estimate_is_near_what_openai_counts() {
    let mut ratios: Vec<f64> = recordings()
        .iter()
        .filter(|recording| {
            recording.dialect == Dialect::OpenaiChat && recording.name.starts_with("openai/")
        })
        .filter_map(ratio)
        .collect();
    ratios.sort_by(f64::total_cmp);
    let at = |percent: usize| ratios[ratios.len() * percent / 100];
    println!(
        "{} requests: p10 {:.2}, median {:.2}, p90 {:.2}",
        ratios.len(),
        at(10),
        at(50),
        at(90)
    );
    assert!((0.9..1.4).contains(&at(50)), "median {}", at(50));
    assert!(at(90) < 2.0, "p90 {}", at(90));
}
