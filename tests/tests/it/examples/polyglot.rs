//! examples/polyglot: one file of cases for the policy in all languages. The one in Rust is in `cases.rs`.

use weir_tests::{Setup, built_policy, compiled_cache};

use super::folder;
use crate::skip;

#[test]
fn the_policy_in_each_language_passes_the_cases_of_all_of_them() {
    let cases = folder("polyglot").join("cases").display().to_string();
    for language in ["c", "go", "js", "python"] {
        let Some(component) = built_policy(&format!("polyglot-guard-{language}")) else {
            let reason =
                format!("examples/polyglot/{language} is not built: see examples/build.sh");
            skip("WEIR_EXAMPLES", &reason);
            continue;
        };
        let setup = Setup::bare()
            .compiled(&component)
            .env("XDG_CACHE_HOME", &compiled_cache().display().to_string());
        let file = component.display().to_string();
        let output = setup.run_to_end(&["policy", "test", &file, &cases]);
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(said.contains("12 cases, 12 passed"), "{language}: {said}");
        assert!(output.status.success(), "{language}");
    }
}
