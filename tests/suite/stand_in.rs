//! AWS for a test: a small HTTP server that answers the real program with the bodies AWS sends, and counts. It is
//! the services, the sign-in portal, a container's agent and an instance's metadata at one address.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, SystemTime},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;

/// HTTP status and body.
pub(crate) type Answer = (u16, String);

/// What comes in: the operation, and the access key that signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    /// `GetAuthorizationToken`, or of a call that names none its method and path: `GET /federation/credentials`.
    pub(crate) operation: String,
    /// The target of a JSON call with its service, as `AmazonEC2ContainerRegistry_V20150921`.
    pub(crate) service: String,
    pub(crate) access_key: String,
    /// The region it was signed for.
    pub(crate) region: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

/// Runs until the test ends.
#[derive(Clone)]
pub(crate) struct StandIn {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    answers: Arc<Mutex<BTreeMap<String, Answer>>>,
}

pub(crate) const ACCOUNT: &str = "111111111111";
pub(crate) const REGISTRY: &str = "111111111111.dkr.ecr.eu-west-1.amazonaws.com";

impl StandIn {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("it has an address"));
        let stand_in = Self { url, asked: Arc::default(), answers: Arc::default() };
        stand_in.answer("GetAuthorizationToken", token("first", 12));
        stand_in.answer("GetCallerIdentity", caller(ACCOUNT));
        let shared = stand_in.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = shared.clone();
                thread::spawn(move || shared.serve(&stream));
            }
        });
        stand_in
    }

    /// From now on.
    pub(crate) fn answer(&self, operation: &str, answer: Answer) {
        self.answers.lock().expect("no test panics with it").insert(operation.to_owned(), answer);
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no test panics with it").clone()
    }

    /// The last call of an operation.
    pub(crate) fn last(&self, operation: &str) -> Asked {
        let all = self.asked().into_iter().rev();
        all.into_iter()
            .find(|asked| asked.operation == operation)
            .unwrap_or_else(|| panic!("{operation} was not called"))
    }

    /// How often an operation was asked for.
    pub(crate) fn count(&self, operation: &str) -> usize {
        self.asked().iter().filter(|asked| asked.operation == operation).count()
    }

    fn serve(&self, stream: &TcpStream) {
        let mut reader = BufReader::new(stream);
        while let Some(Request { place, headers, body }) = read(&mut reader) {
            let header = |name: &str| headers.get(name).cloned().unwrap_or_default();
            let target = header("x-amz-target");
            let action = || body.split('&').find_map(|pair| pair.strip_prefix("Action="));
            let (service, operation) = match (target.rsplit_once('.'), action()) {
                (Some((service, operation)), _) => (service, operation),
                (None, Some(action)) => ("query", action),
                (None, None) => ("", place.as_str()),
            };
            let (service, operation) = (service.to_owned(), operation.to_owned());
            let authorization = header("authorization");
            let scope = authorization.split("Credential=").nth(1).unwrap_or_default();
            let mut scope = scope.split('/');
            let (access_key, region) = (scope.next().unwrap_or_default(), scope.nth(1).unwrap_or_default());
            self.asked.lock().expect("no test panics with it").push(Asked {
                operation: operation.clone(),
                service: service.clone(),
                access_key: access_key.to_owned(),
                region: region.to_owned(),
                headers,
                body,
            });
            let known = self.answers.lock().expect("no test panics with it").get(operation.as_str()).cloned();
            let (status, body) =
                known.unwrap_or_else(|| (400, json!({"__type": "UnknownOperationException"}).to_string()));
            let kind = match service.as_str() {
                "query" => "text/xml",
                "" => "application/json",
                _ => "application/x-amz-json-1.1",
            };
            // What gives a token for the instance metadata says how long it lasts in a header.
            let answer = format!(
                "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\nx-aws-ec2-metadata-token-ttl-seconds: 21600\r\nx-amzn-requestid: 5e3f0c2a-0000-4000-8000-1d2c3b4a5f60\r\n\
                 content-length: {}\r\n\r\n{body}",
                body.len()
            );
            if (&*stream).write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }
}

/// What a client has sent.
pub(crate) struct Request {
    /// `GET /federation/credentials`, without the query.
    place: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

pub(crate) fn read(reader: &mut BufReader<&TcpStream>) -> Option<Request> {
    let mut headers = BTreeMap::new();
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?, words.next()?);
    let place = format!("{method} {}", target.split('?').next().unwrap_or_default());
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { place, headers, body: String::from_utf8_lossy(&body).into_owned() })
}

#[expect(clippy::disallowed_methods, reason = "a token expires at a time of the real clock")]
pub(crate) fn now_seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}

/// What `GetAuthorizationToken` answers: this password, for so many hours from now.
pub(crate) fn token(password: &str, hours: u64) -> Answer {
    let data = json!({
        "authorizationToken": STANDARD.encode(format!("AWS:{password}")),
        "expiresAt": now_seconds() + hours * 3600,
        "proxyEndpoint": format!("https://{REGISTRY}"),
    });
    (200, json!({ "authorizationData": [data] }).to_string())
}

/// What `GetCallerIdentity` answers.
pub(crate) fn caller(account: &str) -> Answer {
    let body = format!(
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
         <Arn>arn:aws:sts::{account}:assumed-role/ship/ci</Arn><UserId>AROAX:ci</UserId><Account>{account}</Account>\
         </GetCallerIdentityResult><ResponseMetadata><RequestId>5e3f0c2a-0000-4000-8000-1d2c3b4a5f60</RequestId>\
         </ResponseMetadata></GetCallerIdentityResponse>"
    );
    (200, body)
}

pub(crate) fn json_error(code: &str, message: &str) -> Answer {
    (400, json!({"__type": code, "message": message}).to_string())
}

pub(crate) fn xml_error(code: &str, message: &str) -> Answer {
    let body = format!(
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type><Code>{code}</Code>\
         <Message>{message}</Message></Error><RequestId>5e3f0c2a-0000-4000-8000-1d2c3b4a5f60</RequestId></ErrorResponse>"
    );
    (403, body)
}

/// What `AssumeRole` answers.
pub(crate) fn assumed() -> Answer {
    let body = "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><Credentials>\
                <AccessKeyId>ASIAASSUMED000000001</AccessKeyId><SecretAccessKey>assumed</SecretAccessKey>\
                <SessionToken>session</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>\
                <AssumedRoleUser><AssumedRoleId>AROAX:ci</AssumedRoleId><Arn>arn:aws:sts::222222222222:assumed-role/ship/ci</Arn>\
                </AssumedRoleUser></AssumeRoleResult></AssumeRoleResponse>";
    (200, body.to_owned())
}
