//! The HTTP in front of the WebSocket: reading the head, telling clients from probes, answering.
//!
//! Owns: the bounds of the head and every HTTP answer. Does not own: the deadline, which the core keeps.

mod pages;

use std::net::IpAddr;

use async_tungstenite::tungstenite::{
    handshake::{
        headers::MAX_HEADERS,
        machine::TryParse,
        server::{Request, create_response, write_response},
    },
    http::{HeaderMap, HeaderValue},
};

pub use pages::Page;

use crate::exposition;

/// The largest head of a request. Browsers send 500 bytes, some with cookies of other programs on the same host.
pub(crate) const MAX_HEAD_BYTES: usize = 8 * 1024;

/// The subprotocol of CLASP.
const SUBPROTOCOL: &str = "clasp";

/// The content type of every other answer.
const PLAIN: &str = "text/plain";

/// The one name that always means this machine (RFC 6761 §6.3).
const LOCALHOST: &str = "localhost";

/// What a request head asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// More bytes are needed to know.
    Unfinished,
    /// A WebSocket; `answer` accepts it, the WebSocket's bytes begin at `used`.
    WebSocket {
        answer: Vec<u8>,
        used: usize,
        /// A browser says that it is for a page which is not from this machine.
        is_foreign: bool,
    },
    /// The metrics; who asks for them may have to be refused.
    Metrics {
        /// Not for HEAD.
        with_body: bool,
        /// Perhaps a web page that is not from this machine.
        is_foreign: bool,
    },
    /// A probe, or something that is wrong; `answer` is all there is to say.
    Other { answer: Vec<u8>, is_fault: bool },
}

/// Looks at what has come so far. `pages` are what there is to be had.
pub(crate) fn look_at(head: &[u8], pages: &[Page]) -> Asked {
    let method = head.split(|byte| *byte == b' ').next().unwrap_or_default();
    let is_method = method.iter().all(u8::is_ascii_uppercase);
    if !is_method || (method.is_empty() && !head.is_empty()) {
        return other(400, "this is not HTTP; use ws://, not wss://", true);
    }
    let Some(end) = find(head, b"\r\n\r\n") else {
        let too_large = head.len() >= MAX_HEAD_BYTES;
        return if too_large { other(431, "the request head is too large", true) } else { Asked::Unfinished };
    };
    let line_end = find(head, b"\r\n").unwrap_or(end);
    let line = String::from_utf8_lossy(head.get(..line_end).unwrap_or_default());
    let mut words = line.split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return other(400, "the request line must be METHOD PATH HTTP/1.1", true);
    };
    if !version.starts_with("HTTP/1.") {
        return other(505, "use HTTP/1.1", true);
    }
    let headers = match HeaderMap::try_parse(head.get(line_end + 2..end + 4).unwrap_or_default()) {
        Ok(Some((_, headers))) => headers,
        _ => {
            return other(
                400,
                &format!("the request has malformed headers, or more than {MAX_HEADERS}"),
                true,
            );
        }
    };
    if headers.get("upgrade").is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket")) {
        return upgrade(head.get(..end + 4).unwrap_or_default());
    }
    plain(method, target, &headers, pages)
}

/// The answer to a request that is not answered otherwise: the client took too long, there are too many, or it is not
/// for them.
pub(crate) fn refusal(status: u16, text: &str, with_body: bool) -> Vec<u8> {
    response(status, PLAIN, &format!("{text}\n"), with_body)
}

/// The answer to who may read the metrics.
pub(crate) fn metrics(text: &str, with_body: bool) -> Vec<u8> {
    response(200, exposition::CONTENT_TYPE, text, with_body)
}

