//! A policy for tests beside an older one: it uses what version 0.2 of the interface added, the
//! parameters of the query, and denies calls with `deny=0.2` among them.

use weir_sdk::prelude::*;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Second {}

impl Access for Second {
    fn authorize(&self, _: &Summary) -> Result<(), Denial> {
        let query = weir_sdk::call::query();
        let denied = |(name, value): &(String, String)| name == "deny" && value == "0.2";
        if !query.iter().any(denied) {
            return Ok(());
        }
        let names: Vec<&str> = query.iter().map(|(name, _)| name.as_str()).collect();
        Err(Denial::forbidden(
            "denied_by_0_2",
            format!("Ask without deny in the query: {}.", names.join(" ")),
        ))
    }
}

weir_sdk::export!(Second: access);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_sdk::testing::{Call, Host};

    #[test]
    fn it_looks_at_the_query() {
        let policy = Second::configure("{}").unwrap();
        let asked = |call| Host::new().call(call).run(|call| policy.authorize(call)).0;
        assert!(asked(Call::chat("m").query("deny", "0.1")).is_ok());
        let denial = asked(Call::chat("m").query("a", "").query("deny", "0.2")).unwrap_err();
        assert_eq!(denial.code, "denied_by_0_2");
        assert!(denial.message.contains("a deny"), "{}", denial.message);
    }
}
