//! Every file says what it is; every room also what it never does and where to begin reading.

use std::path::Path;

use crate::source::{files, is_test, read, root};
use crate::violation::{Violation, none};

#[test]
fn every_file_begins_with_what_it_is() {
    let mut violations = Vec::new();
    for folder in ["host", "guest-sdk", "policies", "examples", "tests"] {
        for file in files(folder, "rs") {
            // The name says what it is: the tests of the file that the folder is named after.
            if file.ends_with("tests.rs") {
                continue;
            }
            let text = read(&file);
            if !text.starts_with("//!") {
                violations.push(Violation::new(&file, 1, "does not begin with a //! header"));
            } else if is_room(&file) {
                violations.extend(check_room(&file, &text));
            }
        }
    }
    none(violations);
}

/// A crate of the host or the kit, or a part of the gateway that has files of its own.
fn is_room(file: &Path) -> bool {
    let is_root = file.ends_with("src/lib.rs");
    let is_host = file.starts_with("host") || file.starts_with("guest-sdk");
    let is_part = file.parent() == Some(Path::new("host/gateway/src"))
        && root().join(file.with_extension("")).is_dir();
    // A template becomes an author's own file.
    let is_template = file.starts_with("guest-sdk/template");
    !is_test(file) && !is_template && ((is_root && is_host) || is_part)
}

fn check_room(file: &Path, text: &str) -> Option<Violation> {
    let header: Vec<&str> = text
        .lines()
        .take_while(|line| line.starts_with("//!"))
        .collect();
    let header = header.join("\n").to_lowercase();
    let missing: Vec<&str> = ["never", "read first"]
        .into_iter()
        .filter(|words| !header.contains(words))
        .collect();
    (!missing.is_empty()).then(|| {
        Violation::new(
            file,
            1,
            format!("a room's header also says: {}", missing.join(", ")),
        )
    })
}

#[test]
fn a_header_that_says_half_is_found() {
    let file = Path::new("host/base/src/lib.rs");
    assert!(is_room(file));
    assert!(check_room(file, "//! Does x. Never y.\n//! Read first: z.\n").is_none());
    assert!(check_room(file, "//! Does x.\n// never, read first\n").is_some());
}
