//! As much of HTTP/1.1 as a load balancer and curl need: request heads, bodies that are skipped,
//! keep-alive.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
};

/// A head longer than this is refused, as most servers do.
const MAX_HEAD: u64 = 16 << 10;
/// A body longer than this is refused: nothing here wants one.
const MAX_BODY: u64 = 1 << 20;

#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    /// With the query behind `?`.
    pub target: String,
    pub keep_alive: bool,
    /// Of one that wants to become a WebSocket.
    pub websocket_key: Option<String>,
}

impl Request {
    pub fn path(&self) -> &str {
        self.target.split_once('?').map_or(self.target.as_str(), |(path, _)| path)
    }

    pub fn query(&self, key: &str) -> Option<&str> {
        let (_, query) = self.target.split_once('?')?;
        query.split('&').find_map(|pair| pair.split_once('=').filter(|(name, _)| *name == key)).map(|(_, value)| value)
    }
}

/// What came in over a connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming {
    Request(Request),
    /// The other side is done, or the connection broke.
    End,
    /// Not HTTP, or more than we take: answer this status and close.
    Refused(&'static str),
}

/// Reads one request and skips its body.
pub fn read(connection: &mut BufReader<&TcpStream>) -> Incoming {
    match read_head(connection) {
        Ok(incoming) => incoming,
        Err(_) => Incoming::End,
    }
}

fn read_head(connection: &mut BufReader<&TcpStream>) -> io::Result<Incoming> {
    let mut head = connection.by_ref().take(MAX_HEAD);
    let mut line = String::new();
    // An empty line before a request is skipped: "a server … SHOULD ignore at least one empty line
    // (CRLF) received prior to the request-line" (RFC 9112, 2.2).
    while line.trim_end().is_empty() {
        line.clear();
        if head.read_line(&mut line)? == 0 {
            return Ok(Incoming::End);
        }
    }
    let mut words = line.split_ascii_whitespace();
    let (Some(method), Some(target), Some(version)) = (words.next(), words.next(), words.next()) else {
        return Ok(Incoming::Refused("400 Bad Request"));
    };
    if !version.starts_with("HTTP/1.") {
        return Ok(Incoming::Refused("505 HTTP Version Not Supported"));
    }
    let mut request = Request {
        method: method.to_owned(),
        target: target.to_owned(),
        keep_alive: version != "HTTP/1.0",
        websocket_key: None,
    };

    let mut length = 0;
    let mut expects_continue = false;
    loop {
        line.clear();
        if head.read_line(&mut line)? == 0 {
            return Ok(if head.limit() == 0 {
                Incoming::Refused("431 Request Header Fields Too Large")
            } else {
                Incoming::End
            });
        }
        let field = line.trim_end();
        if field.is_empty() {
            break;
        }
        let Some((name, value)) = field.split_once(':') else {
            return Ok(Incoming::Refused("400 Bad Request"));
        };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "connection" if value.eq_ignore_ascii_case("close") => request.keep_alive = false,
            "connection" if value.eq_ignore_ascii_case("keep-alive") => request.keep_alive = true,
            "sec-websocket-key" => request.websocket_key = Some(value.to_owned()),
            "content-length" => match value.parse::<u64>() {
                Ok(value) if value <= MAX_BODY => length = value,
                Ok(_) => return Ok(Incoming::Refused("413 Content Too Large")),
                Err(_) => return Ok(Incoming::Refused("400 Bad Request")),
            },
            "transfer-encoding" => return Ok(Incoming::Refused("411 Length Required")),
            "expect" => expects_continue = value.eq_ignore_ascii_case("100-continue"),
            _ => {}
        }
    }
    if expects_continue && length > 0 {
        connection.get_mut().write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    io::copy(&mut connection.by_ref().take(length), &mut io::sink())?;
    Ok(Incoming::Request(request))
}

#[cfg(test)]
mod tests {
    use std::net::{Shutdown, TcpListener};

    use super::*;

    fn all(sent: &str) -> Vec<Incoming> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let mut client = TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
        let (server, _) = listener.accept().expect("a connection");
        client.write_all(sent.as_bytes()).expect("sent");
        client.shutdown(Shutdown::Write).expect("shut");
        let mut reader = BufReader::new(&server);
        let mut seen = Vec::new();
        loop {
            match read(&mut reader) {
                Incoming::End => return seen,
                refused @ Incoming::Refused(_) => {
                    seen.push(refused);
                    return seen;
                }
                request => seen.push(request),
            }
        }
    }

    fn get(target: &str, keep_alive: bool) -> Incoming {
        Incoming::Request(Request {
            method: "GET".to_owned(),
            target: target.to_owned(),
            keep_alive,
            websocket_key: None,
        })
    }

    #[test]
    fn requests_follow_each_other_on_one_connection() {
        assert_eq!(
            all("GET / HTTP/1.1\r\nHost: a\r\n\r\n\r\nGET /b HTTP/1.1\r\nConnection: close\r\n\r\n"),
            [get("/", true), get("/b", false)]
        );
        assert_eq!(all("GET / HTTP/1.0\r\n\r\n"), [get("/", false)]);
        assert_eq!(all("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), [get("/", true)]);
    }

    #[test]
    fn a_body_is_skipped() {
        let requests = all("POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhelloGET /b HTTP/1.1\r\n\r\n");
        assert_eq!(requests.len(), 2);
        assert_eq!(requests[1], get("/b", true));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for (sent, status) in [
            ("hello\r\n\r\n", "400 Bad Request"),
            ("GET / HTTP/2\r\n\r\n", "505 HTTP Version Not Supported"),
            ("POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", "400 Bad Request"),
            ("POST / HTTP/1.1\r\nContent-Length: 9999999\r\n\r\n", "413 Content Too Large"),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", "411 Length Required"),
            (&format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "a".repeat(20_000)), "431 Request Header Fields Too Large"),
        ] {
            assert_eq!(all(sent), [Incoming::Refused(status)], "{sent}");
        }
    }

    #[test]
    fn a_query_is_looked_up() {
        let request = Request {
            method: "GET".to_owned(),
            target: "/slow?a=1&ms=20".to_owned(),
            keep_alive: true,
            websocket_key: None,
        };
        assert_eq!(request.path(), "/slow");
        assert_eq!(request.query("ms"), Some("20"));
        assert_eq!(request.query("b"), None);
    }
}
