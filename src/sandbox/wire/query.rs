//! AWS Query: a form comes in, XML goes out. Spoken by ELBv2, STS and, in a dialect of its own, EC2.

use std::fmt::{Display, Write as _};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;

use super::super::world::Fault;
pub use super::form::Form;

/// Elements of an answer, one after another.
#[derive(Debug, Default)]
pub struct Xml(String);

impl Xml {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// `<name>value</name>`.
    pub fn text(&mut self, name: &str, value: impl Display) -> &mut Self {
        self.open(name);
        self.bare(value).close(name)
    }

    /// The value alone: what stands inside a `<member>` of a list of strings.
    pub fn bare(&mut self, value: impl Display) -> &mut Self {
        for character in value.to_string().chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&apos;"),
                // A parser turns a bare one into a line feed.
                '\r' => self.0.push_str("&#xD;"),
                // XML 1.0 has no way to write the other control characters.
                '\u{0}'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' => self.0.push('\u{fffd}'),
                other => self.0.push(other),
            }
        }
        self
    }

    /// `<name>value</name>`, or nothing.
    pub fn optional(&mut self, name: &str, value: Option<impl Display>) -> &mut Self {
        if let Some(value) = value {
            self.text(name, value);
        }
        self
    }

    /// `<name>…</name>` around what `inside` writes.
    pub fn nest(&mut self, name: &str, inside: impl FnOnce(&mut Self)) -> &mut Self {
        self.open(name);
        inside(self);
        self.close(name)
    }

    /// `<name><member>…</member>…</name>`.
    pub fn list<Item>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = Item>,
        mut each: impl FnMut(&mut Self, Item),
    ) -> &mut Self {
        self.nest(name, |xml| {
            for item in items {
                xml.nest("member", |xml| each(xml, item));
            }
        })
    }

    #[must_use]
    pub fn finish(self) -> String {
        self.0
    }

    fn open(&mut self, name: &str) {
        write!(self.0, "<{name}>").expect("writing to a string cannot fail");
    }

    fn close(&mut self, name: &str) -> &mut Self {
        write!(self.0, "</{name}>").expect("writing to a string cannot fail");
        self
    }
}

/// The services that speak this protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    Elb,
    Sts,
    Ec2,
}

impl Service {
    /// The version in a request is what tells the services apart: they share one endpoint here.
    #[must_use]
    pub fn of_version(version: &str) -> Option<Self> {
        match version {
            "2015-12-01" => Some(Self::Elb),
            "2011-06-15" => Some(Self::Sts),
            "2016-11-15" => Some(Self::Ec2),
            _ => None,
        }
    }

    /// As scenarios call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Elb => "elb",
            Self::Sts => "sts",
            Self::Ec2 => "ec2",
        }
    }

    /// The service's name in the scope of a signature.
    #[must_use]
    pub fn signing_name(self) -> &'static str {
        match self {
            Self::Elb => "elasticloadbalancing",
            Self::Sts => "sts",
            Self::Ec2 => "ec2",
        }
    }

    /// The namespace of its answers.
    #[must_use]
    pub fn namespace(self) -> &'static str {
        match self {
            Self::Elb => "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/",
            Self::Sts => "https://sts.amazonaws.com/doc/2011-06-15/",
            Self::Ec2 => "http://ec2.amazonaws.com/doc/2016-11-15/",
        }
    }
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub service: Service,
    pub action: String,
    pub form: Form,
}

impl Call {
    /// Reads a request's body.
    pub fn parse(body: &[u8]) -> Result<Self, Fault> {
        let form = Form::parse(body);
        let refuse = |code: &str, message: String| Err(Fault { status: 400, code: code.into(), message });
        let Some(action) = form.get("Action").filter(|action| !action.is_empty()) else {
            return refuse("MissingAction", "The request is missing an action or a required parameter".into());
        };
        let version = form.get("Version").unwrap_or_default();
        let Some(service) = Service::of_version(version) else {
            return refuse("NoSuchVersion", format!("The sandbox has no Query API of version '{version}' ({action})"));
        };
        Ok(Self { service, action: action.to_owned(), form })
    }
}

/// Reads a body, lets `call` do it, and answers with XML: the whole way of one Query request but the reading of bytes.
pub fn serve(
    body: &[u8],
    request_id: &str,
    call: impl FnOnce(&Call) -> Result<String, Fault>,
) -> Response<Full<Bytes>> {
    match Call::parse(body) {
        Ok(parsed) => match call(&parsed) {
            Ok(result) => succeed(&parsed, &result, request_id),
            Err(fault) => refuse(parsed.service, &fault, request_id),
        },
        Err(fault) => refuse(Service::Elb, &fault, request_id),
    }
}

