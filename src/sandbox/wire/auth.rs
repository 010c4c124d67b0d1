//! Who is asking the registry: Basic credentials. The AWS APIs have [signatures](super::signature).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::HeaderMap;
use http::header::AUTHORIZATION;

/// What a client of the registry sends with every request.
#[derive(Clone, PartialEq, Eq)]
pub struct Basic {
    pub user: String,
    pub password: String,
}

/// The Basic credentials of a request, if it has any that can be read.
pub fn basic(headers: &HeaderMap) -> Option<Basic> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some(Basic { user: user.to_owned(), password: password.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn with(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn basic_credentials() {
        for (header, read) in [
            (format!("Basic {}", STANDARD.encode("AWS:a:b")), Some(("AWS", "a:b"))),
            (format!("basic {}", STANDARD.encode("AWS:")), Some(("AWS", ""))),
            (format!("Basic {}", STANDARD.encode("AWS")), None),
            ("Basic ***".to_owned(), None),
            ("Bearer abc".to_owned(), None),
        ] {
            let found = basic(&with(&header));
            assert_eq!(found.as_ref().map(|basic| (basic.user.as_str(), basic.password.as_str())), read, "{header}");
        }
    }
}
