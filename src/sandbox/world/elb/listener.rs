//! Listeners, their rules, and which rule a request meets.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::regular::Regular;

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
    /// `Order` of the default action, where it was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) default_order: Option<u32>,
    /// By priority, lowest first.
    pub rules: Vec<Rule>,
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub(super) attributes: std::collections::BTreeMap<String, String>,
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
    /// `Order` of the action, where it was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) order: Option<u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub transforms: Vec<Transform>,
}

/// What is written anew of a request that meets a rule, before a target sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transform {
    pub of: Rewritten,
    pub pattern: Regular,
    /// With `$1` for what the first group of the pattern has found.
    pub replacement: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rewritten {
    Host,
    /// Path and query.
    Url,
}

impl Rewritten {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host-header-rewrite",
            Self::Url => "url-rewrite",
        }
    }
}

/// What a request says of itself, as far as a condition can ask.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    pub method: &'a str,
    pub host: &'a str,
    pub path: &'a str,
    /// Without the question mark.
    pub query: &'a str,
    pub client: IpAddr,
    /// The values of a header, by its name in small letters.
    pub header: &'a dyn Fn(&str) -> Vec<String>,
}

/// One condition; any of its values will do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    Host(Vec<String>),
    Path(Vec<String>),
    Header {
        name: String,
        values: Vec<String>,
    },
    Method(Vec<String>),
    Query(Vec<Parameter>),
    /// CIDR blocks, as written.
    Source(Vec<String>),
    /// Regular expressions instead of values with wildcards.
    Regular {
        of: Part,
        expressions: Vec<Regular>,
    },
}

/// What of a request a regular expression may be about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    Host,
    Path,
    Header(String),
}

/// A parameter of a query: one without a key may have any.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameter {
    pub key: Option<String>,
    pub value: String,
}

impl Condition {
    #[must_use]
    pub fn field(&self) -> &'static str {
        match self {
            Self::Host(_) | Self::Regular { of: Part::Host, .. } => "host-header",
            Self::Path(_) | Self::Regular { of: Part::Path, .. } => "path-pattern",
            Self::Header { .. } | Self::Regular { of: Part::Header(_), .. } => "http-header",
            Self::Method(_) => "http-request-method",
            Self::Query(_) => "query-string",
            Self::Source(_) => "source-ip",
        }
    }

    /// "Host names are case-insensitive", and so are headers and queries; paths are not. A port in the Host header takes no
    /// part, and methods are compared letter by letter: "Wildcards are not supported".
    #[must_use]
    pub fn meets(&self, asked: &Asked<'_>) -> bool {
        match self {
            Self::Host(patterns) => {
                let host = without_port(asked.host);
                patterns.iter().any(|pattern| wild_in_any_case(pattern, host))
            }
            Self::Path(patterns) => patterns.iter().any(|pattern| wild(pattern.as_bytes(), asked.path.as_bytes())),
            Self::Header { name, values } => (asked.header)(&name.to_ascii_lowercase())
                .iter()
                .any(|value| values.iter().any(|pattern| wild_in_any_case(pattern, value))),
            Self::Method(methods) => methods.iter().any(|method| method == asked.method),
            Self::Query(parameters) => url::form_urlencoded::parse(asked.query.as_bytes()).any(|(key, value)| {
                parameters.iter().any(|wanted| {
                    wanted.key.as_deref().is_none_or(|pattern| wild_in_any_case(pattern, &key))
                        && wild_in_any_case(&wanted.value, &value)
                })
            }),
            Self::Source(blocks) => blocks.iter().any(|block| within(block, asked.client)),
            Self::Regular { of, expressions } => {
                let finds = |text: &str| expressions.iter().any(|expression| expression.finds(text));
                match of {
                    Part::Host => finds(without_port(asked.host)),
                    Part::Path => finds(asked.path),
                    Part::Header(name) => (asked.header)(&name.to_ascii_lowercase()).iter().any(|value| finds(value)),
                }
            }
        }
    }
}

fn wild_in_any_case(pattern: &str, text: &str) -> bool {
    wild(pattern.to_ascii_lowercase().as_bytes(), text.to_ascii_lowercase().as_bytes())
}

/// `10.0.0.0/8`, taken apart: the address, and how many of its bits count.
pub(super) fn block(text: &str) -> Option<(IpAddr, u32)> {
    let (address, bits) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    bits.parse().ok().filter(|bits| *bits <= most).map(|bits| (address, bits))
}

