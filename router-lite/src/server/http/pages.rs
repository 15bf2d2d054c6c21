//! Files of the program around the router, which anybody may have: the page of a device.
//!
//! They are as they were built in, so what a client has is current if its tag is the one of the file.

use async_tungstenite::tungstenite::http::HeaderMap;

/// A file that `GET` brings. It is public: whoever reaches the port may have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Its path, from `/` on.
    pub path: &'static str,
    /// Its media type.
    pub content_type: &'static str,
    /// It, as a gzip file (RFC 1952). Nothing else is served: every browser takes it.
    pub gzip: &'static [u8],
}

/// What pages may do: load what comes from here, and speak to here. Nothing of another origin, nothing inline, in nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// A gzip file ends with the checksum and the length of what is in it (RFC 1952 §2.3.1).
const TRAILER_BYTES: usize = 8;

impl Page {
    /// The answer to a request for this file.
    pub(super) fn answer(&self, headers: &HeaderMap, with_body: bool) -> Vec<u8> {
        if !takes_gzip(headers) {
            return super::refusal(406, "this is served with Content-Encoding: gzip", with_body);
        }
        let tag = self.tag();
        let known = headers.get_all("if-none-match").iter().filter_map(|tags| tags.to_str().ok());
        let is_known = known.flat_map(|tags| tags.split(',')).any(|known| {
            let known = known.trim();
            known == "*" || known.trim_start_matches("W/") == tag
        });
        let status = if is_known { "304 Not Modified" } else { "200 OK" };
        let mut answer = format!(
            "HTTP/1.1 {status}\r\nETag: {tag}\r\nCache-Control: no-cache\r\nVary: Accept-Encoding\r\n"
        );
        if !is_known {
            let Self { content_type, gzip, .. } = self;
            let length = gzip.len();
            answer += &format!(
                "Content-Type: {content_type}\r\nContent-Encoding: gzip\r\nContent-Length: {length}\r\n"
            );
        }
        answer += &format!(
            "Content-Security-Policy: {POLICY}\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n\
             Access-Control-Allow-Origin: *\r\nConnection: close\r\n\r\n"
        );
        let mut answer = answer.into_bytes();
        if with_body && !is_known {
            answer.extend_from_slice(self.gzip);
        }
        answer
    }

    fn tag(&self) -> String {
        let trailer = self.gzip.get(self.gzip.len().saturating_sub(TRAILER_BYTES)..).unwrap_or_default();
        let digits: String = trailer.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("\"{digits}\"")
    }
}

/// Who says nothing takes anything (RFC 9110 §12.5.3).
fn takes_gzip(headers: &HeaderMap) -> bool {
    let mut said = headers.get_all("accept-encoding").iter().filter_map(|list| list.to_str().ok()).peekable();
    said.peek().is_none()
        || said.flat_map(|list| list.split(',')).any(|coding| {
            let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
            let weight = weight.split_whitespace().collect::<String>();
            let is_refused =
                weight.strip_prefix("q=").is_some_and(|q| q.trim_end_matches('0') == "0." || q == "0");
            matches!(name.trim(), "gzip" | "x-gzip" | "*") && !is_refused
        })
}

#[cfg(test)]
mod tests {
    use super::super::{Asked, look_at};
    use super::*;

    const PAGES: [Page; 2] = [
        Page {
            path: "/",
            content_type: "text/html; charset=utf-8",
            gzip: b"compressed\x01\x02\x03\x04\x05\x06\x07\x08",
        },
        Page { path: "/page.js", content_type: "text/javascript", gzip: b"\0\0\0\0\0\0\0\0" },
    ];
    const TAG: &str = "\"0102030405060708\"";

    fn answer(request: &str) -> String {
        match look_at(format!("{request}\r\n\r\n").as_bytes(), &PAGES) {
            Asked::Other { answer, .. } => String::from_utf8_lossy(&answer).into_owned(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_page_comes_with_its_type_its_length_and_a_policy() {
        let page = answer("GET /?x HTTP/1.1\r\nAccept-Encoding: deflate, gzip;q=0.5");
        assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
        for line in [
            "Content-Type: text/html; charset=utf-8",
            "Content-Encoding: gzip",
            "Content-Length: 18",
            &format!("ETag: {TAG}"),
            "Content-Security-Policy: default-src 'none'; script-src 'self'",
            "X-Content-Type-Options: nosniff",
        ] {
            assert!(page.contains(line), "{line}: {page}");
        }
        assert!(page.ends_with("\r\n\r\ncompressed\x01\x02\x03\x04\x05\x06\x07\x08"));
        assert!(answer("GET /page.js HTTP/1.1").contains("text/javascript"));
        assert!(answer("GET /page.css HTTP/1.1").starts_with("HTTP/1.1 404 "));
        for probe in ["POST", "OPTIONS", "GET"] {
            let answer = answer(&format!("{probe} / HTTP/1.1"));
            assert!(answer.ends_with("\r\n\r\nok\n"), "as the stock router answers probes: {answer}");
        }
        let head = answer("HEAD / HTTP/1.1\r\nAccept-Encoding: gzip");
        assert!(head.contains("Content-Length: 18") && head.ends_with("\r\n\r\n"), "{head}");
    }

    #[test]
    fn who_has_it_already_is_told_so() {
        for known in [TAG.to_owned(), format!("W/{TAG}"), format!("\"a\", {TAG}"), "*".to_owned()] {
            let unchanged =
                answer(&format!("GET / HTTP/1.1\r\nAccept-Encoding: gzip\r\nIf-None-Match: {known}"));
            assert!(unchanged.starts_with("HTTP/1.1 304 Not Modified\r\n"), "{unchanged}");
            assert!(unchanged.ends_with("\r\n\r\n") && !unchanged.contains("Content-Length"), "{unchanged}");
        }
        assert!(
            answer("GET / HTTP/1.1\r\nAccept-Encoding: gzip\r\nIf-None-Match: \"a\"")
                .starts_with("HTTP/1.1 200 OK\r\n")
        );
    }

    #[test]
    fn who_takes_no_gzip_is_told_what_there_is() {
        for codings in ["identity", "br", "gzip;q=0", "gzip; q=0.000, br", ""] {
            let refused = answer(&format!("GET / HTTP/1.1\r\nAccept-Encoding: {codings}"));
            assert!(refused.starts_with("HTTP/1.1 406 Not Acceptable\r\n"), "{codings}: {refused}");
            assert!(refused.contains("gzip"));
        }
        for codings in ["*", "gzip, deflate, br, zstd", "br;q=1.0, gzip;q=0.8"] {
            let taken = answer(&format!("GET / HTTP/1.1\r\nAccept-Encoding: {codings}"));
            assert!(taken.starts_with("HTTP/1.1 200 OK\r\n"), "{codings}");
        }
    }
}
