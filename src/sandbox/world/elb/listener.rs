//! Listeners, their rules, and which rule a request meets.

use serde::{Deserialize, Serialize};

/// A load balancer: a name, and a place for listeners.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadBalancer {
    pub arn: String,
    pub name: String,
    pub created_at: super::super::Millis,
    pub scheme: Scheme,
    pub subnets: Vec<String>,
    pub security_groups: Vec<String>,
    pub(super) attributes: std::collections::BTreeMap<String, String>,
}

impl LoadBalancer {
    /// An attribute's value, set or default.
    #[must_use]
    pub fn attribute(&self, key: &str) -> &str {
        super::attributes::value(super::attributes::LOAD_BALANCER, &self.attributes, key)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scheme {
    InternetFacing,
    Internal,
}

impl Scheme {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InternetFacing => "internet-facing",
            Self::Internal => "internal",
        }
    }
}

/// A port of a load balancer on which requests come in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    pub arn: String,
    pub load_balancer: String,
    pub port: u16,
    pub default_rule: String,
    pub default_action: Action,
    /// By priority, lowest first.
    pub rules: Vec<Rule>,
}

impl Listener {
    /// Every action of the listener and its rules.
    pub fn actions(&self) -> impl Iterator<Item = &Action> {
        std::iter::once(&self.default_action).chain(self.rules.iter().map(|rule| &rule.action))
    }
}

/// What to do with the requests that meet all its conditions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    pub arn: String,
    pub priority: u32,
    pub conditions: Vec<Condition>,
    pub action: Action,
}

/// One condition; any of its values will do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    Host(Vec<String>),
    Path(Vec<String>),
}

impl Condition {
    #[must_use]
    pub fn field(&self) -> &'static str {
        match self {
            Self::Host(_) => "host-header",
            Self::Path(_) => "path-pattern",
        }
    }

    #[must_use]
    pub fn values(&self) -> &[String] {
        match self {
            Self::Host(values) | Self::Path(values) => values,
        }
    }

    /// "Host names are case-insensitive", paths are not. A port in the Host header takes no part.
    #[must_use]
    pub fn meets(&self, host: &str, path: &str) -> bool {
        match self {
            Self::Host(patterns) => {
                let host = without_port(host).to_ascii_lowercase();
                patterns.iter().any(|pattern| wild(pattern.to_ascii_lowercase().as_bytes(), host.as_bytes()))
            }
            Self::Path(patterns) => patterns.iter().any(|pattern| wild(pattern.as_bytes(), path.as_bytes())),
        }
    }
}

/// `example.com:8080` and `[::1]:8080` without what follows the last colon.
#[must_use]
pub fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    }
}

/// `*` stands for any number of characters, `?` for exactly one. Linear with one point to go back to, so that a
/// pattern of many stars costs no more than its length times the text's.
fn wild(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut seen) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while seen < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                back = Some((at, seen));
                at += 1;
            }
            Some(&byte) if byte == b'?' || byte == text[seen] => {
                at += 1;
                seen += 1;
            }
            _ => match back {
                Some((star, from)) => {
                    back = Some((star, from + 1));
                    at = star + 1;
                    seen = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|&byte| byte == b'*')
}

/// What happens to a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    Forward(Vec<Weighted>),
    Fixed { status: u16, content_type: Option<String>, body: String },
    Redirect(Redirect),
}

impl Action {
    /// The groups it forwards to.
    #[must_use]
    pub fn target_groups(&self) -> &[Weighted] {
        match self {
            Self::Forward(groups) => groups,
            Self::Fixed { .. } | Self::Redirect(_) => &[],
        }
    }
}

/// A target group and its share of the requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weighted {
    pub arn: String,
    pub weight: u32,
}

/// Where a client is sent; `#{host}` and its like stand for the request's own part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redirect {
    pub protocol: String,
    pub host: String,
    pub port: String,
    pub path: String,
    pub query: String,
    pub status: u16,
}

impl Redirect {
    /// The `Location` for a request for `path?query` at `host` and `port`.
    #[must_use]
    pub fn location(&self, host: &str, port: u16, path: &str, query: &str) -> String {
        let host = without_port(host);
        let fill = |template: &str| {
            template
                .replace("#{protocol}", "http")
                .replace("#{host}", host)
                .replace("#{port}", &port.to_string())
                .replace("#{path}", path.trim_start_matches('/'))
                .replace("#{query}", query)
        };
        let Self { protocol, host, port, path, query, status: _ } = self;
        let protocol = fill(protocol).to_ascii_lowercase();
        let query = fill(query);
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{protocol}://{}:{}{}{mark}{query}", fill(host), fill(port), fill(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards() {
        for (pattern, text, expected) in [
            ("/img/*", "/img/a/b.png", true),
            ("/img/*", "/img", false),
            ("/img/*/pics", "/img/a/pics", true),
            ("/img/*/pics", "/img/a/pic", false),
            ("/a?c", "/abc", true),
            ("/a?c", "/ac", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaac", false),
            ("**b", "aab", true),
        ] {
            assert_eq!(wild(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn hosts_ignore_case_and_port_and_paths_do_not() {
        let host = Condition::Host(vec!["*.Example.com".into(), "other".into()]);
        assert!(host.meets("api.EXAMPLE.com:8080", "/"));
        assert!(host.meets("OTHER", "/"));
        assert!(!host.meets("example.com", "/"));
        let path = Condition::Path(vec!["/Api/*".into()]);
        assert!(path.meets("x", "/Api/1") && !path.meets("x", "/api/1"));
        assert_eq!(without_port("[::1]:80"), "[::1]");
        assert_eq!(without_port("[::1]"), "[::1]");
    }

    #[test]
    fn a_redirect_keeps_what_it_does_not_name() {
        let mut redirect = Redirect {
            protocol: "#{protocol}".into(),
            host: "#{host}".into(),
            port: "#{port}".into(),
            path: "/#{path}".into(),
            query: "#{query}".into(),
            status: 301,
        };
        assert_eq!(redirect.location("a.b:81", 81, "/x/y", "q=1"), "http://a.b:81/x/y?q=1");
        redirect.protocol = "HTTPS".into();
        redirect.port = "443".into();
        redirect.path = "/new/#{path}".into();
        assert_eq!(redirect.location("a.b:81", 81, "/x", ""), "https://a.b:443/new/x");
    }
}
