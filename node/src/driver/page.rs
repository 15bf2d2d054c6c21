//! The page of a device, and the module with which other pages do the same (docs/browser.md): files in `src/page`, in the program as
//! they are served.

use router_lite::Page;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

macro_rules! file {
    ($path:literal, $name:literal, $content_type:expr) => {
        Page {
            path: $path,
            content_type: $content_type,
            gzip: include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".gz")),
        }
    };
}

/// All of it, for [`Server::set_pages`](router_lite::Server::set_pages).
pub const PAGES: &[Page] = &[
    file!("/", "index.html", HTML),
    file!("/page.css", "page.css", CSS),
    file!("/page.js", "page.js", SCRIPT),
    file!("/page-chart.js", "page-chart.js", SCRIPT),
    file!("/clasp-peer.js", "clasp-peer.js", SCRIPT),
    file!("/clasp-link.js", "clasp-link.js", SCRIPT),
    file!("/clasp-pairing.js", "clasp-pairing.js", SCRIPT),
    file!("/clasp-identity.js", "clasp-identity.js", SCRIPT),
    file!("/clasp-wire.js", "clasp-wire.js", SCRIPT),
    file!("/clasp-crypto.js", "clasp-crypto.js", SCRIPT),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// What a phone loads, and what the program grows by.
    const BUDGET_BYTES: usize = 60 * 1024;

    #[test]
    fn the_page_is_small() {
        let bytes: usize = PAGES.iter().map(|page| page.gzip.len()).sum();
        assert!(bytes < BUDGET_BYTES, "{bytes} bytes");
    }

    #[test]
    fn every_file_is_served_and_refers_to_served_files_only() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/page");
        let mut files = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let served = if name == "index.html" { "/".to_owned() } else { format!("/{name}") };
            assert!(PAGES.iter().any(|page| page.path == served), "{name} is not served");
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(!text.contains("https://") && !text.contains("http://"), "{name} asks somebody else");
            assert!(
                !text.contains("innerHTML") && !text.contains(" style=") && !text.contains(" onclick="),
                "{name}"
            );
            for import in text.split(" from \"./").skip(1).filter_map(|rest| rest.split('"').next()) {
                assert!(
                    PAGES.iter().any(|page| page.path.trim_start_matches('/') == import),
                    "{name}: {import}"
                );
            }
            files += 1;
        }
        assert_eq!(files, PAGES.len());
    }
}
