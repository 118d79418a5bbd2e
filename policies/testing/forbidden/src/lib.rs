//! A policy for tests of loading: it imports `http`, which only a grant allows.
//!
//! Configuration: `url`, a string, default `http://127.0.0.1:9/`. Every call asks that URL and is
//! denied unless the answer is a 200.

use weir_sdk::prelude::*;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Forbidden {
    #[serde(default = "nobody")]
    url: String,
}

fn nobody() -> String {
    "http://127.0.0.1:9/".to_owned()
}

impl Access for Forbidden {
    fn authorize(&self, _: &Summary) -> Result<(), Denial> {
        match weir_sdk::http::get(&self.url, 1_000) {
            Ok(response) if response.status == 200 => Ok(()),
            Ok(response) => Err(Denial::forbidden(
                "asked",
                format!("status {}", response.status),
            )),
            Err(error) => Err(Denial::forbidden("not_asked", error)),
        }
    }
}

weir_sdk::export!(Forbidden: access);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_sdk::testing::Host;

    #[test]
    fn it_asks() {
        let policy = Forbidden::configure("{}").unwrap();
        let (result, _) = Host::new().run(|call| policy.authorize(call));
        assert_eq!(result.unwrap_err().code, "not_asked");
        let mut host = Host::new().http(|_| Ok(weir_sdk::Response::json(200, &true.into())));
        assert!(host.run(|call| policy.authorize(call)).0.is_ok());
    }
}
