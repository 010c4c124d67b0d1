//! Answers of the balancer's own, letter for letter an Application Load Balancer's.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;

use super::body::Download;

fn respond(status: StatusCode, content_type: Option<&str>, body: String) -> Response<Download> {
    let mut response = Response::new(Download::Page(Full::new(Bytes::from(body))));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::SERVER, HeaderValue::from_static("awselb/2.0"));
    if let Some(value) = content_type.and_then(|text| HeaderValue::from_str(text).ok()) {
        headers.insert(header::CONTENT_TYPE, value);
    }
    response
}

/// `<html>\r\n<head><title>502 Bad Gateway</title></head>…`: 122 bytes for 502, as on the real one.
fn html(title: &str) -> String {
    format!(
        "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n</body>\r\n</html>\r\n"
    )
}

fn error(status: StatusCode, title: &str) -> Response<Download> {
    respond(status, Some("text/html"), html(title))
}

/// The target refused, closed, or did not speak HTTP.
pub(super) fn bad_gateway() -> Response<Download> {
    error(StatusCode::BAD_GATEWAY, "502 Bad Gateway")
}

/// A transform has made of the request what is none.
pub(super) fn internal_error() -> Response<Download> {
    error(StatusCode::INTERNAL_SERVER_ERROR, "500 Internal Server Error")
}

/// There is no target to send to.
pub(super) fn unavailable() -> Response<Download> {
    error(StatusCode::SERVICE_UNAVAILABLE, "503 Service Temporarily Unavailable")
}

/// The target did not answer in time.
pub(super) fn gateway_timeout() -> Response<Download> {
    error(StatusCode::GATEWAY_TIMEOUT, "504 Gateway Time-out")
}

/// `TRACE` and `CONNECT`.
pub(super) fn method_not_allowed() -> Response<Download> {
    error(StatusCode::METHOD_NOT_ALLOWED, "405 Method Not Allowed")
}

/// A listener's `fixed-response`.
pub(super) fn fixed(status: u16, content_type: Option<&str>, body: &str) -> Response<Download> {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    respond(status, content_type.or_else(|| (!body.is_empty()).then_some("text/plain")), body.to_owned())
}

/// A listener's `redirect`.
pub(super) fn redirect(status: u16, location: &str) -> Response<Download> {
    let (status, title) = match status {
        301 => (StatusCode::MOVED_PERMANENTLY, "301 Moved Permanently"),
        _ => (StatusCode::FOUND, "302 Found"),
    };
    let Ok(location) = HeaderValue::from_str(location) else { return bad_gateway() };
    let mut response = error(status, title);
    response.headers_mut().insert(header::LOCATION, location);
    response
}