/// `<ActionResponse><ActionResult>…</ActionResult><ResponseMetadata>…`; of EC2 `<ActionResponse><requestId>…`.
#[must_use]
pub fn succeed(call: &Call, result: &str, request_id: &str) -> Response<Full<Bytes>> {
    let Call { service, action, form: _ } = call;
    let namespace = service.namespace();
    if *service == Service::Ec2 {
        let body = format!(
            r#"<{action}Response xmlns="{namespace}"><requestId>{request_id}</requestId>{result}</{action}Response>"#
        );
        return respond(StatusCode::OK, body, request_id);
    }
    let mut metadata = Xml::new();
    metadata.nest("ResponseMetadata", |xml| {
        xml.text("RequestId", request_id);
    });
    let metadata = metadata.finish();
    let body = format!(
        r#"<{action}Response xmlns="{namespace}"><{action}Result>{result}</{action}Result>{metadata}</{action}Response>"#
    );
    respond(StatusCode::OK, body, request_id)
}

/// `<ErrorResponse><Error><Type>Sender</Type><Code>…`; of EC2 `<Response><Errors><Error><Code>…`.
#[must_use]
pub fn refuse(service: Service, fault: &Fault, request_id: &str) -> Response<Full<Bytes>> {
    let Fault { status, code, message } = fault;
    let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut xml = Xml::new();
    if service == Service::Ec2 {
        xml.nest("Response", |xml| {
            xml.nest("Errors", |xml| {
                xml.nest("Error", |xml| {
                    xml.text("Code", code).text("Message", message);
                });
            })
            .text("RequestID", request_id);
        });
        return respond(status, xml.finish(), request_id);
    }
    xml.nest("Error", |xml| {
        xml.text("Type", if status.is_server_error() { "Receiver" } else { "Sender" });
        xml.text("Code", code).text("Message", message);
    });
    xml.text("RequestId", request_id);
    let body = format!(r#"<ErrorResponse xmlns="{}">{}</ErrorResponse>"#, service.namespace(), xml.finish());
    respond(status, body, request_id)
}

fn respond(status: StatusCode, body: String, request_id: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/xml"));
    if let Ok(id) = HeaderValue::from_str(request_id) {
        response.headers_mut().insert("x-amzn-requestid", id);
    }
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[test]
    fn a_form_gives_its_parts_without_their_prefix() {
        let form = Form::parse(
            b"Action=CreateRule&Version=2015-12-01&Name=a%26b+c&Names.member.2=two&Names.member.10=ten&Names.member.1=one\
              &Actions.member.1.Type=forward&Actions.member.1.ForwardConfig.TargetGroups.member.1.TargetGroupArn=arn%3Aa\
              &Actions.member.1.ForwardConfig.TargetGroups.member.2.TargetGroupArn=arn%3Ab&Tags=",
        );
        assert_eq!(form.get("Name"), Some("a&b c"));
        assert_eq!(form.get("name"), None);
        assert_eq!(form.strings("Names"), ["one", "two", "ten"]);
        assert_eq!(form.strings("Name"), Vec::<String>::new());
        assert!(form.contains("Tags") && form.contains("Actions") && !form.contains("Action."));
        let [action] = form.members("Actions").try_into().unwrap();
        assert_eq!(action.get("Type"), Some("forward"));
        let groups = action.group("ForwardConfig").members("TargetGroups");
        let arns: Vec<_> = groups.iter().map(|group| group.get("TargetGroupArn")).collect();
        assert_eq!(arns, [Some("arn:a"), Some("arn:b")]);
    }

    #[test]
    fn xml_escapes_what_a_parser_would_change() {
        let mut xml = Xml::new();
        xml.text("A", "a<b>&\"'\r\n\u{1}é").optional("B", None::<u8>).list("C", [1, 2], |xml, n| {
            xml.text("N", n);
        });
        insta::assert_snapshot!(
            xml.finish().replace('\n', "\\n"),
            @"<A>a&lt;b&gt;&amp;&quot;&apos;&#xD;\\n\u{fffd}é</A><C><member><N>1</N></member><member><N>2</N></member></C>"
        );
    }

    async fn answer(body: &str, result: Result<&str, Fault>) -> String {
        let response = serve(body.as_bytes(), "id-1", |_| result.map(ToOwned::to_owned));
        let status = response.status();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        format!("{status} {}", String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn answers_are_in_the_services_envelope() {
        insta::assert_snapshot!(
            answer("Action=GetCallerIdentity&Version=2011-06-15", Ok("<Account>1</Account>")).await,
            @r#"200 OK <GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><Account>1</Account></GetCallerIdentityResult><ResponseMetadata><RequestId>id-1</RequestId></ResponseMetadata></GetCallerIdentityResponse>"#
        );
        let fault = Fault { status: 400, code: "RuleNotFound".into(), message: "no <rule>".into() };
        insta::assert_snapshot!(
            answer("Action=DescribeRules&Version=2015-12-01", Err(fault)).await,
            @r#"400 Bad Request <ErrorResponse xmlns="http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/"><Error><Type>Sender</Type><Code>RuleNotFound</Code><Message>no &lt;rule&gt;</Message></Error><RequestId>id-1</RequestId></ErrorResponse>"#
        );
        for (body, code) in [
            ("", "MissingAction"),
            ("Version=2015-12-01", "MissingAction"),
            ("Action=DescribeStacks&Version=2010-05-15", "NoSuchVersion"),
        ] {
            assert!(answer(body, Ok("")).await.contains(&format!("<Code>{code}</Code>")), "{body}");
        }
    }
}
