//! Lines as they are written.

use std::io;
use std::sync::{Arc, Mutex};

use super::*;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn logged(format: Format, level: &str, log: impl FnOnce(&LogHandle)) -> String {
    let lines = Lines::default();
    let writer = lines.clone();
    let (filter, handle) = reload::Layer::new(EnvFilter::try_new(level).unwrap());
    let layer = layer(format, move || writer.clone());
    let subscriber = tracing_subscriber::registry().with(filter).with(layer);
    tracing::subscriber::with_default(subscriber, || log(&LogHandle(handle)));
    let bytes = lines.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn json_lines_hold_the_fields_at_the_top() {
    let text = logged(Format::Json, "info", |_| {
        tracing::info!(channel = "main", "a key rests")
    });
    let line: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["message"], "a key rests");
    assert_eq!(line["channel"], "main");
}

#[test]
fn the_level_can_be_changed_while_running() {
    let text = logged(Format::Human, "warn", |handle| {
        tracing::info!("before");
        handle.set_level("info").unwrap();
        tracing::info!("after");
        assert!(handle.set_level("info=info=info").is_err());
    });
    assert!(!text.contains("before") && text.contains("after"), "{text}");
}