fn within(text: &str, client: IpAddr) -> bool {
    match (block(text), client) {
        (Some((IpAddr::V4(base), bits)), IpAddr::V4(client)) => {
            (u32::from(base) ^ u32::from(client)).checked_shr(32 - bits).unwrap_or(0) == 0
        }
        (Some((IpAddr::V6(base), bits)), IpAddr::V6(client)) => {
            (u128::from(base) ^ u128::from(client)).checked_shr(128 - bits).unwrap_or(0) == 0
        }
        _ => false,
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
    Forward(Forward),
    Fixed { status: u16, content_type: Option<String>, body: String },
    Redirect(Redirect),
}

impl Action {
    /// The groups it forwards to.
    #[must_use]
    pub fn target_groups(&self) -> &[Weighted] {
        match self {
            Self::Forward(Forward { groups, sticky_seconds: _ }) => groups,
            Self::Fixed { .. } | Self::Redirect(_) => &[],
        }
    }
}

/// Where requests are sent on to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forward {
    pub groups: Vec<Weighted>,
    /// For how long a client stays with the group it was first sent to, if it does.
    pub sticky_seconds: Option<u64>,
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
        let asked = |host, path| Asked { host, path, ..GET };
        let host = Condition::Host(vec!["*.Example.com".into(), "other".into()]);
        assert!(host.meets(&asked("api.EXAMPLE.com:8080", "/")));
        assert!(host.meets(&asked("OTHER", "/")));
        assert!(!host.meets(&asked("example.com", "/")));
        let path = Condition::Path(vec!["/Api/*".into()]);
        assert!(path.meets(&asked("x", "/Api/1")) && !path.meets(&asked("x", "/api/1")));
        assert_eq!(without_port("[::1]:80"), "[::1]");
        assert_eq!(without_port("[::1]"), "[::1]");
    }

    const GET: Asked<'_> = Asked {
        method: "GET",
        host: "x",
        path: "/",
        query: "",
        client: IpAddr::V4(std::net::Ipv4Addr::new(10, 1, 2, 3)),
        header: &|_| Vec::new(),
    };

    #[test]
    fn methods_headers_queries_and_sources() {
        let header = |name: &str| if name == "x-stage" { vec!["Blue-1".to_owned()] } else { Vec::new() };
        let asked = Asked { query: "a=1&Kind=Small%20one", header: &header, ..GET };
        let method = |text: &str| Condition::Method(vec![text.into()]);
        assert!(method("GET").meets(&asked) && !method("get").meets(&asked));
        let of = |name: &str, value: &str| Condition::Header { name: name.into(), values: vec![value.into()] };
        assert!(of("X-Stage", "blue-*").meets(&asked) && !of("X-Stage", "green").meets(&asked));
        assert!(!of("X-Other", "*").meets(&asked));
        let query = |key: Option<&str>, value: &str| {
            Condition::Query(vec![Parameter { key: key.map(str::to_owned), value: value.into() }])
        };
        assert!(query(Some("kind"), "small*").meets(&asked) && query(None, "1").meets(&asked));
        assert!(!query(Some("b"), "*").meets(&asked));
        for (block, inside) in [
            ("10.0.0.0/8", true),
            ("10.1.2.3/32", true),
            ("10.1.2.4/32", false),
            ("0.0.0.0/0", true),
            ("11.0.0.0/8", false),
            ("::/0", false),
        ] {
            assert_eq!(Condition::Source(vec![block.into()]).meets(&asked), inside, "{block}");
        }
    }

    #[test]
    fn regular_expressions_are_found_anywhere() {
        let header = |name: &str| if name == "user-agent" { vec!["curl/8".to_owned()] } else { Vec::new() };
        let asked = Asked { host: "shop.example.com:80", path: "/v2/items", header: &header, ..GET };
        for (of, expression, meets) in [
            (Part::Path, "^/v[0-9]+/", true),
            (Part::Path, "items$", true),
            (Part::Path, "^/items", false),
            (Part::Host, "^(shop|store)\\.example\\.com$", true),
            (Part::Host, "^SHOP", false),
            (Part::Header("User-Agent".into()), "^curl/", true),
            (Part::Header("User-Agent".into()), "^wget/", false),
        ] {
            let expressions = vec![Regular::parse(expression).unwrap()];
            let condition = Condition::Regular { of, expressions };
            assert_eq!(condition.meets(&asked), meets, "{condition:?}");
        }
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