fn upgrade(head: &[u8]) -> Asked {
    let request = match Request::try_parse(head) {
        Ok(Some((_, request))) => request,
        Ok(None) => return other(400, "the request is malformed", true),
        Err(error) => return other(400, &error.to_string(), true),
    };
    let mut response = match create_response(&request) {
        Ok(response) => response,
        Err(error) => return other(400, &error.to_string(), true),
    };
    let offered = request.headers().get_all("sec-websocket-protocol").iter();
    let mut offered = offered.filter_map(|list| list.to_str().ok()).flat_map(|list| list.split(','));
    if offered.any(|name| name.trim() == SUBPROTOCOL) {
        response.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static(SUBPROTOCOL));
    }
    let mut answer = Vec::new();
    match write_response(&mut answer, &response) {
        Ok(()) => Asked::WebSocket { answer, used: head.len(), is_foreign: is_foreign(request.headers()) },
        Err(error) => other(400, &error.to_string(), true),
    }
}

/// Headers by which a proxy on this machine says that it speaks for somebody else, who is not told from it otherwise. A
/// program here that sends one only makes itself a stranger.
const PROXY_HEADERS: [&str; 4] = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];

/// Any web page can have the visitor's browser connect to this machine; the browser tells where the page is from
/// (RFC 6454). Programs that are no browsers do not say. Pages without an origin of their own say `null`.
fn is_foreign(headers: &HeaderMap) -> bool {
    if PROXY_HEADERS.iter().any(|name| headers.contains_key(*name)) {
        return true;
    }
    let is_local = |origin: &HeaderValue| {
        let host = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
        host.is_some_and(is_this_machine)
    };
    headers.get_all("origin").iter().any(|origin| !is_local(origin))
}

/// A page's own name may be made to lead to this machine (DNS rebinding). Its browser then takes the answer for one of
/// the page's server, lets the page read it and sends no origin; but it does send the name.
fn is_rebound(headers: &HeaderMap) -> bool {
    let is_safe = |host: &HeaderValue| {
        let name = host.to_str().ok().map(name_of);
        name.is_some_and(|name| name.parse::<IpAddr>().is_ok() || name.eq_ignore_ascii_case(LOCALHOST))
    };
    headers.get_all("host").iter().any(|host| !is_safe(host))
}

/// Whether `host`, perhaps with a port, names this machine by itself, not by what some name server says.
fn is_this_machine(host: &str) -> bool {
    let name = name_of(host);
    let is_loopback = name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    is_loopback || name.eq_ignore_ascii_case(LOCALHOST)
}

/// A host without its port, and without the brackets of an IPv6 address.
fn name_of(host: &str) -> &str {
    let without_port = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    without_port.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(without_port)
}

/// Pages, probes as the stock router answers them, the metrics, and a word of help for everybody else.
fn plain(method: &str, target: &str, headers: &HeaderMap, pages: &[Page]) -> Asked {
    let path = target.split(['?', '#']).next().unwrap_or_default();
    let body = method != "HEAD";
    // A program that looks whether somebody is here says nothing of encodings, and gets the word it expects.
    let is_probe = path == "/" && !headers.contains_key("accept-encoding");
    let is_wanted = matches!(method, "GET" | "HEAD") && !is_probe;
    let page = pages.iter().find(|page| is_wanted && page.path == path);
    if let Some(page) = page {
        return Asked::Other { answer: page.answer(headers, body), is_fault: false };
    }
    match (method, path) {
        ("GET" | "HEAD" | "POST" | "OPTIONS", "/" | "*") | ("GET" | "HEAD", "/healthz") => {
            other(200, "ok", body)
        }
        ("GET" | "HEAD", "/metrics") => {
            Asked::Metrics { with_body: body, is_foreign: is_foreign(headers) || is_rebound(headers) }
        }
        ("GET" | "HEAD" | "POST" | "OPTIONS", _) => {
            other(404, "nothing here: CLASP clients connect with a WebSocket, on any path", body)
        }
        _ => other(405, "this method is not served", body),
    }
}

fn other(status: u16, text: &str, body: bool) -> Asked {
    Asked::Other { answer: refusal(status, text, body), is_fault: status >= 400 }
}

fn response(status: u16, content_type: &str, body: &str, with_body: bool) -> Vec<u8> {
    let reason = match status {
        200 => "OK",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "HTTP Version Not Supported",
    };
    let mut answer = format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    if with_body {
        answer.push_str(body);
    }
    answer.into_bytes()
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests;
